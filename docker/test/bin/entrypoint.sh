#!/bin/sh
# KAFKA_SOME_NAME=value becomes some.name=value, as in the image that this stands in for.
set -e
cd /tmp
env | sed -n 's/^KAFKA_\([A-Z_]*\)=\(.*\)/\1 \2/p' | while read -r name value; do
    printf '%s=%s\n' "$(printf %s "$name" | tr 'A-Z_' 'a-z.')" "$value"
done >server.properties
printf 'log.dirs=/tmp/data\nnum.partitions=8\nlog.cleaner.dedupe.buffer.size=8388608\n' >>server.properties
java -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format -t a2FuY2VsLWNvbXBvc2UtMQ -c server.properties >/dev/null
exec java -Xmx384m -XX:+UseSerialGC -cp '/opt/kafka/libs/*' kafka.Kafka server.properties
