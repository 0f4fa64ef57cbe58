//! Clients of the control plane against the real process: our own command line, and what was made for
//! a Flink JobManager.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::harness::proxy::Proxy;
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Folder, LONG, Lineage, Storage, Topic, looking, server, wait_for};

/// A service that has archived what is in its topic, and its address.
fn running() -> (Archive, Arc<Topic>, Lineage, String) {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(4));
    topic.produce(1_000);
    let flags = ["--savepoints-path", &archive.savepoints()];
    let mut lineage = Lineage::start(&archive, &topic, &flags);
    lineage.wait_until_it_says("checkpoint complete");
    archive.wait_for_all_of(&topic);
    let address = lineage.address();
    (archive, topic, lineage, address)
}

/// Runs a command of ours with `--json`: its exit code and what it says.
fn ask(archive: &Archive, address: &str, arguments: &[&str]) -> (i32, Value) {
    let rest = format!("http://{address}");
    let output = looking(archive, &[arguments, &["--json", "--rest", &rest]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().next().unwrap_or("null");
    (
        output.status.code().unwrap(),
        serde_json::from_str(said).unwrap_or_else(|e| {
            panic!(
                "{arguments:?}: {e}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        }),
    )
}

/// The end of a test: everything is archived once.
fn is_exact(archive: &Archive, topic: &Topic, lineage: Lineage) {
    lineage.stop();
    Lineage::run(archive, topic, &["--bounded"]);
    assert_exact(archive, topic, Past::Calm);
}

#[test]
fn our_command_line_looks_at_a_service_saves_it_stops_it_and_starts_it_again() {
    let (archive, topic, lineage, address) = running();
    let (code, status) = ask(&archive, &address, &["status"]);
    assert_eq!((code, &status["state"]), (0, &"RUNNING".into()));
    assert_eq!(status["splits"].as_array().unwrap().len(), 4);

    let (_, file) = ask(&archive, &address, &["files", "1"]);
    let key = file["s3_key"].as_str().unwrap();
    let csv = archive.csv("chk-1/subtask-0.csv").join("\n");
    assert!(csv.contains(key), "{key} is not in {csv}");

    let (code, saved) = ask(&archive, &address, &["savepoint"]);
    let location = saved["savepoint"].as_str().unwrap();
    assert_eq!(code, 0);
    assert!(location.starts_with(&archive.savepoints()), "{location}");

    assert_eq!(ask(&archive, &address, &["stop"]).0, 0);
    let (code, status) = ask(&archive, &address, &["status"]);
    assert_eq!((code, &status["state"]), (1, &"FINISHED".into()));
    let again = looking(&archive, &["stop", "--rest", &format!("http://{address}")]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already"));

    let (code, resumed) = ask(&archive, &address, &["resume"]);
    assert_eq!((code, &resumed["generation"]), (0, &2.into()));
    assert_eq!(ask(&archive, &address, &["stop", "--now"]).0, 0);
    assert_eq!(ask(&archive, &address, &["resume"]).0, 0);
    topic.produce(1_000);
    is_exact(&archive, &topic, lineage);
}

#[test]
fn a_person_with_the_token_reads_tables_and_one_without_is_told_of_it() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(4));
    topic.produce(1_000);
    let settings = [("REST_TOKEN", "open-sesame")];
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    lineage.wait_until_it_says("checkpoint complete");
    archive.wait_for_all_of(&topic);
    let rest = format!("http://{}", lineage.address());
    let look = |arguments: &[&str]| {
        let output = looking(&archive, &[arguments, &["--rest", &rest]].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = look(&["status"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("(give --rest-token or"), "{said}");

    let (code, said) = look(&["status", "--rest-token", "open-sesame"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("state        running, for "), "{said}");
    assert!(said.contains("\nlag          0 records\n"), "{said}");
    for partition in 0..4 {
        let row = said.lines().find_map(|line| {
            let words: Vec<_> = line
                .split(['|', ' '])
                .filter(|word| !word.is_empty())
                .collect();
            (words.first() == Some(&format!("{}-{partition}", topic.name).as_str()))
                .then_some(words)
        });
        let row = row.unwrap_or_else(|| panic!("no row of partition {partition}: {said}"));
        // Subtask and committed offset may be of the next moment.
        assert_eq!([row[2], row[3], row[6]], ["250", "250", "0"], "{said}");
    }

    let (code, said) = look(&["files", "1", "--rest-token", "open-sesame"]);
    assert_eq!(code, Some(0), "{said}");
    let lines = [0, 1].map(|subtask| archive.csv(&format!("chk-1/subtask-{subtask}.csv")));
    let lines = lines.concat();
    for line in &lines {
        let key = line.split(',').nth(1).unwrap();
        assert!(said.contains(key), "{key} is not in {said}");
    }
    let count = format!("{} files in the commit log of checkpoint 1\n", lines.len());
    assert!(said.ends_with(&count), "{said}");
    lineage.stop();
}

#[test]
fn a_service_that_is_not_there_is_said_with_its_address() {
    let archive = Archive::new(Storage::Local);
    let output = looking(&archive, &["status", "--rest", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("no control plane answers at http://127.0.0.1:1"),
        "{said}"
    );
}

/// Runs Flink's own command line: whether it ended well, and what it says.
fn flink_ends(arguments: &[&str]) -> (bool, String) {
    let mut flink = Command::new(server("LINEAGE_TEST_FLINK"));
    let output = flink.arg("cli").args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

/// Runs it to a good end; what it says.
fn flink(arguments: &[&str]) -> String {
    let (well, said) = flink_ends(arguments);
    assert!(well, "flink {arguments:?}: {said}");
    said
}

#[test]
#[ignore = "needs scripts/clients.sh install"]
fn flink_s_own_command_line_lists_the_job_saves_it_stops_it_and_cancels_it() {
    let (archive, topic, lineage, address) = running();
    let (_, status) = ask(&archive, &address, &["status"]);
    let job = status["job"].as_str().unwrap();

    let listed = flink(&["list", "-m", &address]);
    assert!(
        listed.contains(job) && listed.contains("(RUNNING)"),
        "{listed}"
    );

    let target = archive.savepoints();
    let saved = flink(&["savepoint", "-m", &address, job, &target]);
    assert!(
        saved.contains(&format!("Path: {target}/savepoint-")),
        "{saved}"
    );

    let nowhere = "s3://there-is-no-such-s3-bucket/savepoints";
    let (well, said) = flink_ends(&["savepoint", "-m", &address, job, nowhere]);
    assert!(!well, "{said}");
    let cause = said.contains(nowhere) && said.contains("NoSuchBucket");
    assert!(cause, "the cause is read from what we send: {said}");

    let stopped = flink(&["stop", "-m", &address, "--savepointPath", &target, job]);
    assert!(
        stopped.contains(&format!("Path: {target}/savepoint-")),
        "{stopped}"
    );
    let listed = flink(&["list", "-a", "-m", &address]);
    assert!(
        listed.contains(job) && listed.contains("(FINISHED)"),
        "{listed}"
    );

    assert_eq!(ask(&archive, &address, &["resume"]).0, 0);
    flink(&["cancel", "-m", &address, job]);
    wait_for("the end of the job", LONG, || {
        let (_, status) = ask(&archive, &address, &["status"]);
        (status["state"] == "CANCELED").then_some(())
    });
    topic.produce(1_000);
    is_exact(&archive, &topic, lineage);
}

#[test]
#[ignore = "needs scripts/clients.sh install"]
fn datahub_finds_the_topic_upstream_of_the_job() {
    let (archive, topic, lineage, address) = running();
    let folder = Folder::new();
    let found = folder.path().join("found.json");
    let recipe = serde_json::json!({
        "source": {"type": "flink", "config": {"connection": {"rest_api_url": format!("http://{address}")}}},
        "sink": {"type": "file", "config": {"filename": found}},
    });
    let path = folder.path().join("recipe.yml");
    std::fs::write(&path, recipe.to_string()).unwrap();
    let output = Command::new(server("LINEAGE_TEST_DATAHUB"))
        .args(["-m", "datahub", "ingest", "run", "-c"])
        .arg(&path)
        .env("DATAHUB_TELEMETRY_ENABLED", "false")
        .env("HOME", folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let found: Value = serde_json::from_slice(&std::fs::read(found).unwrap()).unwrap();
    let mut aspects = found.as_array().unwrap().iter();
    let lineage_of_the_job = aspects
        .find(|a| a["aspectName"] == "dataJobInputOutput")
        .unwrap();
    let upstream = &lineage_of_the_job["aspect"]["json"]["inputDatasets"][0];
    let expected = format!(
        "urn:li:dataset:(urn:li:dataPlatform:kafka,{},PROD)",
        topic.name
    );
    assert_eq!(upstream, &Value::from(expected));
    is_exact(&archive, &topic, lineage);
}

/// Holds the page of a running service against what the service itself says, in headless Chromium.
/// `state` is what the service was brought into, and what the page has to show.
fn page(address: &str, state: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/page.sh");
    let output = Command::new(script)
        .arg(format!("http://{address}/"))
        .env("LINEAGE_PAGE_STATE", state)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{state}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "needs Chromium and Node: scripts/page.sh"]
fn the_page_is_true_while_records_flow_in_trouble_after_a_late_checkpoint_and_after_a_restart() {
    let (archive, topic, proxy) = (Archive::new(Storage::S3), Topic::create(4), Proxy::start());
    let endpoint = proxy.url();
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("CHECKPOINT_TIMEOUT", "2s"),
    ];
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    let at = lineage.address();
    topic.produce_some_broken(1_000, |n, _| (n % 100 == 0).then_some(Some(vec![0xff])));
    // As long as it takes: a browser on a busy machine may need minutes for what it is to see.
    let flow = topic.flow(1_000);
    let status = |address: &str, wanted: &str, holds: &dyn Fn(&Value) -> bool| {
        wait_for(wanted, LONG, || {
            let (_, status) = ask(&archive, address, &["status"]);
            holds(&status).then_some(())
        });
    };
    page(&at, "flowing");

    proxy.hang();
    status(&at, "trouble", &|status| {
        let troubles = status["troubles"].as_object();
        troubles.is_some_and(|troubles| !troubles.is_empty())
    });
    page(&at, "degraded");

    proxy.go_on();
    status(&at, "the end of the trouble", &|status| {
        let troubles = status["troubles"].as_object();
        troubles.is_some_and(|troubles| troubles.is_empty()) && status["checkpoints"]["late"] != 0
    });
    page(&at, "late");

    lineage.kill();
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    let at = lineage.address();
    status(&at, "the second start", &|status| {
        status["state"] == "RUNNING"
    });
    page(&at, "restarted");
    flow.end();
    lineage.stop();
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_exact(&archive, &topic, Past::Killed);
}
