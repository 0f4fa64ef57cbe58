package com.lineage.bench;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.functions.sink.filesystem.BucketAssigner;
import org.apache.flink.streaming.api.functions.sink.filesystem.bucketassigners.SimpleVersionedStringSerializer;

/**
 * Folders by the hour of processing, in UTC. Flink's own DateTimeBucketAssigner does the same and formats the time
 * anew for every record; this one does so once an hour.
 */
final class HourBuckets implements BucketAssigner<GenericRecord, String> {
    private static final long serialVersionUID = 1;
    static final String PATTERN = "'year='yyyy'/month='MM'/day='dd'/hour='HH";

    private static final long HOUR_MS = 3_600_000;
    private static final DateTimeFormatter FORMAT = DateTimeFormatter.ofPattern(PATTERN).withZone(ZoneOffset.UTC);

    private transient long hour;
    private transient String bucket;

    @Override
    public String getBucketId(GenericRecord record, Context context) {
        long now = context.currentProcessingTime() / HOUR_MS;
        if (bucket == null || now != hour) {
            hour = now;
            bucket = FORMAT.format(Instant.ofEpochMilli(now * HOUR_MS));
        }
        return bucket;
    }

    @Override
    public SimpleVersionedSerializer<String> getSerializer() {
        return SimpleVersionedStringSerializer.INSTANCE;
    }
}
