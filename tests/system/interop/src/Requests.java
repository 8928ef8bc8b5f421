import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.kafka.support.SendResult;
import org.springframework.kafka.support.TopicPartitionOffset;
import org.springframework.messaging.Message;
import org.springframework.messaging.support.MessageBuilder;

/**
 * Commands sent by Spring's ReplyingKafkaTemplate, all at once, and the replies that it matches to
 * them.
 *
 * <p>Requests BROKERS COMMANDS: a request a line of input, {"replies": TOPIC, "partition": where
 * its replies are to go, any where it is left out, "text": true for a correlation id that is text,
 * "message": true to send a Message instead of a record, "key", "value", "answered": false where no
 * reply is to come}. One line of output each, in the same order. Requests with the same replies,
 * partition and text share a template.
 */
final class Requests implements AutoCloseable {
    private final String brokers;
    private final String commands;
    private final Map<List<Object>, ReplyingKafkaTemplate<String, String, String>> templates =
            new HashMap<>();

    /** A request under way. */
    private record Asked(CompletableFuture<SendResult<String, String>> sent,
            CompletableFuture<?> reply) {
    }

    private Requests(String brokers, String commands) {
        this.brokers = brokers;
        this.commands = commands;
    }

    public static void main(String[] args) throws Exception {
        List<JsonNode> lines = Records.input();
        try (var requests = new Requests(args[0], args[1])) {
            List<Asked> all = new ArrayList<>();
            for (JsonNode line : lines) {
                all.add(requests.ask(line));
            }
            for (int i = 0; i < lines.size(); i++) {
                var record = all.get(i).sent().get().getProducerRecord();
                boolean answered = lines.get(i).path("answered").asBoolean(true);
                Map<String, Object> told = new LinkedHashMap<>();
                told.put("sent", Records.hex(record.headers()));
                told.put("reply", answered ? told(all.get(i).reply().get()) : null);
                Records.print(told);
            }
        }
    }

    private Asked ask(JsonNode line) throws InterruptedException {
        var template = template(line.get("replies").textValue(),
                line.has("partition") ? line.get("partition").intValue() : null,
                line.path("text").asBoolean());
        String key = line.path("key").textValue();
        String value = line.get("value").textValue();
        if (line.path("message").asBoolean()) {
            Message<String> message = MessageBuilder.withPayload(value)
                    .setHeader(KafkaHeaders.TOPIC, commands).setHeader(KafkaHeaders.KEY, key)
                    .build();
            var future = template.sendAndReceive(message);
            return new Asked(future.getSendFuture(), future);
        }
        var future = template.sendAndReceive(new ProducerRecord<>(commands, key, value));
        return new Asked(future.getSendFuture(), future);
    }

    private ReplyingKafkaTemplate<String, String, String> template(String replies,
            Integer partition, boolean text) throws InterruptedException {
        List<Object> id = List.of(replies, partition == null ? "all" : partition, text);
        if (templates.containsKey(id)) {
            return templates.get(id);
        }
        // With a partition of its own the template asks for it by kafka_replyPartition.
        var properties = partition == null ? new ContainerProperties(replies)
                : new ContainerProperties(new TopicPartitionOffset(replies, partition, 0L));
        properties.setGroupId(UUID.randomUUID().toString());
        var consumers = new DefaultKafkaConsumerFactory<>(
                Map.of(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
                        ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed"),
                new StringDeserializer(), new StringDeserializer());
        var producers = new DefaultKafkaProducerFactory<>(
                Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers), new StringSerializer(),
                new StringSerializer());
        var template = new ReplyingKafkaTemplate<>(producers,
                new KafkaMessageListenerContainer<>(consumers, properties));
        // Others' replies come by, too.
        template.setSharedReplyTopic(true);
        template.setBinaryCorrelation(!text);
        template.setDefaultReplyTimeout(Records.PATIENCE);
        template.afterPropertiesSet();
        template.start();
        templates.put(id, template);
        if (!template.waitForAssignment(Records.PATIENCE)) {
            throw new IllegalStateException("no partition of " + replies);
        }
        return template;
    }

    private static Map<String, Object> told(Object reply) {
        Map<String, Object> line = new LinkedHashMap<>();
        if (reply instanceof Message<?> message) {
            line.put("topic", message.getHeaders().get(KafkaHeaders.RECEIVED_TOPIC));
            line.put("partition", message.getHeaders().get(KafkaHeaders.RECEIVED_PARTITION));
            line.put("key", message.getHeaders().get(KafkaHeaders.RECEIVED_KEY));
            line.put("value", message.getPayload());
        } else if (reply instanceof ConsumerRecord<?, ?> record) {
            line.put("topic", record.topic());
            line.put("partition", record.partition());
            line.put("key", record.key());
            line.put("value", record.value());
        }
        return line;
    }

    @Override
    public void close() {
        for (var template : templates.values()) {
            template.stop();
            template.destroy();
            template.getProducerFactory().reset();
        }
    }
}
