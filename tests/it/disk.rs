//! An archive on a disk of its own, which gets full or read-only.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::read_back::{Past, assert_exact};
use crate::harness::{Archive, LONG, Lineage, Root, Storage, Topic, wait_for};
use crate::refusals::refused;

/// Only root may mount. Somebody else runs the test `name` once more as the root of a user
/// namespace: false means that this was done, and that it passed there.
fn may_mount(name: &str) -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout == b"0\n" {
        return true;
    }
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", name])
        .status();
    let status = status.expect("unshare of util-linux");
    assert!(
        status.success(),
        "{name} failed in a namespace of its own, or this system allows none"
    );
    false
}

/// A small disk in memory, under the folder of an archive.
struct Disk(PathBuf);

impl Disk {
    fn under(archive: &Archive) -> Self {
        let output = archive.mirror(Root::Output);
        let disk = Self(output.parent().unwrap().to_owned());
        let options = ["-t", "tmpfs", "-o", "size=16m"];
        let mounted = disk.mount(&options);
        assert!(mounted, "a disk in memory could not be mounted");
        disk
    }

    fn mount(&self, options: &[&str]) -> bool {
        let command = Command::new("mount")
            .args(options)
            .arg("lineage-test")
            .arg(&self.0)
            .output();
        command.unwrap().status.success()
    }

    /// Read-only, or not any more. While a file is open for writing it cannot become so.
    fn set(&self, state: &str) {
        let options = ["-o", &format!("remount,{state}")];
        wait_for(state, LONG, || self.mount(&options).then_some(()));
    }

    /// Writes until nothing more fits; returns the file that takes the space.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut ballast = File::create(&path).unwrap();
        for size in [64 << 10, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while files are open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A service in a folder on a small disk, which has archived something.
fn archiving(archive: &Archive, topic: &Topic) -> Lineage {
    topic.produce(1_000);
    let mut lineage = Lineage::start(archive, topic, &["--checkpoint-interval", "200ms"]);
    lineage.wait_until_it_says("checkpoint complete");
    lineage
}

/// The trouble has passed: the same process catches up, and nothing is left behind.
fn catches_up(archive: &Archive, topic: &Topic, mut lineage: Lineage) {
    lineage.wait_until_it_says("recovered");
    lineage.stop();
    Lineage::run(archive, topic, &["--bounded"]);
    assert_exact(archive, topic, Past::Calm);
}

#[test]
fn a_full_disk_is_waited_for_and_costs_no_record() {
    if !may_mount("disk::a_full_disk_is_waited_for_and_costs_no_record") {
        return;
    }
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(4));
    let disk = Disk::under(&archive);
    let mut lineage = archiving(&archive, &topic);
    let ballast = disk.fill();
    topic.produce(50_000);
    lineage.wait_until_it_says("degraded");
    assert!(
        lineage.log().contains("No space left on device"),
        "{}",
        lineage.log()
    );
    fs::remove_file(ballast).unwrap();
    catches_up(&archive, &topic, lineage);
}

#[test]
fn a_disk_that_becomes_read_only_is_waited_for_and_costs_no_record() {
    if !may_mount("disk::a_disk_that_becomes_read_only_is_waited_for_and_costs_no_record") {
        return;
    }
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(4));
    let disk = Disk::under(&archive);
    let mut lineage = archiving(&archive, &topic);
    disk.set("ro");
    topic.produce(50_000);
    lineage.wait_until_it_says("degraded");
    assert!(
        lineage.log().contains("Read-only file system"),
        "{}",
        lineage.log()
    );
    disk.set("rw");
    catches_up(&archive, &topic, lineage);
}

#[test]
fn a_read_only_folder_is_refused_at_the_start_by_the_setting_that_names_it() {
    if !may_mount("disk::a_read_only_folder_is_refused_at_the_start_by_the_setting_that_names_it") {
        return;
    }
    let (archive, topic) = (Archive::new(Storage::Local), Topic::create(1));
    let disk = Disk::under(&archive);
    disk.set("ro");
    let said = ["OUTPUT_PATH", "Read-only file system"];
    refused(&archive, &topic, &["--bounded"], &[], 2, &said);
}
