//! Two instances of one job: one goes on, one stops and says why.

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Storage, Topic};

fn second_instance(storage: Storage) {
    let archive = Archive::new(storage);
    let topic = Topic::create(4);
    let producing = topic.produce_slowly(100_000, 20_000);
    let flags = ["--checkpoint-interval", "200ms"];
    let mut first = Lineage::start(&archive, &topic, &flags);
    first.wait_until_it_says_times("checkpoint complete", 2);
    let mut second = Lineage::start(&archive, &topic, &flags);
    second.wait_until_it_says_times("checkpoint complete", 1);
    first.ends_with(3);
    let log = first.log();
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with("lineage: fenced")
            && last.contains("generation 2")
            && last.contains("generation 1"),
        "{last}"
    );
    producing.join().unwrap();
    second.wait_until_it_says_times("checkpoint complete", 3);
    second.stop();
    // What the first had open when it stopped is an orphan, which a later start clears away.
    Lineage::run(&archive, &topic, &["--bounded"]);
    let report = assert_exact(&archive, &topic, Past::Killed);
    assert_eq!(report["dropped_files"], 0);
}

#[test]
fn a_second_instance_fences_the_first_and_the_output_stays_exact_in_s3() {
    second_instance(Storage::S3);
}

#[test]
fn a_second_instance_fences_the_first_and_the_output_stays_exact_in_a_folder() {
    second_instance(Storage::Local);
}

#[test]
fn of_three_instances_started_at_once_exactly_one_goes_on() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    let producing = topic.produce_slowly(60_000, 20_000);
    let flags = ["--checkpoint-interval", "200ms"];
    let mut all = [(); 3].map(|()| Lineage::start(&archive, &topic, &flags));
    producing.join().unwrap();
    crate::harness::wait_for("end of all but one", crate::harness::LONG, || {
        let ended = all.iter_mut().filter_map(Lineage::ended).count();
        (ended >= 2).then_some(())
    });
    let mut winners = 0;
    for mut lineage in all {
        match lineage.ended() {
            Some(status) => {
                assert_eq!(status.code(), Some(3), "{}", lineage.log());
                assert!(lineage.log().lines().last().unwrap().contains("fenced"));
            }
            None => {
                winners += 1;
                lineage.stop();
            }
        }
    }
    assert_eq!(winners, 1);
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}
