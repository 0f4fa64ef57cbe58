package com.lineage.bench;

import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.formats.parquet.ParquetWriterFactory;
import org.apache.flink.formats.parquet.avro.AvroParquetWriters;
import org.apache.parquet.avro.AvroParquetWriter;
import org.apache.parquet.column.ParquetProperties.WriterVersion;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;

/** Writers of Parquet files: Flink's own for the codec {@code default}, else ones tuned for these records. */
final class ParquetFiles {
    static ParquetWriterFactory<GenericRecord> of(Schema schema, String codec) {
        if (codec.equals("default")) {
            return AvroParquetWriters.forGenericRecord(schema);
        }
        CompressionCodecName name = switch (codec) {
            case "zstd" -> CompressionCodecName.ZSTD;
            case "snappy" -> CompressionCodecName.SNAPPY;
            case "none" -> CompressionCodecName.UNCOMPRESSED;
            default -> throw new IllegalArgumentException("no such codec: " + codec);
        };
        return new ParquetWriterFactory<>(out -> AvroParquetWriter.<GenericRecord>builder(out)
                .withSchema(schema)
                .withDataModel(GenericData.get())
                .withCompressionCodec(name)
                // Delta encoding of numbers: smaller files, and a little less work.
                .withWriterVersion(WriterVersion.PARQUET_2_0)
                .config("parquet.compression.codec.zstd.level", "1")
                // Every value of these is another one: a dictionary would be built and thrown away.
                .withDictionaryEncoding("uuid", false)
                .withDictionaryEncoding("timestamp", false)
                .withDictionaryEncoding("kafka_offset", false)
                .build());
    }

    private ParquetFiles() {}
}
