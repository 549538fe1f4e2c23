// Kafka Streams doing the same fan-out: one record per follower ("plain"), or one per partition of followers ("packed").
// Who follows whom is a map in memory from the start, which is kinder than the state that Fanbell folds.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

public class FanOut {
    record Pack(int partition, String recipients) {}

    public static void main(String[] args) {
        String servers = args[0], name = args[1], in = args[2], out = args[3], mode = args[4];
        int authors = Integer.parseInt(args[5]), followers = Integer.parseInt(args[6]), partitions = Integer.parseInt(args[7]);
        Map<String, List<String>> followersOf = new HashMap<>();
        Map<String, List<Pack>> packsOf = new HashMap<>();
        for (int author = 0; author < authors; author++) {
            List<String> all = new ArrayList<>();
            Map<Integer, List<String>> byPartition = new HashMap<>();
            for (int i = 0; i < followers; i++) {
                String user = "user-" + (author * followers + i);
                all.add(user);
                int at = Utils.toPositive(Utils.murmur2(user.getBytes(StandardCharsets.UTF_8))) % partitions;
                byPartition.computeIfAbsent(at, k -> new ArrayList<>()).add('"' + user + '"');
            }
            List<Pack> packs = new ArrayList<>();
            byPartition.forEach((at, users) -> packs.add(new Pack(at, String.join(",", users))));
            followersOf.put("author-" + author, all);
            packsOf.put("author-" + author, packs);
        }
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 262144);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        config.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        StreamsBuilder builder = new StreamsBuilder();
        var activities = builder.stream(in, Consumed.with(Serdes.String(), Serdes.String()));
        if (mode.equals("plain")) {
            activities
                .flatMap((key, value) -> {
                    List<KeyValue<String, String>> told = new ArrayList<>();
                    String content = value.substring(0, value.length() - 1);
                    for (String user : followersOf.get(actorOf(value))) {
                        told.add(KeyValue.pair(user, content + ",\"recipient\":\"" + user + "\"}"));
                    }
                    return told;
                })
                .to(out, Produced.with(Serdes.String(), Serdes.String()));
        } else {
            activities
                .flatMap((key, value) -> {
                    List<KeyValue<String, String>> told = new ArrayList<>();
                    String content = value.substring(0, value.length() - 1);
                    for (Pack pack : packsOf.get(actorOf(value))) {
                        told.add(KeyValue.pair("" + pack.partition(), content + ",\"recipients\":[" + pack.recipients() + "]}"));
                    }
                    return told;
                })
                .to(out, Produced.with(Serdes.String(), Serdes.String())
                    .withStreamPartitioner((topic, key, value, count) -> Optional.of(Set.of(Integer.parseInt(key)))));
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), config);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    static String actorOf(String value) {
        int from = value.indexOf("\"actor\":\"") + 9;
        return value.substring(from, value.indexOf('"', from));
    }
}
