package com.lineage.bench;

import org.apache.avro.generic.GenericRecord;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.java.utils.ParameterTool;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.core.fs.Path;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.filesystem.OutputFileConfig;
import org.apache.flink.streaming.api.functions.sink.filesystem.rollingpolicies.OnCheckpointRollingPolicy;

/**
 * Archives a Kafka topic as Parquet files, exactly once, with a commit log: what lineage does, as a Flink user
 * would write it. Reads up to the offsets that the topic ends at when the job starts, and ends.
 *
 * <p>With the codec {@code default} nothing of Flink and Parquet is set that need not be.
 */
public final class LineageJob {
    public static void main(String[] args) throws Exception {
        ParameterTool settings = ParameterTool.fromArgs(args);
        String codec = settings.getRequired("codec");

        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.setParallelism(settings.getInt("parallelism"));
        env.enableCheckpointing(settings.getLong("checkpoint-interval-ms"), CheckpointingMode.EXACTLY_ONCE);
        env.getCheckpointConfig().setCheckpointStorage(settings.getRequired("checkpoints"));
        if (!codec.equals("default")) {
            // The source hands its one record to a sink in the same thread, which does not keep it.
            env.getConfig().enableObjectReuse();
        }

        KafkaSource<GenericRecord> source = KafkaSource.<GenericRecord>builder()
                .setBootstrapServers(settings.getRequired("brokers"))
                .setTopics(settings.getRequired("topic"))
                .setGroupId(settings.getRequired("group"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setDeserializer(new EnrichedRecords(Schemas.input(), Schemas.output()))
                .build();

        FileSink<GenericRecord> files = FileSink
                .forBulkFormat(new Path(settings.getRequired("output")), ParquetFiles.of(Schemas.output(), codec))
                .withBucketAssigner(new HourBuckets())
                .withRollingPolicy(OnCheckpointRollingPolicy.build())
                .withOutputFileConfig(OutputFileConfig.builder().withPartSuffix(".parquet").build())
                .build();

        env.fromSource(source, WatermarkStrategy.noWatermarks(), "kafka")
                .sinkTo(new LoggedFileSink<>(files, settings.getRequired("commit-log")))
                .name("parquet");
        env.execute("lineage");
    }

    private LineageJob() {}
}
