//! Settings as the environment has them.

use clap::CommandFactory;
use lineage::config::args::Cli;

use super::refusals::refused;
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, Lineage, Storage, Topic, looking_with};

/// What keeps others out, or text from being read.
const PROTECTING: [&str; 5] = [
    "KAFKA_SECURITY_PROTOCOL",
    "REST_READ_ONLY",
    "REST_TOKEN",
    "REST_TOKEN_FILE",
    "S3_SSE",
];

/// Those without which nothing here finds its servers and folders.
const OF_THE_TEST: [&str; 9] = [
    "CHECKPOINT_INTERVAL",
    "CHECKPOINTS_PATH",
    "DROPPED_PATH",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_GROUP_ID",
    "KAFKA_TOPIC",
    "OUTPUT_PATH",
    "REST_PORT",
    "WRITE_AHEAD_COMMIT_LOG_PATH",
];

#[test]
fn a_variable_that_is_empty_is_as_good_as_none() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let all = cli.get_arguments().chain(run.get_arguments());
    let names: Vec<_> = all
        .filter_map(|arg| arg.get_env()?.to_str())
        .filter(|name| !OF_THE_TEST.contains(name) && !PROTECTING.contains(name))
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 40, "{names:?}");
    let settings: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(2));
    topic.produce(100);
    Lineage::start_with(&archive, &topic, &["--bounded"], &settings).ends_with(0);
    assert_exact(&archive, &topic, Past::Calm);

    let listed = looking_with(&archive, &["checkpoints", "list"], &settings);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
}

#[test]
fn one_that_protects_is_refused_while_it_is_empty() {
    let (archive, topic) = (Archive::new(Storage::Local), Topic::absent());
    for name in PROTECTING {
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        refused(&archive, &topic, &[], &[(name, "")], 2, &[&flag]);
    }
}

#[test]
fn help_names_a_variable_also_while_it_is_empty() {
    let archive = Archive::new(Storage::Local);
    let help = looking_with(&archive, &["run", "--help"], &[("KAFKA_GROUP_ID", "")]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("KAFKA_GROUP_ID"), "{text}");
}
