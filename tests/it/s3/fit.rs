//! A server that lacks what the protocol needs is found by trying, and refused at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lineage::store::s3::trial::TRIAL;

use crate::harness::proxy::{Fate, Proxy, Request};
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Root, Storage, Topic};

/// A start with a store that treats some requests of the trial of this path like this. It is refused with these words.
#[track_caller]
fn refused(said: &str, root: Root, mut judge: impl FnMut(&Request) -> Fate + Send + 'static) {
    let of_path = move |request: &Request| {
        [&request.path, &request.query]
            .into_iter()
            .any(|part| part.contains(root.folder()))
    };
    let proxy = Proxy::asking(
        move |request| match request.is_a_trial() && of_path(request) {
            true => judge(request),
            false => Fate::Pass,
        },
    );
    let (archive, topic) = (Archive::new(Storage::S3), Topic::absent());
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    lineage.ends_with(2);
    let log = lineage.log();
    assert!(log.contains(said) && log.contains(root.setting()), "{log}");
    for root in Root::ALL {
        assert_eq!(archive.keys(root), [""; 0], "{root:?}");
        assert_eq!(archive.trials(root), [""; 0], "{root:?}");
    }
    assert_eq!(archive.open_trials(), [""; 0]);
}

fn puts_an_object(request: &Request) -> bool {
    request.method == "PUT" && request.query.is_empty()
}

#[test]
fn one_that_takes_a_second_put_of_a_key_does_not_have_put_if_absent() {
    let mut puts = 0;
    refused(
        "does not have put-if-absent",
        Root::CommitLog,
        move |request| {
            puts += usize::from(puts_an_object(request));
            match puts_an_object(request) && puts > 1 {
                true => Fate::Pretend(""),
                false => Fate::Pass,
            }
        },
    );
}

#[test]
fn one_that_does_not_know_the_header_says_so_itself() {
    refused(
        "does not have what this needs",
        Root::CommitLog,
        |request| match puts_an_object(request) {
            true => Fate::Refuse(501, "NotImplemented"),
            false => Fate::Pass,
        },
    );
}

#[test]
fn one_that_does_not_know_the_checksum_is_refused_with_the_setting() {
    refused(
        "try S3_CHECKSUM=sha256",
        Root::Output,
        |request| match request.puts_a_part() {
            true => Fate::Refuse(400, "UnsupportedChecksumAlgorithm"),
            false => Fate::Pass,
        },
    );
}

#[test]
fn with_the_other_kinds_of_checksums_it_archives_as_well() {
    for checksum in ["sha256", "none"] {
        let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
        topic.produce(5_000);
        let settings = [("S3_CHECKSUM", checksum)];
        let mut lineage = Lineage::start_with(&archive, &topic, &["--bounded"], &settings);
        lineage.ends_with(0);
        assert_exact(&archive, &topic, Past::Calm);
    }
}

#[test]
fn one_that_does_not_list_what_was_put() {
    const NOTHING: &str = "<ListBucketResult></ListBucketResult>";
    refused(
        "does not list what was just put",
        Root::CommitLog,
        |request| match request.query.contains("list-type") && request.query.contains(TRIAL) {
            true => Fate::Pretend(NOTHING),
            false => Fate::Pass,
        },
    );
}

#[test]
fn one_that_shows_a_file_too_early() {
    let mut heads = 0;
    refused("shows a file before", Root::Output, move |request| {
        heads += usize::from(request.method == "HEAD");
        match request.method == "HEAD" && heads == 2 {
            true => Fate::Pretend(""),
            false => Fate::Pass,
        }
    });
}

#[test]
fn one_that_forgets_the_metadata_of_an_upload() {
    let mut completed = false;
    refused("does not keep the metadata", Root::Output, move |request| {
        completed |= request.completes_an_upload();
        match completed && request.method == "HEAD" {
            true => Fate::Pretend(""),
            false => Fate::Pass,
        }
    });
}

/// It is found first, and gone when it is put again.
#[test]
fn an_object_of_a_trial_that_another_start_removes_just_then_is_no_fault_of_the_store() {
    let found = Arc::new(AtomicUsize::new(0));
    let count = found.clone();
    let proxy = Proxy::asking(move |request| {
        let of_logs = request.path.contains(Root::CommitLog.folder());
        let puts = request.is_a_trial() && of_logs && puts_an_object(request);
        match puts && count.fetch_add(1, Ordering::Relaxed) == 0 {
            true => Fate::Refuse(412, "PreconditionFailed"),
            false => Fate::Pass,
        }
    });
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(1));
    topic.produce(100);
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let mut lineage = Lineage::start_with(&archive, &topic, &["--bounded"], &settings);
    lineage.ends_with(0);
    assert_eq!(
        found.load(Ordering::Relaxed),
        4,
        "two of one key, two of a fresh one"
    );
    for root in Root::ALL {
        assert_eq!(archive.trials(root), [""; 0], "{root:?}");
    }
}
