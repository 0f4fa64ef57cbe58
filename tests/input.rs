//! Input of all kinds: whatever comes, readers neither panic nor take memory beyond a bound that the
//! input's length sets. A length or count inside of it is a claim, not a reason to allocate.

use allocation_counter::measure;
use clap::Parser;
use lineage::checkpoint::slot::Slot;
use lineage::commit_log;
use lineage::config::args::{Cli, Command};
use lineage::config::settings::Settings;
use lineage::ids::{CheckpointId, Offset};
use lineage::source::{Origin, RawBatch, Record, SplitIndex};
use lineage::transform::avro_schema::InputSchema;
use lineage::transform::decode::AvroDecoder;
use proptest::prelude::*;

/// What a reader may need before it has seen a byte.
const APART: u64 = 128 << 10;
/// Columns, offsets, copies and reasons, for each byte of input.
const FOR_EACH_BYTE: u64 = 64;

/// A schema with everything that has a length or a count in its bytes.
const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"text","type":"string"},
    {"name":"maybe","type":["null","bytes"]},
    {"name":"list","type":{"type":"array","items":"long"}},
    {"name":"lists","type":{"type":"array","items":{"type":"array","items":"boolean"}}},
    {"name":"map","type":{"type":"map","values":"string"}},
    {"name":"kind","type":{"type":"enum","name":"K","symbols":["A","B"]}},
    {"name":"exact","type":{"type":"fixed","name":"F","size":2}}]}"#;

struct Values(Vec<Vec<u8>>);

impl RawBatch for Values {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        Record {
            origin: Origin {
                split: SplitIndex(0),
                offset: Offset(index as i64),
            },
            timestamp: None,
            key: None,
            value: Some(&self.0[index]),
        }
    }
}

fn bounded(length: usize, read: impl FnOnce()) {
    let used = measure(read).bytes_max;
    let bound = APART + FOR_EACH_BYTE * length as u64;
    assert!(used <= bound, "{used} bytes for {length} of input");
}

/// Bytes of a file that settings read because the environment names it.
fn of_environment() -> usize {
    let bundle = std::env::var_os("AWS_CA_BUNDLE");
    let size = bundle
        .and_then(|path| std::fs::metadata(path).ok())
        .map(|of| of.len());
    size.map_or(0, |size| size as usize)
}

fn varint(value: i64) -> Vec<u8> {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

/// Bytes with lengths and counts in them that are larger than all memory.
fn wild() -> impl Strategy<Value = Vec<u8>> {
    let large = prop_oneof![
        any::<i64>(),
        (20..62u32).prop_map(|bits| 1 << bits),
        (20..62u32).prop_map(|bits| -(1 << bits)),
    ];
    let part = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        large.prop_map(varint),
        (0..6i64).prop_map(varint),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_decoder_takes_no_count_for_true(values in proptest::collection::vec(wild(), 1..8)) {
        let schema = InputSchema::parse(SCHEMA).unwrap();
        let mut decoder = AvroDecoder::new(&schema, None).unwrap();
        let batch = Values(values);
        bounded(batch.bytes(), || {
            let decoded = decoder.decode(&batch).unwrap().unwrap();
            assert_eq!(decoded.good.len() + decoded.bad.len(), batch.len());
        });
    }

    #[test]
    fn the_reader_of_the_commit_log_needs_no_more_than_its_lines(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            "(checkpoint_id,s3_key,commit_timestamp\n)?([0-9]{1,30},[a-z/\"]{0,9},[0-9-]{1,30}\n){0,20}"
                .prop_map(String::into_bytes),
        ]
    ) {
        bounded(body.len(), || drop(commit_log::decode("s3://b/chk-1/subtask-0.csv", &body)));
    }

    #[test]
    fn the_reader_of_slots_needs_no_more_than_its_text(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            r#"\{"checksum":"[0-9a-f]{0,64}","slot":[\[\]{}:,"0-9a-z]{0,200}\}"#
                .prop_map(String::into_bytes),
            // Deeper than any slot.
            (0..40_000usize).prop_map(|depth| b"[".repeat(depth)),
        ]
    ) {
        bounded(body.len(), || drop(Slot::from_bytes(CheckpointId(7), &body)));
    }

    #[test]
    fn settings_need_no_more_than_their_text(text in "\\PC{0,200}|[0-9]{1,40}[a-zA-Z]{0,4}", place in 0..7usize) {
        let name = [
            "checkpoint-interval",
            "parallelism",
            "memory-budget",
            "output-path",
            "kafka-property",
            "avro-schema",
            "avro-format",
        ][place];
        let flag = format!("--{name}={text}");
        let cli = Cli::try_parse_from(["lineage", "run", &flag]);
        if let Ok(Cli { command: Command::Run(run), .. }) = cli {
            bounded(text.len() + of_environment(), || drop(Settings::try_from(*run)));
        }
    }
}

#[test]
fn a_schema_whose_values_have_no_bytes_is_refused() {
    // Else a count of billions would be true, and cost what it says.
    for items in [r#"{"type":"fixed","name":"F","size":0}"#, r#""null""#] {
        let schema = format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{{"type":"array","items":{items}}}}}]}}"#
        );
        assert!(InputSchema::parse(&schema).is_err(), "{items}");
    }
}
