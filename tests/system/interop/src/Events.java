import com.fasterxml.jackson.databind.JsonNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.extensions.DistributedTracingExtension;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.core.provider.ExtensionProvider;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventDeserializer;
import io.cloudevents.kafka.CloudEventSerializer;
import io.cloudevents.kafka.PartitionKeyExtensionInterceptor;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Commands sent as CloudEvents and their results read as CloudEvents, both by the CloudEvents SDK.
 *
 * <p>Events BROKERS COMMANDS RESULTS: an event a line of input, {"encoding": "BINARY" or
 * "STRUCTURED", "attributes": {...}, "data": {...}}. Prints every event of RESULTS, progress among
 * them, once each has its result.
 */
final class Events {
    private Events() {
    }

    public static void main(String[] args) throws Exception {
        List<JsonNode> lines = Records.input();
        send(args[0], args[1], lines);
        var records = Records.read(args[0], args[2], new CloudEventDeserializer(), lines.size(),
                record -> record.value().getType().equals("kancel.result.v1"));
        for (var record : records) {
            Records.print(told(record));
        }
    }

    private static void send(String brokers, String topic, List<JsonNode> lines) throws Exception {
        Map<Encoding, KafkaProducer<String, CloudEvent>> producers = new EnumMap<>(Encoding.class);
        for (Encoding encoding : List.of(Encoding.BINARY, Encoding.STRUCTURED)) {
            Map<String, Object> config = Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
                    ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class,
                    ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, CloudEventSerializer.class,
                    ProducerConfig.INTERCEPTOR_CLASSES_CONFIG,
                    PartitionKeyExtensionInterceptor.class.getName(),
                    CloudEventSerializer.ENCODING_CONFIG, encoding,
                    CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE);
            producers.put(encoding, new KafkaProducer<>(config));
        }
        for (JsonNode line : lines) {
            Encoding encoding = Encoding.valueOf(line.get("encoding").textValue());
            producers.get(encoding).send(new ProducerRecord<>(topic, event(line))).get();
        }
        producers.values().forEach(KafkaProducer::close);
    }

    private static CloudEvent event(JsonNode line) {
        CloudEventBuilder event = CloudEventBuilder.v1();
        var tracing = new DistributedTracingExtension();
        line.get("attributes").fields().forEachRemaining(attribute -> {
            String text = attribute.getValue().textValue();
            switch (attribute.getKey()) {
                case "id" -> event.withId(text);
                case "source" -> event.withSource(URI.create(text));
                case "type" -> event.withType(text);
                case "subject" -> event.withSubject(text);
                case "datacontenttype" -> event.withDataContentType(text);
                case "time" -> event.withTime(OffsetDateTime.parse(text));
                case "expirytime" -> event.withExtension("expirytime", OffsetDateTime.parse(text));
                case "traceparent" -> tracing.setTraceparent(text);
                case "tracestate" -> tracing.setTracestate(text);
                default -> event.withExtension(attribute.getKey(), text);
            }
        });
        if (tracing.getTraceparent() != null) {
            event.withExtension(tracing);
        }
        return event.withData(line.get("data").toString().getBytes(StandardCharsets.UTF_8)).build();
    }

    private static Map<String, Object> told(ConsumerRecord<byte[], CloudEvent> record)
            throws Exception {
        CloudEvent event = record.value();
        Map<String, String> attributes = new LinkedHashMap<>();
        for (String name : event.getAttributeNames()) {
            attributes.put(name, String.valueOf(event.getAttribute(name)));
        }
        for (String name : event.getExtensionNames()) {
            attributes.put(name, String.valueOf(event.getExtension(name)));
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("key", Records.hex(record.key()));
        line.put("headers", Records.hex(record.headers()));
        line.put("attributes", attributes);
        var tracing = ExtensionProvider.getInstance()
                .parseExtension(DistributedTracingExtension.class, event);
        line.put("traceparent", tracing == null ? null : tracing.getTraceparent());
        line.put("data", Records.JSON.readTree(event.getData().toBytes()));
        return line;
    }
}
