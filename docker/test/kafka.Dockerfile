# Stands in for apache/kafka where that image cannot be pulled: the jars of Maven Central, the image's
# conventions as far as docker/compose.yaml uses them.
FROM debian:trixie-slim
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends openjdk-21-jre-headless kcat >/dev/null
COPY libs /opt/kafka/libs
COPY bin /opt/kafka/bin
ENTRYPOINT ["/opt/kafka/bin/entrypoint.sh"]
