package com.lineage.bench;

import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.formats.parquet.ParquetWriterFactory;
import org.apache.flink.formats.parquet.avro.AvroParquetWriters;
import org.apache.parquet.avro.AvroParquetWriter;
import org.apache.parquet.column.ParquetProperties.WriterVersion;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;

/** Writers of Parquet files. */
final class ParquetFiles {
    private static final String ZSTD_LEVEL = "parquet.compression.codec.zstd.level";

    /** Flink's own, which writes without compression, and has no setting for that. */
    static ParquetWriterFactory<GenericRecord> ofFlink(Schema schema) {
        return AvroParquetWriters.forGenericRecord(schema);
    }

    /** The same with zstd at the level that lineage has, and nothing else. */
    static ParquetWriterFactory<GenericRecord> compressed(Schema schema) {
        return new ParquetWriterFactory<>(out -> AvroParquetWriter.<GenericRecord>builder(out)
                .withSchema(schema)
                .withDataModel(GenericData.get())
                .withCompressionCodec(CompressionCodecName.ZSTD)
                .config(ZSTD_LEVEL, "1")
                .build());
    }

    /** With zstd, and tuned for these records. */
    static ParquetWriterFactory<GenericRecord> tuned(Schema schema) {
        return new ParquetWriterFactory<>(out -> AvroParquetWriter.<GenericRecord>builder(out)
                .withSchema(schema)
                .withDataModel(GenericData.get())
                .withCompressionCodec(CompressionCodecName.ZSTD)
                // Delta encoding of numbers: smaller files, and a little less work.
                .withWriterVersion(WriterVersion.PARQUET_2_0)
                .config(ZSTD_LEVEL, "1")
                // Every value of these is another one: a dictionary would be built and thrown away.
                .withDictionaryEncoding("uuid", false)
                .withDictionaryEncoding("timestamp", false)
                .withDictionaryEncoding("kafka_offset", false)
                .build());
    }

    private ParquetFiles() {}
}
