//! The process dies at each step of the protocol, before and after, in a start that has everything
//! to do: files to finalize, a lost one, an orphan. Whatever comes after must be exact.

use std::sync::Mutex;

use lineage::runtime::failure;
use lineage::store::PART_SIZE;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Root, Storage, Topic};

const FLAGS: [&str; 3] = ["--checkpoint-interval", "100ms", "--reread-lost-files"];

fn die_at(archive: &Archive, topic: &Topic, point: &str) {
    let settings = [("LINEAGE_DIE_AT", point)];
    Lineage::start_with(archive, topic, &FLAGS, &settings).dies();
}

/// Dies with files pending, of which one is lost then, and leaves an orphan; dies at `point`; goes on.
fn dies_at(storage: Storage, point: &str) {
    let archive = Archive::new(storage);
    let topic = Topic::create(4);
    topic.produce(2_000);
    // Its slot is complete and has files, and nothing of it is visible.
    die_at(&archive, &topic, failure::FINALIZE_BEFORE);
    topic.produce_some_broken(1_000, |n, _| (n % 7 == 0).then_some(None));
    archive.lose_a_pending_file();
    archive.leave_an_orphan();
    let producing = topic.produce_slowly(3_000, 3_000);
    die_at(&archive, &topic, point);
    producing.join().unwrap();

    Lineage::run(&archive, &topic, &["--bounded", "--reread-lost-files"]);
    let report = assert_exact(&archive, &topic, Past::Killed);
    for (partition, found) in report["partitions"].as_object().unwrap() {
        assert_eq!(found["missing_count"], 0, "{point}: {partition}: {found}");
    }
    assert!(archive.keys(Root::Checkpoints).len() > 2);
}

/// The same steps later in that run, where they are those of a checkpoint: the two slots before are
/// start records, the two files before are those that the start finishes.
const OF_A_CHECKPOINT: [&str; 4] = [
    "slot-put-before:3",
    "slot-put-after:3",
    "finalize-before:4",
    "finalize-after:3",
];

/// All points, several side by side: most of a run is waiting.
fn at_every_point(storage: Storage) {
    let points = Mutex::new(failure::ALL.into_iter().chain(OF_A_CHECKPOINT));
    let next = || points.lock().unwrap().next();
    std::thread::scope(|scope| {
        let workers = [(); 3].map(|()| {
            scope.spawn(|| {
                while let Some(point) = next() {
                    eprintln!("dying at {point}");
                    dies_at(storage, point);
                }
            })
        });
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_death_at_any_step_loses_and_doubles_nothing_in_s3() {
    at_every_point(Storage::S3);
}

#[test]
fn a_death_at_any_step_loses_and_doubles_nothing_in_a_folder() {
    at_every_point(Storage::Local);
}

/// Where an upload has parts, and a later one is on its way, or all are there.
const OF_A_LARGE_FILE: [&str; 6] = [
    "upload-part-before:2",
    "upload-part-after:2",
    "seal-after",
    "slot-put-after:2",
    "finalize-before",
    "finalize-after",
];

fn amid_a_file_of_several_parts(storage: Storage) {
    let topic = Topic::create(1);
    topic.produce(600_000);
    for point in OF_A_LARGE_FILE {
        eprintln!("dying at {point}");
        let archive = Archive::new(storage);
        let flags = ["--bounded", "--checkpoint-interval", "1h"];
        let settings = [("LINEAGE_DIE_AT", point)];
        Lineage::start_with(&archive, &topic, &flags, &settings).dies();
        Lineage::run(&archive, &topic, &flags);
        let report = assert_exact(&archive, &topic, Past::Killed);
        let found = &report["partitions"]["0"];
        assert_eq!(found["missing_count"], 0, "{point}: {found}");
        let keys = archive.keys(Root::Output);
        let size = |key: &String| archive.get(Root::Output, key).len();
        assert!(
            keys.iter().any(|key| size(key) > PART_SIZE),
            "{point}: no file is larger than a part"
        );
    }
}

#[test]
fn a_death_amid_a_file_of_several_parts_loses_and_doubles_nothing_in_s3() {
    amid_a_file_of_several_parts(Storage::S3);
}

#[test]
fn a_death_amid_a_file_of_several_parts_loses_and_doubles_nothing_in_a_folder() {
    amid_a_file_of_several_parts(Storage::Local);
}
