//! S3 answers badly, through a proxy before the real one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::proxy::{Fate, Proxy, Request};
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::User;
use crate::harness::{Archive, LONG, Lineage, Random, Storage, Topic, wait_for};

/// A run through a proxy that treats every seventh request or so badly. It must not end before the
/// topic does, and be exact.
fn one_in_seven_is(fate: Fate) {
    let mut random = Random::seeded();
    exact_through(move |_| (random.between(0, 7) == 0).then_some(fate), 10);
}

/// The first requests of a kind fare badly.
fn the_first_three(of_the_kind: fn(&Request) -> bool, fate: Fate) {
    let mut left = 3;
    let judge = move |request: &Request| {
        let bad = left > 0 && of_the_kind(request);
        left -= usize::from(bad);
        bad.then_some(fate)
    };
    exact_through(judge, 3);
}

/// Of the first four keys that are asked for, the first request each: the start's and those of
/// checkpoints.
fn the_first_of_each_key(of_the_kind: impl Fn(&Request) -> bool + Send + 'static, fate: Fate) {
    const KEYS: usize = 4;
    let mut seen = HashSet::new();
    let judge = move |request: &Request| {
        let bad = of_the_kind(request) && seen.len() < KEYS && seen.insert(request.path.clone());
        bad.then_some(fate)
    };
    exact_through(judge, KEYS);
}

/// A run through a proxy that gives some requests another fate, so many at least.
fn exact_through(mut judge: impl FnMut(&Request) -> Option<Fate> + Send + 'static, least: usize) {
    let faults = Arc::new(AtomicUsize::new(0));
    let counted = faults.clone();
    let proxy = Proxy::judged_by(move |request| match judge(request) {
        Some(fate) => {
            counted.fetch_add(1, Ordering::Relaxed);
            fate
        }
        None => Fate::Pass,
    });
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let flow = topic.flow(20_000);
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let flags = ["--checkpoint-interval", "200ms"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    lineage.wait_until_it_says_times("checkpoint complete", 3);
    wait_for("requests that fared badly", LONG, || {
        (faults.load(Ordering::Relaxed) >= least).then_some(())
    });
    flow.end();
    lineage.stop();
    Lineage::run(&archive, &topic, &["--bounded"]);
    // A put whose answer is lost is done again, so an upload may have been opened twice.
    assert_exact(&archive, &topic, Past::Killed);
}

#[test]
fn internal_errors_of_the_store_cost_nothing() {
    one_in_seven_is(Fate::Refuse(500, "InternalError"));
}

#[test]
fn a_store_that_asks_to_slow_down_costs_nothing() {
    one_in_seven_is(Fate::Refuse(503, "SlowDown"));
}

#[test]
fn connections_that_are_cut_before_a_request_is_carried_out_cost_nothing() {
    one_in_seven_is(Fate::Reset);
}

#[test]
fn requests_that_are_done_and_reported_as_failed_are_done_once() {
    one_in_seven_is(Fate::LoseAnswer);
}

#[test]
fn parts_that_are_put_and_reported_as_failed_are_there_once() {
    the_first_three(Request::puts_a_part, Fate::LoseAnswer);
}

#[test]
fn uploads_that_are_completed_and_reported_as_failed_are_visible_once() {
    the_first_three(Request::completes_an_upload, Fate::LoseAnswer);
}

#[test]
fn commit_logs_that_are_put_and_reported_as_failed_are_there_once() {
    the_first_three(Request::puts_a_commit_log, Fate::LoseAnswer);
}

#[test]
fn slots_that_are_put_and_reported_as_failed_are_there_once() {
    the_first_three(Request::puts_a_slot, Fate::LoseAnswer);
}

#[test]
fn slots_of_checkpoints_that_are_put_and_reported_as_failed_are_there_once() {
    the_first_of_each_key(Request::puts_a_slot, Fate::LoseAnswer);
}

/// S3 does so when another put of the same key is under way, or was a moment ago.
const CONFLICT: Fate = Fate::Refuse(409, "ConditionalRequestConflict");

#[test]
fn a_start_that_is_refused_for_a_conflict_is_made_again() {
    the_first_three(Request::puts_a_slot, CONFLICT);
}

#[test]
fn slots_of_checkpoints_that_are_refused_for_a_conflict_are_put_again() {
    the_first_of_each_key(Request::puts_a_slot, CONFLICT);
}

#[test]
fn commit_logs_that_are_refused_for_a_conflict_are_put_again() {
    the_first_of_each_key(Request::puts_a_commit_log, CONFLICT);
}

#[test]
fn requests_that_get_no_answer_are_made_again() {
    the_first_three(Request::puts_a_part, Fate::Hang);
}

#[test]
fn answers_that_end_in_the_middle_cost_nothing() {
    one_in_seven_is(Fate::CutAnswer);
}

#[test]
fn answers_that_come_in_small_pieces_cost_nothing() {
    one_in_seven_is(Fate::SlowAnswer);
}

/// For a while every request is refused like this.
fn refused_for_a_while(status: u16, code: &'static str) {
    let refusing = Arc::new(AtomicBool::new(false));
    let judge = refusing.clone();
    let proxy = Proxy::judged_by(move |_| {
        if judge.load(Ordering::Relaxed) {
            Fate::Refuse(status, code)
        } else {
            Fate::Pass
        }
    });
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let flow = topic.flow(20_000);
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let flags = ["--checkpoint-interval", "100ms"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    lineage.wait_until_it_says("checkpoint complete");
    refusing.store(true, Ordering::Relaxed);
    lineage.wait_until_it_says("degraded");
    assert!(lineage.log().contains(code), "{}", lineage.log());
    refusing.store(false, Ordering::Relaxed);
    lineage.wait_until_it_says("recovered");
    flow.end();
    lineage.stop();
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}

#[test]
fn permissions_that_are_taken_away_while_it_runs_are_waited_for() {
    refused_for_a_while(403, "AccessDenied");
}

#[test]
fn credentials_that_are_revoked_while_it_runs_are_waited_for() {
    let user = User::with_policy("readwrite");
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    let flow = topic.flow(20_000);
    let mut lineage = Lineage::start_with(
        &archive,
        &topic,
        &["--checkpoint-interval", "100ms"],
        &user.settings(),
    );
    lineage.wait_until_it_says("checkpoint complete");
    user.disable();
    lineage.wait_until_it_says("degraded");
    user.enable();
    lineage.wait_until_it_says("recovered");
    flow.end();
    lineage.stop();
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_clock_that_differs_too_much_from_the_store_s_is_waited_for() {
    refused_for_a_while(403, "RequestTimeTooSkewed");
}

#[test]
fn an_s3_bucket_that_is_gone_while_it_runs_is_waited_for() {
    refused_for_a_while(404, "NoSuchBucket");
}
