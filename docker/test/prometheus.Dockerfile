# Stands in for prom/prometheus where that image cannot be pulled: Debian's package.
FROM debian:trixie-slim
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends prometheus >/dev/null
ENTRYPOINT ["/usr/bin/prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/data"]
