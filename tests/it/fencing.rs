//! Two instances of one job: one goes on, one stops and says why.

use std::time::Duration;

use crate::harness::proxy::{Fate, Proxy, Request};
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, wait_for};

fn second_instance(storage: Storage) {
    let archive = Archive::new(storage);
    let topic = Topic::create(4);
    let flow = topic.flow(20_000);
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
    second.wait_until_it_says_times("checkpoint complete", 3);
    flow.end();
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
    let flow = topic.flow(20_000);
    let flags = ["--checkpoint-interval", "200ms"];
    let mut all = [(); 3].map(|()| Lineage::start(&archive, &topic, &flags));
    wait_for("end of all but one", LONG, || {
        let ended = all.iter_mut().filter_map(Lineage::ended).count();
        (ended >= 2).then_some(())
    });
    flow.end();
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

/// It has ended by itself, fenced.
#[track_caller]
fn is_fenced(mut lineage: Lineage) {
    lineage.ends_with(3);
    let log = lineage.log();
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("lineage: fenced"), "{last}");
}

fn paused_for(time: Duration) {
    for storage in [Storage::S3, Storage::Local] {
        let archive = Archive::new(storage);
        let topic = Topic::create(4);
        let flow = topic.flow(20_000);
        // With the 30 s of a request to S3 all its timeouts are shorter than the long pause.
        let flags = [
            "--checkpoint-interval",
            "100ms",
            "--checkpoint-timeout",
            "20s",
        ];
        let mut first = Lineage::start(&archive, &topic, &flags);
        first.wait_until_it_says_times("checkpoint complete", 2);
        first.pause();
        let mut second = Lineage::start(&archive, &topic, &flags);
        second.wait_until_it_says_times("checkpoint complete", 3);
        std::thread::sleep(time);
        first.resume();
        is_fenced(first);
        flow.end();
        second.stop();
        Lineage::run(&archive, &topic, &["--bounded"]);
        assert_exact(&archive, &topic, Past::Killed);
    }
}

#[test]
fn a_process_that_was_paused_while_another_took_over_stops_by_itself() {
    paused_for(Duration::ZERO);
}

#[test]
#[ignore = "takes minutes"]
fn a_process_that_was_paused_for_longer_than_every_timeout_stops_by_itself() {
    paused_for(Duration::from_secs(90));
}

/// A process is paused with requests on their way that `late` names. Another takes over; then the
/// requests arrive, and then the process goes on.
fn arrives_late(late: fn(&Request) -> bool) {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    let flow = topic.flow(20_000);
    let mut count = 0;
    let proxy = Proxy::judged_by(move |request| {
        count += usize::from(late(request));
        // Not the very first, so that there is something before it.
        if late(request) && count > 4 {
            Fate::Hold
        } else {
            Fate::Pass
        }
    });
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let flags = ["--checkpoint-interval", "100ms"];
    let first = Lineage::start_with(&archive, &topic, &flags, &settings);
    wait_for("request on its way", LONG, || {
        (proxy.hung() > 0).then_some(())
    });
    first.pause();
    let mut second = Lineage::start(&archive, &topic, &flags);
    second.wait_until_it_says_times("checkpoint complete", 3);
    proxy.release();
    wait_for("late request carried out", LONG, || {
        (proxy.passed_late() > 0).then_some(())
    });
    second.wait_until_it_says_times("checkpoint complete", 6);
    first.resume();
    is_fenced(first);
    flow.end();
    second.stop();
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}

#[test]
fn a_completion_that_arrives_after_another_has_taken_over_changes_nothing() {
    arrives_late(Request::completes_an_upload);
}

#[test]
fn a_slot_that_arrives_after_another_has_taken_over_is_refused() {
    arrives_late(Request::puts_a_slot);
}

#[test]
fn a_commit_log_that_arrives_after_another_has_taken_over_names_no_visible_file() {
    arrives_late(Request::puts_a_commit_log);
}

#[test]
fn a_part_that_arrives_after_another_has_taken_over_is_never_visible() {
    arrives_late(Request::puts_a_part);
}
