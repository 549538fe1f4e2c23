// java -cp "kafka-clients/*" Produce.java BROKER TOPIC: publishes lines of KEY <tab> JSON from standard input.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class Produce {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", args[0], "acks", "all", "enable.idempotence", true);
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (String line; (line = input.readLine()) != null; ) {
                String[] parts = line.split("\t", 2);
                producer.send(new ProducerRecord<>(args[1], parts[0], parts[1])).get(); // throws if not acknowledged
            }
        }
    }
}
