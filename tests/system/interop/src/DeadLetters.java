import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.support.KafkaHeaders;

/**
 * Dead letters as Spring writes and names them.
 *
 * <p>DeadLetters BROKERS COMMANDS DEAD OURS COUNT: has Spring's DeadLetterPublishingRecoverer write
 * each of the COUNT records of COMMANDS to OURS, then prints COUNT letters of DEAD and all of OURS.
 */
final class DeadLetters {
    private DeadLetters() {
    }

    public static void main(String[] args) throws Exception {
        String brokers = args[0];
        String ours = args[3];
        int count = Integer.parseInt(args[4]);
        var producers = new DefaultKafkaProducerFactory<>(
                Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers), new ByteArraySerializer(),
                new ByteArraySerializer());
        var recoverer = new DeadLetterPublishingRecoverer(new KafkaTemplate<>(producers),
                (record, problem) -> new TopicPartition(ours, 0));
        for (var record : read(brokers, args[1], count)) {
            recoverer.accept(record, new IllegalArgumentException("no command"));
        }
        producers.destroy();
        for (String topic : List.of(args[2], ours)) {
            for (var letter : read(brokers, topic, count)) {
                Records.print(told(letter));
            }
        }
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(String brokers, String topic,
            int count) {
        return Records.read(brokers, topic, new ByteArrayDeserializer(), count, record -> true);
    }

    private static Map<String, Object> told(ConsumerRecord<byte[], byte[]> letter) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topic", letter.topic());
        line.put("key", Records.hex(letter.key()));
        line.put("value", Records.hex(letter.value()));
        line.put("headers", Records.hex(letter.headers()));
        line.put("original-topic", text(letter, KafkaHeaders.DLT_ORIGINAL_TOPIC));
        line.put("original-partition",
                number(letter, KafkaHeaders.DLT_ORIGINAL_PARTITION).getInt());
        line.put("original-offset", number(letter, KafkaHeaders.DLT_ORIGINAL_OFFSET).getLong());
        line.put("original-timestamp",
                number(letter, KafkaHeaders.DLT_ORIGINAL_TIMESTAMP).getLong());
        line.put("exception-message", text(letter, KafkaHeaders.DLT_EXCEPTION_MESSAGE));
        return line;
    }

    private static String text(ConsumerRecord<byte[], byte[]> letter, String name) {
        return new String(letter.headers().lastHeader(name).value(), StandardCharsets.UTF_8);
    }

    private static ByteBuffer number(ConsumerRecord<byte[], byte[]> letter, String name) {
        return ByteBuffer.wrap(letter.headers().lastHeader(name).value());
    }
}
