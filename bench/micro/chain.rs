//! What decode, enrich and encode cost alone, in memory, for records of the default schema: eight
//! thousand at a time, as the source hands them over. `cargo bench --bench chain`.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say so and end"
)]

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::RecordBatch;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lineage::config::DEFAULT_SCHEMA;
use lineage::ids::{CheckpointId, Offset, Split};
use lineage::sink::compression::Compression;
use lineage::sink::parquet::{ParquetFile, ParquetOptions};
use lineage::source::{Origin, RawBatch, Record, SplitIndex};
use lineage::transform::avro_schema::InputSchema;
use lineage::transform::decode::{AvroDecoder, Lookup, WriterSchemas};
use lineage::transform::enrich::Enricher;
use lineage::transform::framing::{AvroFormat, SchemaId};

const RECORDS: usize = 8_192;
/// Batches of one encoded file: some row groups.
const BATCHES: usize = 60;

struct Events(Vec<Vec<u8>>);

impl Events {
    /// Avro datums of a uuid and a time each.
    fn new() -> Self {
        let event = |n: usize| {
            let mut datum = vec![72];
            datum.extend(uuid::Uuid::new_v4().to_string().bytes());
            // A time of this century in zigzag has six bytes of seven bits.
            let mut rest = (1_763_700_000_000 + n as u64) << 1;
            while rest > 0x7f {
                datum.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            datum.push(rest as u8);
            datum
        };
        Self((0..RECORDS).map(event).collect())
    }
}

fn origin(index: usize) -> Origin {
    Origin {
        split: SplitIndex(0),
        offset: Offset(index as i64),
    }
}

impl RawBatch for Events {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        Record {
            origin: origin(index),
            timestamp: None,
            key: None,
            value: Some(&self.0[index]),
        }
    }
}

/// One writer's schema, known from the start.
struct Known(Arc<str>);

impl WriterSchemas for Known {
    fn look_up(&self, _id: SchemaId) -> Lookup {
        Lookup::Known(self.0.clone())
    }
}

/// A decoder of Confluent's wire format, and the events in it.
fn confluent(events: &Events) -> (AvroDecoder, Events) {
    let schema = InputSchema::parse(DEFAULT_SCHEMA).expect("it is a schema");
    let schema = schema.framed(AvroFormat::Confluent).expect("it needs none");
    let known = Arc::new(Known(DEFAULT_SCHEMA.into()));
    let decoder = AvroDecoder::new(&schema, Some(known)).expect("it can be decoded");
    let framed = events
        .0
        .iter()
        .map(|datum| [&[0, 0, 0, 0, 7], &datum[..]].concat());
    (decoder, Events(framed.collect()))
}

fn decode(decoder: &mut AvroDecoder, events: &Events) -> RecordBatch {
    let decoded = decoder.decode(events).expect("the events are good");
    let decoded = decoded.expect("their schema is known");
    decoded.rows.expect("there are events")
}

fn benchmarks(criterion: &mut Criterion) {
    let schema = InputSchema::parse(DEFAULT_SCHEMA).expect("it is a schema");
    let mut decoder = AvroDecoder::new(&schema, None).expect("it can be decoded");
    let enricher = Enricher::new(schema.arrow(), &[]);
    let splits = [Split::new("lineage-input", 0)];
    let origins: Vec<_> = (0..RECORDS).map(origin).collect();
    let events = Events::new();
    let rows = decode(&mut decoder, &events);
    let enrich = |rows: &RecordBatch| {
        let none = std::iter::empty();
        let enriched = enricher.enrich(rows, &origins, &splits, CheckpointId(1), none);
        enriched.expect("the columns fit")
    };
    let enriched = enrich(&rows);

    let mut group = criterion.benchmark_group("chain");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("decode", |b| {
        b.iter(|| decode(&mut decoder, black_box(&events)))
    });
    let (mut confluent, framed) = confluent(&events);
    group.bench_function("decode, confluent", |b| {
        b.iter(|| decode(&mut confluent, black_box(&framed)))
    });
    group.bench_function("enrich", |b| b.iter(|| enrich(black_box(&rows))));
    group.throughput(Throughput::Elements((RECORDS * BATCHES) as u64));
    for compression in [
        Compression::default(),
        Compression::Snappy,
        Compression::None,
    ] {
        group.bench_function(format!("encode, {compression}"), |b| {
            b.iter(|| encode(black_box(&enriched), compression));
        });
    }
}

fn encode(batch: &RecordBatch, compression: Compression) -> usize {
    let options = ParquetOptions {
        compression,
        ..ParquetOptions::default()
    };
    let mut file = ParquetFile::create(batch, &options).expect("a file can be begun");
    let mut bytes = 0;
    for _ in 0..BATCHES {
        file.write(batch).expect("rows can be written");
        while let Some(piece) = file.next_piece() {
            bytes += piece.len();
        }
    }
    let rest = file.finish(Vec::new()).expect("a file can be ended");
    bytes + rest.map(|piece| piece.len()).sum::<usize>()
}

criterion_group!(chain, benchmarks);
criterion_main!(chain);
