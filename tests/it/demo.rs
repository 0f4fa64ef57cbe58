//! `lineage demo`: needs nothing, shows its page, and ends with numbers that agree.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{Folder, LONG, wait_for};

fn lineage() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lineage"));
    command.env_clear().env("REST_PORT", "0");
    command
}

/// Does not outlive the test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_demo_serves_its_page_where_it_says_and_archives_every_record() {
    let folder = Folder::new();
    let demo = lineage()
        .args(["demo", "--duration", "7s", "--rate", "100", "--folder"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut demo = Demo(demo);
    let mut said = BufReader::new(demo.0.stdout.take().unwrap());
    let mut lines = said.by_ref().lines().map(Result::unwrap);
    let page = lines.find_map(|line| Some(line.trim().strip_prefix("Page:")?.trim().to_owned()));
    let page = page.expect("an address of the page");

    wait_for("partitions in the status", LONG, || {
        let mut status = lineage();
        status.args(["status", "--json", "--rest", &page]);
        let status: Value = serde_json::from_slice(&status.output().unwrap().stdout).unwrap();
        (status["splits"].as_array().unwrap().len() == 10).then_some(())
    });

    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(demo.0.wait().unwrap().success(), "{rest}");
    assert!(
        rest.contains("They agree: every record exactly once."),
        "{rest}"
    );
}

#[test]
fn the_demo_ends_well_when_nobody_reads_it_any_more() {
    let folder = Folder::new();
    let demo = lineage()
        .args(["demo", "--rate", "100", "--folder"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut demo = Demo(demo);
    let mut said = BufReader::new(demo.0.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    drop(said);
    let status = wait_for("end of the demo", LONG, || demo.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
}
