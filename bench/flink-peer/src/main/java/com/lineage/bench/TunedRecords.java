package com.lineage.bench;

import java.io.IOException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.formats.avro.typeutils.GenericRecordAvroTypeInfo;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * Decodes raw Avro data and adds topic, partition and offset. Decoder and both records are made once and used for
 * every record, so what it hands over holds until the next one only.
 */
final class TunedRecords implements KafkaRecordDeserializationSchema<GenericRecord> {
    private static final long serialVersionUID = 1;

    private final Schema inputSchema;
    private final Schema outputSchema;
    private final int inputFields;

    private transient GenericDatumReader<GenericRecord> reader;
    private transient BinaryDecoder decoder;
    private transient GenericData.Record input;
    private transient GenericData.Record output;
    private transient Utf8 topic;

    TunedRecords(Schema inputSchema, Schema outputSchema) {
        this.inputSchema = inputSchema;
        this.outputSchema = outputSchema;
        this.inputFields = inputSchema.getFields().size();
    }

    @Override
    public void open(DeserializationSchema.InitializationContext context) {
        // The compiled readers of Avro, which are quicker than the resolving decoder.
        GenericData model = new GenericData();
        model.setFastReaderEnabled(true);
        reader = new GenericDatumReader<>(inputSchema, inputSchema, model);
        input = new GenericData.Record(inputSchema);
        output = new GenericData.Record(outputSchema);
        topic = new Utf8();
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<GenericRecord> out) throws IOException {
        decoder = DecoderFactory.get().binaryDecoder(record.value(), decoder);
        reader.read(input, decoder);
        for (int field = 0; field < inputFields; field++) {
            output.put(field, input.get(field));
        }
        output.put(inputFields, topic(record.topic()));
        output.put(inputFields + 1, record.partition());
        output.put(inputFields + 2, record.offset());
        out.collect(output);
    }

    private Utf8 topic(String name) {
        if (!topic.toString().equals(name)) {
            topic = new Utf8(name);
        }
        return topic;
    }

    @Override
    public TypeInformation<GenericRecord> getProducedType() {
        return new GenericRecordAvroTypeInfo(outputSchema);
    }
}
