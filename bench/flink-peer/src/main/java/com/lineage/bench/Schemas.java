package com.lineage.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.Schema;

/** The schema of the topic, and that of the files: the same fields, then where each record was in Kafka. */
final class Schemas {
    static Schema input() {
        try (InputStream file = Schemas.class.getResourceAsStream("/input_event.avsc")) {
            return new Schema.Parser().parse(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Schema output() {
        List<Schema.Field> fields = new ArrayList<>();
        for (Schema.Field field : input().getFields()) {
            fields.add(new Schema.Field(field, field.schema()));
        }
        fields.add(new Schema.Field("kafka_topic", Schema.create(Schema.Type.STRING)));
        fields.add(new Schema.Field("kafka_partition", Schema.create(Schema.Type.INT)));
        fields.add(new Schema.Field("kafka_offset", Schema.create(Schema.Type.LONG)));
        return Schema.createRecord("OutputEvent", null, "com.lineage", false, fields);
    }

    private Schemas() {}
}
