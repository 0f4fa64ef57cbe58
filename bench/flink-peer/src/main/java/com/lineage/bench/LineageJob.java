package com.lineage.bench;

import java.time.ZoneOffset;
import java.util.Locale;
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
import org.apache.flink.streaming.api.functions.sink.filesystem.bucketassigners.DateTimeBucketAssigner;
import org.apache.flink.streaming.api.functions.sink.filesystem.rollingpolicies.OnCheckpointRollingPolicy;

/**
 * Archives a Kafka topic as Parquet files, exactly once, with a commit log: what lineage does, as a Flink user
 * would write it. Reads up to the offsets that the topic ends at when the job starts, and ends.
 *
 * <p>In the style {@code tuned} it is written for speed; in the style {@code documented}, of the pieces that Flink's
 * documentation names, with nothing set that need not be but the codec; {@code default} leaves that as it is, too.
 */
public final class LineageJob {
    public static void main(String[] args) throws Exception {
        ParameterTool settings = ParameterTool.fromArgs(args);
        Style style = Style.valueOf(settings.getRequired("style").toUpperCase(Locale.ROOT));

        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.setParallelism(settings.getInt("parallelism"));
        env.enableCheckpointing(settings.getLong("checkpoint-interval-ms"), CheckpointingMode.EXACTLY_ONCE);
        env.getCheckpointConfig().setCheckpointStorage(settings.getRequired("checkpoints"));
        if (style == Style.TUNED) {
            // The source hands its one record to a sink in the same thread, which does not keep it.
            env.getConfig().enableObjectReuse();
        }

        KafkaSource<GenericRecord> source = KafkaSource.<GenericRecord>builder()
                .setBootstrapServers(settings.getRequired("brokers"))
                .setTopics(settings.getRequired("topic"))
                .setGroupId(settings.getRequired("group"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setDeserializer(
                        style == Style.TUNED
                                ? new TunedRecords(Schemas.input(), Schemas.output())
                                : new UsualRecords(Schemas.input(), Schemas.output()))
                .build();

        FileSink<GenericRecord> files = FileSink
                .forBulkFormat(
                        new Path(settings.getRequired("output")),
                        switch (style) {
                            case TUNED -> ParquetFiles.tuned(Schemas.output());
                            case DOCUMENTED -> ParquetFiles.compressed(Schemas.output());
                            case DEFAULT -> ParquetFiles.ofFlink(Schemas.output());
                        })
                .withBucketAssigner(
                        style == Style.TUNED
                                ? new HourBuckets()
                                : new DateTimeBucketAssigner<GenericRecord>(HourBuckets.PATTERN, ZoneOffset.UTC))
                .withRollingPolicy(OnCheckpointRollingPolicy.build())
                .withOutputFileConfig(OutputFileConfig.builder().withPartSuffix(".parquet").build())
                .build();

        env.fromSource(source, WatermarkStrategy.noWatermarks(), "kafka")
                .sinkTo(new LoggedFileSink<>(files, settings.getRequired("commit-log")))
                .name("parquet");
        env.execute("lineage");
    }

    /** How much has been thought of speed. */
    private enum Style {
        TUNED,
        DOCUMENTED,
        DEFAULT
    }

    private LineageJob() {}
}
