//! Transactions: aborted records appear nowhere, and markers at the end are no lag.

use rdkafka::Offset;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Storage, Topic, wait_for};

#[test]
fn aborted_records_appear_nowhere_and_committed_ones_once() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(4);
    let transactions = topic.transactions();
    let mut lineage = Lineage::start(&archive, &topic, &["--checkpoint-interval", "200ms"]);
    for round in 0..12 {
        transactions.run(200, round % 3 != 1);
    }
    let ends: Vec<_> = topic.watermarks().iter().map(|w| w.1).collect();
    wait_for("slot with all records", LONG, || {
        (lineage.says("checkpoint complete") > 0 && archive.next_offsets() == ends).then_some(())
    });
    let committed: Vec<_> = ends.iter().map(|&end| Offset::Offset(end)).collect();
    wait_for("offsets committed behind the markers", LONG, || {
        (topic.committed_offsets() == committed).then_some(())
    });
    assert!(lineage.ended().is_none());
    lineage.stop();
    assert_eq!(topic.count(), 4 * 200 * 8);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_bounded_run_ends_behind_a_tail_of_markers_and_aborted_records_without_lag() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(4);
    let transactions = topic.transactions();
    transactions.run(300, true);
    for _ in 0..5 {
        transactions.run(100, false);
    }
    for _ in 0..2 {
        let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
        lineage.ends_with(0);
        // 301 offsets of the first, and one marker for each aborted hundred.
        assert_eq!(archive.next_offsets(), [301 + 5 * 101; 4]);
    }
    let ends: Vec<_> = topic.watermarks().iter().map(|w| w.1).collect();
    assert_eq!(archive.next_offsets(), ends);
    let committed = topic.committed_offsets();
    assert_eq!(committed, [Offset::Offset(301 + 5 * 101); 4]);
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_bounded_run_ends_before_a_transaction_that_is_open_and_the_next_one_archives_it() {
    let archive = Archive::new(Storage::Local);
    let topic = Topic::create(2);
    let transactions = topic.transactions();
    transactions.run(100, true);
    let open = transactions.begin(50);
    let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
    lineage.ends_with(0);
    assert_eq!(archive.next_offsets(), [101; 2]);
    transactions.end(open, true);
    let mut lineage = Lineage::start(&archive, &topic, &["--bounded"]);
    lineage.ends_with(0);
    assert_eq!(archive.next_offsets(), [152; 2]);
    assert_exact(&archive, &topic, Past::Calm);
}
