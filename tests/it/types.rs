//! Each Avro type there and back: what it is in Parquet, and which value two other readers find in it.
//! docs/types.md has the same table, which is checked here.

use std::fs;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use crate::harness::read_back::python;
use crate::harness::records::{avro_bytes, avro_long, encode};
use crate::harness::{Archive, Folder, Lineage, Root, Storage, Topic};
use crate::refusals::refused;

const DOCS: &str = include_str!("../../docs/types.md");

/// The type, and one datum of it.
struct Sample {
    avro: &'static str,
    datum: Vec<u8>,
}

fn sample(avro: &'static str, datum: impl FnOnce(&mut Vec<u8>)) -> Sample {
    let mut bytes = Vec::new();
    datum(&mut bytes);
    Sample { avro, datum: bytes }
}

fn long(avro: &'static str, value: i64) -> Sample {
    sample(avro, |datum| avro_long(value, datum))
}

/// 2026-11-21T07:08:09.123456789.
const NANOS: i64 = 1_795_244_889_123_456_789;
const TEXT_UUID: &str = "0a0b0c0d-0102-4304-8506-0708090a0b0c";

fn samples() -> Vec<Sample> {
    let unscaled = -123_456_i128;
    let bytes_of = |width: usize| unscaled.to_be_bytes()[16 - width..].to_vec();
    vec![
        sample(r#""boolean""#, |d| d.push(1)),
        long(r#""int""#, i32::MIN.into()),
        long(r#""long""#, i64::MIN),
        sample(r#""float""#, |d| d.extend(1.5_f32.to_le_bytes())),
        sample(r#""double""#, |d| d.extend((-0.1_f64).to_le_bytes())),
        sample(r#""bytes""#, |d| avro_bytes(&[0, 255], d)),
        sample(r#""string""#, |d| avro_bytes("Köln".as_bytes(), d)),
        long(r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, 1),
        sample(r#"{"type":"fixed","name":"F","size":3}"#, |d| {
            d.extend([1, 2, 3])
        }),
        sample(r#"{"type":"array","items":"int"}"#, |d| {
            for item in [2, 7, -7, 0] {
                avro_long(item, d);
            }
        }),
        sample(r#"{"type":"map","values":"long"}"#, |d| {
            avro_long(1, d);
            avro_bytes(b"k", d);
            avro_long(5, d);
            avro_long(0, d);
        }),
        sample(
            r#"{"type":"record","name":"S","fields":[{"name":"x","type":"int"},{"name":"y","type":["null","string"]}]}"#,
            |d| {
                avro_long(4, d);
                avro_long(0, d);
            },
        ),
        sample(r#"["null","long"]"#, |d| {
            avro_long(1, d);
            avro_long(9, d);
        }),
        sample(r#"["string","null"]"#, |d| avro_long(1, d)),
        sample(
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            |d| avro_bytes(&bytes_of(4), d),
        ),
        sample(
            r#"{"type":"bytes","logicalType":"decimal","precision":18,"scale":4}"#,
            |d| avro_bytes(&bytes_of(3), d),
        ),
        sample(
            r#"{"type":"fixed","name":"D","size":16,"logicalType":"decimal","precision":38,"scale":10}"#,
            |d| d.extend(bytes_of(16)),
        ),
        sample(
            r#"{"type":"bytes","logicalType":"decimal","precision":40,"scale":2}"#,
            |d| avro_bytes(&bytes_of(16), d),
        ),
        sample(r#"{"type":"string","logicalType":"uuid"}"#, |d| {
            avro_bytes(TEXT_UUID.as_bytes(), d);
        }),
        long(
            r#"{"type":"int","logicalType":"date"}"#,
            NANOS / 86_400_000_000_000,
        ),
        long(r#"{"type":"int","logicalType":"time-millis"}"#, 25_689_123),
        long(
            r#"{"type":"long","logicalType":"time-micros"}"#,
            25_689_123_456,
        ),
        long(
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            NANOS / 1_000_000,
        ),
        long(
            r#"{"type":"long","logicalType":"timestamp-micros"}"#,
            NANOS / 1_000,
        ),
        long(r#"{"type":"long","logicalType":"timestamp-nanos"}"#, NANOS),
        long(
            r#"{"type":"long","logicalType":"local-timestamp-millis"}"#,
            NANOS / 1_000_000,
        ),
        long(
            r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
            NANOS / 1_000,
        ),
        long(
            r#"{"type":"long","logicalType":"local-timestamp-nanos"}"#,
            NANOS,
        ),
        // Taken as what they stand on.
        sample(
            r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#,
            |d| d.extend(b"0123456789abcdef"),
        ),
        sample(r#"{"type":"bytes","logicalType":"big-decimal"}"#, |d| {
            avro_bytes(b"ab", d)
        }),
    ]
}

const READ: &str = r#"
import glob, json, sys
import duckdb, pyarrow.parquet as pq
path = glob.glob(sys.argv[1] + "/**/*.parquet", recursive=True)[0]
file = pq.ParquetFile(path)
table = file.read()
def parquet(name):
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    of = [c for c in columns if c.path.split(".")[0] == name]
    def text(c):
        logical = json.loads(c.logical_type.to_json())
        kind = logical.pop("Type", "None")
        more = ", ".join(f"{k}={v}" for k, v in logical.items() if k in ("precision", "scale", "timeUnit", "isAdjustedToUTC"))
        kind = "" if kind == "None" else f" ({kind}{': ' + more if more else ''})"
        return c.physical_type + kind
    return "; ".join(text(c) for c in of)
def shown(scalar):
    try:
        return str(scalar.as_py())
    except ValueError:  # Python's own types end at microseconds.
        return f"{scalar.value} ns"
found = []
for name in table.column_names:
    if not name.startswith("f"):
        continue
    value, typed = duckdb.sql(f"SELECT {name}::VARCHAR, typeof({name}) FROM read_parquet('{path}')").fetchall()[0]
    found.append([name, parquet(name), str(table.schema.field(name).type), shown(table.column(name)[0]), typed, value])
json.dump(found, sys.stdout)
"#;

#[test]
fn each_type_is_what_the_table_says_for_two_readers_that_are_not_ours() {
    let (archive, topic, folder) = (
        Archive::new(Storage::Local),
        Topic::create(1),
        Folder::new(),
    );
    let samples = samples();
    let fields = samples
        .iter()
        .enumerate()
        .map(|(n, sample)| format!(r#"{{"name":"f{n:02}","type":{}}}"#, sample.avro));
    let fields: Vec<_> = fields.collect();
    let schema = format!(
        r#"{{"type":"record","name":"All","fields":[{}]}}"#,
        fields.join(",")
    );
    let path = folder.path().join("all.avsc");
    fs::write(&path, schema).unwrap();
    let datum: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.datum.clone())
        .collect();
    topic.produce_raw(0, [Some(datum.as_slice())]);
    Lineage::run(
        &archive,
        &topic,
        &["--bounded", "--avro-schema", path.to_str().unwrap()],
    );
    let output = archive.mirror(Root::Output);
    let found = python(&["-c", READ, output.to_str().unwrap()], "");
    let found: Vec<[Value; 6]> = serde_json::from_str(&found).unwrap();
    assert_eq!(found.len(), samples.len());
    let cell = |value: &Value| value.as_str().map_or("NULL".to_owned(), str::to_owned);
    let mut missing = Vec::new();
    for (sample, [_, parquet, arrow, value, duckdb, in_duckdb]) in samples.iter().zip(&found) {
        let cells = [parquet, arrow, value, duckdb, in_duckdb].map(cell);
        let line = format!("| `{}` | {} |", sample.avro, cells.join(" | "));
        if !DOCS.lines().any(|of_docs| of_docs == line) {
            missing.push(line);
        }
    }
    assert!(
        missing.is_empty(),
        "docs/types.md has not:\n{}",
        missing.join("\n")
    );
}

#[test]
fn what_parquet_has_no_form_for_is_refused_at_the_start_by_its_field() {
    let (archive, topic, folder) = (Archive::new(Storage::Local), Topic::absent(), Folder::new());
    let path = folder.path().join("refused.avsc");
    let named = path.to_str().unwrap();
    for avro in [
        r#""null""#,
        r#"["int","string"]"#,
        r#"["null","int","string"]"#,
        r#"["null","R"]"#,
        r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#,
        r#"{"type":"fixed","name":"Z","size":0}"#,
        r#"{"type":"record","name":"E","fields":[]}"#,
    ] {
        let schema =
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"odd","type":{avro}}}]}}"#);
        fs::write(&path, schema).unwrap();
        let flags = ["--avro-schema", named];
        refused(
            &archive,
            &topic,
            &flags,
            &[],
            2,
            &["AVRO_SCHEMA", "field 'odd'"],
        );
        assert!(
            DOCS.contains(&format!("`{avro}`")),
            "docs/types.md does not name {avro}"
        );
    }
}

#[test]
fn keys_headers_and_times_stay_with_their_records_where_others_between_them_are_dropped() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    let sender = topic.sender(&[]);
    for number in 0..3_000_u32 {
        let (own, good) = (number.to_string(), encode(0, u64::from(number)));
        let broken = number % 3 == 0 || (700..900).contains(&number);
        let header = Header {
            key: "number",
            value: Some(&own),
        };
        let record = BaseRecord::<str, [u8], usize>::with_opaque_to(&topic.name, 0)
            .partition(0)
            .timestamp(1_700_000_000_000 + i64::from(number))
            .headers(OwnedHeaders::new().insert(header))
            .key(&own)
            .payload(if broken { b"x" } else { good.as_slice() });
        sender.0.send(record).map_err(|(error, _)| error).unwrap();
    }
    sender.flush();
    let flags = ["--bounded", "--kafka-columns=key,headers,timestamp"];
    Lineage::run(&archive, &topic, &flags);
    // `timestamp` is in the value: by it the row is known.
    let script = r#"
import duckdb, json, sys
rows = duckdb.sql(f"""SELECT count(*), bool_and(
    epoch_ms(timestamp) - 1700000000000 = kafka_offset AND decode(kafka_key) = kafka_offset::VARCHAR
    AND decode(kafka_headers[1].value) = kafka_offset::VARCHAR AND len(kafka_headers) = 1
    AND epoch_ms(kafka_timestamp) - 1700000000000 = kafka_offset)
    FROM read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = false)""").fetchall()
json.dump(rows[0], sys.stdout)
"#;
    let output = archive.mirror(Root::Output);
    let found = python(&["-c", script, output.to_str().unwrap()], "");
    let found: Value = serde_json::from_str(&found).unwrap();
    let good = (0..3_000).filter(|n| n % 3 != 0 && !(700..900).contains(n));
    assert_eq!(found, json!([good.count(), true]));
}

#[test]
fn values_that_are_no_avro_and_what_kafka_has_beside_them_are_archived_as_they_are() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(1));
    let sender = topic.sender(&[]);
    let sent = |number: usize| 1_700_000_000_000 + number as i64;
    type Headers<'a> = &'a [(&'a str, Option<&'a str>)];
    let records: [(Option<&str>, Option<&str>, Headers<'_>); 3] = [
        (
            Some("k1"),
            Some("plain"),
            &[("trace", Some("a")), ("trace", Some("b")), ("empty", None)],
        ),
        (None, None, &[]),
        (Some(""), Some(""), &[("only", Some(""))]),
    ];
    for (number, (key, value, headers)) in records.into_iter().enumerate() {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, &(key, value)| {
                all.insert(Header { key, value })
            });
        let mut record = BaseRecord::<str, str, usize>::with_opaque_to(&topic.name, number)
            .partition(0)
            .timestamp(sent(number))
            .headers(headers);
        (record.key, record.payload) = (key, value);
        sender.0.send(record).map_err(|(error, _)| error).unwrap();
    }
    sender.flush();
    let flags = [
        "--bounded",
        "--value-format=bytes",
        "--kafka-columns=key,headers,timestamp",
    ];
    Lineage::run(&archive, &topic, &flags);
    let script = r#"
import glob, json, sys
import duckdb
path = glob.glob(sys.argv[1] + "/**/*.parquet", recursive=True)[0]
rows = duckdb.sql(f"""SELECT kafka_offset, decode(value), decode(kafka_key), epoch_ms(kafka_timestamp),
    [[h.name, decode(h.value)] for h in kafka_headers] FROM read_parquet('{path}', hive_partitioning = false) ORDER BY kafka_offset""").fetchall()
names = [row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{path}', hive_partitioning = false)").fetchall()]
json.dump([names, rows], sys.stdout)
"#;
    let output = archive.mirror(Root::Output);
    let found = python(&["-c", script, output.to_str().unwrap()], "");
    let found: Value = serde_json::from_str(&found).unwrap();
    let names = [
        "value",
        "kafka_topic",
        "kafka_partition",
        "kafka_offset",
        "checkpoint_id",
        "kafka_key",
        "kafka_headers",
        "kafka_timestamp",
    ];
    let rows = json!([
        [
            0,
            "plain",
            "k1",
            sent(0),
            [["trace", "a"], ["trace", "b"], ["empty", null]]
        ],
        [1, null, null, sent(1), []],
        [2, "", "", sent(2), [["only", ""]]],
    ]);
    assert_eq!(found, json!([names, rows]));
    assert_eq!(archive.keys(Root::Dropped), [""; 0]);
}
