package com.lineage.bench;

import java.io.IOException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.formats.avro.AvroDeserializationSchema;
import org.apache.flink.formats.avro.typeutils.GenericRecordAvroTypeInfo;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Flink's own Avro format decodes, and a new record takes the fields, topic, partition and offset. */
final class UsualRecords implements KafkaRecordDeserializationSchema<GenericRecord> {
    private static final long serialVersionUID = 1;

    private final AvroDeserializationSchema<GenericRecord> values;
    private final Schema outputSchema;

    UsualRecords(Schema inputSchema, Schema outputSchema) {
        this.values = AvroDeserializationSchema.forGeneric(inputSchema);
        this.outputSchema = outputSchema;
    }

    @Override
    public void open(DeserializationSchema.InitializationContext context) throws Exception {
        values.open(context);
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<GenericRecord> out) throws IOException {
        GenericRecord input = values.deserialize(record.value());
        GenericRecord output = new GenericData.Record(outputSchema);
        for (Schema.Field field : input.getSchema().getFields()) {
            output.put(field.name(), input.get(field.pos()));
        }
        output.put("kafka_topic", record.topic());
        output.put("kafka_partition", record.partition());
        output.put("kafka_offset", record.offset());
        out.collect(output);
    }

    @Override
    public TypeInformation<GenericRecord> getProducedType() {
        return new GenericRecordAvroTypeInfo(outputSchema);
    }
}
