//! What the tests stand on: servers, topics with known records, archives, the process under test.

pub mod archive;
pub mod certificates;
pub mod giver;
pub mod in_process;
pub mod kafka;
pub mod kafka_proxy;
pub mod process;
pub mod producing;
pub mod proxy;
pub mod read_back;
pub mod records;
pub mod registry;
pub mod s3;
pub mod secured_kafka;
pub mod sender;
pub mod tls;
pub mod token_endpoint;
pub mod transactions;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use archive::{Archive, Root, Storage};
pub use in_process::InProcess;
pub use kafka::Topic;
pub use process::{Lineage, in_shell, looking, looking_unread, looking_with};

/// No wait in these tests is longer; a machine would have to be very slow.
pub const LONG: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// An address or a path that `scripts/test.sh` sets.
pub fn server(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set, so the servers are absent: run scripts/test.sh")
    })
}

/// Runs a program to its end with `input` as its standard input.
pub fn fed(program: &mut Command, input: &str) -> Output {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Waits until `condition` gives something.
#[track_caller]
pub fn wait_for<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(
            begin.elapsed() < within,
            "after {within:?} there is still no {what}"
        );
        std::thread::sleep(POLL);
    }
}

/// Waits for an async answer; the tests themselves are plain threads.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    });
    runtime.block_on(future)
}

/// A folder of this test alone; kept when the test fails.
pub struct Folder(Option<tempfile::TempDir>);

impl Folder {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("it-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Self(Some(dir.unwrap()))
    }

    pub fn path(&self) -> PathBuf {
        self.0.as_ref().unwrap().path().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(dir) = self.0.take()
        {
            eprintln!("kept: {}", dir.keep().display());
        }
    }
}

/// Random numbers that a seed repeats (SplitMix64).
pub struct Random(u64);

impl Random {
    /// `LINEAGE_TEST_SEED` varies what the tests do; each prints the seed it had.
    pub fn seeded() -> Self {
        let seed = std::env::var("LINEAGE_TEST_SEED").map_or(42, |seed| seed.parse().unwrap());
        eprintln!("LINEAGE_TEST_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }
}

pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
