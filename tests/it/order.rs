//! The commit log is written before its files are visible.

use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::harness::proxy::{Fate, Proxy, Request};
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::{s3, s3_bucket};
use crate::harness::{Archive, Lineage, Root, Storage, Topic, block_on};

/// All objects below a URL, with their text.
fn texts(url: &str) -> Vec<(String, String)> {
    let prefix = url.strip_prefix(&format!("s3://{}/", s3_bucket())).unwrap();
    block_on(async {
        let listed: Vec<_> = s3()
            .list(Some(&Path::from(prefix)))
            .try_collect()
            .await
            .unwrap();
        let mut texts = Vec::new();
        for object in listed {
            let body = s3()
                .get(&object.location)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let text = String::from_utf8(body.to_vec()).unwrap();
            texts.push((object.location.to_string(), text));
        }
        texts
    })
}

/// What is not yet there, although this request is about to make its file visible.
fn missing(request: &Request, commit_log: &str, checkpoints: &str) -> Option<String> {
    let url = format!("s3:/{}", request.path);
    let lines: Vec<_> = texts(commit_log)
        .into_iter()
        .filter(|(_, text)| {
            text.lines()
                .any(|line| line.split(',').nth(1) == Some(&url))
        })
        .collect();
    let [(csv, _)] = lines.as_slice() else {
        return Some(format!("{url} has {} lines in the commit log", lines.len()));
    };
    let folder = csv.rsplit('/').nth(1).unwrap();
    let slot = format!("{folder}/_metadata");
    let slots = texts(checkpoints);
    let found = slots.iter().find(|(key, _)| key.ends_with(&slot));
    match found {
        None => Some(format!("{url} becomes visible without the slot {slot}")),
        Some((_, text)) if !text.contains(&url) => Some(format!("slot {slot} does not name {url}")),
        Some(_) => None,
    }
}

#[test]
fn no_file_becomes_visible_before_its_commit_log_line_and_its_slot_are_there() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    topic.produce(150_000);
    let completions = Arc::new(Mutex::new((0, Vec::new())));
    let (noted, commit_log) = (completions.clone(), archive.url(Root::CommitLog));
    let checkpoints = archive.url(Root::Checkpoints);
    let proxy = Proxy::judged_by(move |request| {
        if request.completes_an_upload() {
            let mut noted = noted.lock().unwrap();
            noted.0 += 1;
            noted.1.extend(missing(request, &commit_log, &checkpoints));
        }
        Fate::Pass
    });
    let producing = topic.produce_slowly(60_000, 20_000);
    let flags = [
        "--checkpoint-interval",
        "200ms",
        "--max-file-size",
        "200KiB",
    ];
    let settings = [("AWS_ENDPOINT_URL", proxy.url())];
    let settings = settings.each_ref().map(|(name, url)| (*name, url.as_str()));
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    lineage.wait_until_it_says_times("checkpoint complete", 5);
    producing.join().unwrap();
    archive.wait_for_all_of(&topic);
    lineage.stop();

    let completions = completions.lock().unwrap();
    assert_eq!(completions.1, [""; 0], "of {} completions", completions.0);
    let report = assert_exact(&archive, &topic, Past::Calm);
    assert_eq!(
        report["files"], completions.0,
        "each file was completed once, through the proxy"
    );
    assert!(completions.0 >= 10, "{} completions", completions.0);
}

#[test]
fn answers_that_are_lost_lose_and_double_nothing() {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(4);
    let flow = topic.flow(20_000);
    let lost = Arc::new(Mutex::new(0));
    let (mut writes, noted) = (0, lost.clone());
    // Every fourth request that writes is carried out and its answer lost: completions, parts,
    // CSVs and slots alike.
    let proxy = Proxy::judged_by(move |request| {
        if request.method == "GET" || request.method == "HEAD" {
            return Fate::Pass;
        }
        writes += 1;
        if writes % 4 == 0 {
            *noted.lock().unwrap() += 1;
            return Fate::LoseAnswer;
        }
        Fate::Pass
    });
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let flags = ["--checkpoint-interval", "200ms"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    lineage.wait_until_it_says_times("checkpoint complete", 5);
    flow.end();
    lineage.stop();
    assert!(
        *lost.lock().unwrap() >= 5,
        "only {} answers were lost",
        lost.lock().unwrap()
    );
    // An upload whose first answer was lost is begun again; the next start clears the first away.
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Calm);
}
