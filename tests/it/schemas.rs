//! Other schemas than the default one.

use std::fs;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

use crate::harness::read_back::{Past, assert_consistent, assert_exact, python, report};
use crate::harness::records::{avro_bytes, avro_long, encode, single_object_encoded};
use crate::harness::{Archive, Folder, Lineage, Root, Storage, Topic};

const SCHEMA: &str = r#"{
  "type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "note", "type": ["null", "string"]},
    {"name": "price", "type": "double"},
    {"name": "weights", "type": {"type": "array", "items": "float"}},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OPEN", "PAID"]}},
    {"name": "counts", "type": {"type": "map", "values": "int"}},
    {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "paid", "type": "boolean"},
    {"name": "place", "type": {"type": "record", "name": "Place", "fields": [
      {"name": "city", "type": "string"}, {"name": "zip", "type": ["null", "int"]}]}}
  ]}"#;

/// Order `n` in Avro.
fn order(n: i64) -> Vec<u8> {
    let mut datum = Vec::new();
    if n % 2 == 0 {
        avro_long(0, &mut datum);
    } else {
        avro_long(1, &mut datum);
        avro_bytes(format!("note {n}").as_bytes(), &mut datum);
    }
    datum.extend_from_slice(&(n as f64 / 4.0).to_le_bytes());
    if n > 0 {
        avro_long(n, &mut datum);
        for item in 0..n {
            datum.extend_from_slice(&(item as f32).to_le_bytes());
        }
    }
    avro_long(0, &mut datum);
    avro_long(n % 2, &mut datum);
    avro_long(1, &mut datum);
    avro_bytes(b"a", &mut datum);
    avro_long(n, &mut datum);
    avro_long(0, &mut datum);
    avro_bytes(&i32::try_from(-123 * n).unwrap().to_be_bytes(), &mut datum);
    avro_long(20_000 + n, &mut datum);
    datum.push(u8::from(n % 3 == 0));
    avro_bytes("Köln".as_bytes(), &mut datum);
    avro_long(1, &mut datum);
    avro_long(50_000 + n, &mut datum);
    datum
}

/// The same as Python's readers give it.
fn row(n: i64) -> Value {
    let weights: Vec<_> = (0..n).map(|item| item as f64).collect();
    let cents = -123 * n;
    let day = chrono::DateTime::from_timestamp(86_400 * (20_000 + n), 0).unwrap();
    json!({
        "note": (n % 2 != 0).then(|| format!("note {n}")),
        "price": n as f64 / 4.0,
        "weights": weights,
        "state": if n % 2 == 0 { "OPEN" } else { "PAID" },
        "counts": [["a", n]],
        "total": format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100),
        "day": day.format("%Y-%m-%d").to_string(),
        "paid": n % 3 == 0,
        "place": {"city": "Köln", "zip": 50_000 + n},
        "kafka_partition": 0,
        "kafka_offset": n,
    })
}

#[test]
fn a_schema_with_many_types_is_archived_and_reads_back() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(1);
    let folder = Folder::new();
    let schema = folder.path().join("order.avsc");
    fs::write(&schema, SCHEMA).unwrap();
    let orders: Vec<_> = (0..5).map(order).collect();
    topic.produce_raw(0, orders.iter().map(|order| Some(order.as_slice())));
    let flags = ["--bounded", "--avro-schema", schema.to_str().unwrap()];
    Lineage::run(&archive, &topic, &flags);

    let report = report(&archive, &topic);
    assert_consistent(&report, Past::Calm);
    assert_eq!(
        (&report["output_rows"], &report["dropped_rows"]),
        (&5.into(), &0.into())
    );
    let script = r#"
import glob, json, sys
import duckdb, pyarrow.parquet as pq
files = glob.glob(sys.argv[1] + "/**/*.parquet", recursive=True)
rows = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
assert duckdb.read_parquet(files).fetchall() and len(duckdb.read_parquet(files).fetchall()) == len(rows)
for row in rows:
    del row["checkpoint_id"], row["kafka_topic"]
json.dump(sorted(rows, key=lambda row: row["kafka_offset"]), sys.stdout, default=str)
"#;
    let output = archive.mirror(Root::Output);
    let rows = python(&["-c", script, output.to_str().unwrap()], "");
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let expected: Vec<_> = (0..5).map(row).collect();
    assert_eq!(rows, expected);
}

#[test]
fn single_object_encoded_records_are_archived_and_others_dropped_with_their_reason() {
    for storage in [Storage::Local, Storage::S3] {
        let (archive, topic) = (Archive::new(storage), Topic::create(1));
        let framed = |number| single_object_encoded(&encode(0, number));
        let mut of_another_schema = framed(3);
        of_another_schema[9] ^= 1;
        let values = [
            framed(0),
            framed(1),
            // Without its frame, with half of it, and with nothing in it.
            encode(0, 2),
            single_object_encoded(&[])[..7].to_vec(),
            single_object_encoded(&[]),
            of_another_schema,
            framed(4),
        ];
        topic.produce_raw(0, values.iter().map(|value| Some(value.as_slice())));
        Lineage::run(
            &archive,
            &topic,
            &["--bounded", "--avro-format", "single-object"],
        );

        let report = report(&archive, &topic);
        assert_consistent(&report, Past::Calm);
        assert_eq!(
            (&report["output_rows"], &report["dropped_rows"]),
            (&3.into(), &4.into())
        );
        let script = r#"
import glob, json, sys
import pyarrow.parquet as pq
def rows(folder):
    files = glob.glob(folder + "/**/*.parquet", recursive=True)
    return sorted((row["kafka_offset"], row) for path in files for row in pq.ParquetFile(path).read().to_pylist())
output, dropped = rows(sys.argv[1]), rows(sys.argv[2])
json.dump([[offset for offset, _ in output], [[offset, row["error"].split(":")[0]] for offset, row in dropped]], sys.stdout)
"#;
        let folders = [Root::Output, Root::Dropped].map(|root| archive.mirror(root));
        let folders = folders.each_ref().map(|folder| folder.to_str().unwrap());
        let told = python(&["-c", script, folders[0], folders[1]], "");
        let told: Value = serde_json::from_str(&told).unwrap();
        let without = "not single-object encoded";
        assert_eq!(
            told,
            json!([
                [0, 1, 6],
                [
                    [2, without],
                    [3, without],
                    [4, "empty"],
                    [5, "another schema"]
                ]
            ])
        );
    }
}

#[test]
fn files_are_compressed_as_the_setting_says() {
    for (setting, codec) in [
        ("zstd:1", "ZSTD"),
        ("zstd:9", "ZSTD"),
        ("snappy", "SNAPPY"),
        ("lz4", "LZ4_RAW"),
        ("none", "UNCOMPRESSED"),
    ] {
        let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
        topic.produce(1_000);
        Lineage::run(
            &archive,
            &topic,
            &["--bounded", "--parquet-compression", setting],
        );
        assert_exact(&archive, &topic, Past::Calm);
        let key = archive.keys(Root::Output).remove(0);
        let file = fs::File::open(archive.mirror(Root::Output).join(key)).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        for column in reader.metadata().row_group(0).columns() {
            let name = column.column_path().string();
            // Of some dozens of bytes, however many rows.
            let in_runs = ["kafka_topic", "kafka_partition", "checkpoint_id"];
            let codec = match in_runs.contains(&name.as_str()) {
                true => "UNCOMPRESSED",
                false => codec,
            };
            let found = format!("{:?}", column.compression());
            assert!(found.starts_with(codec), "{name}: {found}");
        }
    }
}

#[test]
fn a_row_group_ends_at_the_rows_or_the_bytes_that_were_given() {
    // The size is looked at once in a batch of some 8,000 rows.
    for (flag, records, most_rows, most_bytes) in [
        ("--parquet-row-group-rows=700", 20_000, 700, i64::MAX),
        ("--parquet-row-group-size=1MiB", 150_000, 122_880, 5 << 18),
    ] {
        let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
        topic.produce(records);
        Lineage::run(&archive, &topic, &["--bounded", flag]);
        assert_exact(&archive, &topic, Past::Calm);
        let key = archive.keys(Root::Output).remove(0);
        let file = fs::File::open(archive.mirror(Root::Output).join(key)).unwrap();
        let groups = SerializedFileReader::new(file).unwrap();
        let groups = groups.metadata().row_groups().iter();
        let sizes = groups.map(|group| (group.num_rows(), group.compressed_size()));
        let sizes: Vec<_> = sizes.collect();
        let fits = |(rows, bytes): &_| *rows <= most_rows && *bytes <= most_bytes;
        assert!(
            sizes.len() > 2 && sizes.iter().all(fits),
            "{flag}: {sizes:?}"
        );
    }
}
