//! The program under test: started with settings, watched through its log, killed when dropped.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::proxy::{Fate, Proxy};
use super::{Archive, Folder, LONG, Topic, kafka, wait_for};

/// The program, with the settings that place a job and name the broker.
fn program(archive: &Archive) -> Command {
    placed(Command::new(env!("CARGO_BIN_EXE_lineage")), archive)
}

fn placed(mut command: Command, archive: &Archive) -> Command {
    command
        // Settings of whoever runs the tests must not be those of the program.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka::servers())
        // Many run at the same time.
        .env("REST_PORT", "0")
        .envs(archive.settings())
        .stdin(Stdio::null());
    command
}

/// Runs a line for a shell, which finds the program as `lineage`, to its end: runs are bounded, and have one
/// checkpoint.
pub fn in_shell(archive: &Archive, line: &str, settings: &[(&str, &str)]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_lineage"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    // A run that waits for what never comes has an end so.
    let mut shell = Command::new("timeout");
    shell.arg(super::LONG.as_secs().to_string());
    let mut shell = placed(shell, archive);
    shell
        .env("PATH", path)
        .env("BOUNDED", "true")
        .env("CHECKPOINT_INTERVAL", "1h")
        .envs(settings.iter().copied())
        .args(["sh", "-ec", line]);
    shell.output().unwrap()
}

/// Runs a command that looks at an archive, to its end.
pub fn looking(archive: &Archive, arguments: &[&str]) -> Output {
    program(archive).args(arguments).output().unwrap()
}

/// The same with further settings, which override those of the archive.
pub fn looking_with(archive: &Archive, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = program(archive);
    command.args(arguments).envs(settings.iter().copied());
    command.output().unwrap()
}

/// The same for a reader that leaves at once.
pub fn looking_unread(archive: &Archive, arguments: &[&str]) -> ExitStatus {
    let mut command = program(archive);
    let mut child = command
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.wait().unwrap()
}

/// SIGABRT.
const ABORTED: i32 = 6;

pub struct Lineage {
    child: Child,
    log: Folder,
}

impl Lineage {
    /// Starts `lineage run` for a topic and an archive.
    pub fn start(archive: &Archive, topic: &Topic, flags: &[&str]) -> Self {
        Self::start_with(archive, topic, flags, &[])
    }

    /// The same with further settings, which override those of the archive.
    pub fn start_with(
        archive: &Archive,
        topic: &Topic,
        flags: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let log = Folder::new();
        let stderr = File::create(log.path().join("stderr")).unwrap();
        // A bounded run has one checkpoint, its last, however long the machine takes for it, unless its
        // flags say otherwise.
        let interval = if flags.contains(&"--bounded") {
            "1h"
        } else {
            "1s"
        };
        let child = program(archive)
            .env("KAFKA_TOPIC", &topic.name)
            .env("KAFKA_GROUP_ID", &topic.name)
            .env("CHECKPOINT_INTERVAL", interval)
            .envs(settings.iter().copied())
            .arg("run")
            .args(flags)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// A process whose first completion of an upload never ends: a slot is there, its files are not.
    pub fn held_before_completion(archive: &Archive, topic: &Topic) -> (Self, Proxy) {
        let proxy = Proxy::judged_by(|request| {
            if request.completes_an_upload() {
                Fate::Hang
            } else {
                Fate::Pass
            }
        });
        let url = proxy.url();
        let settings = [("AWS_ENDPOINT_URL", url.as_str())];
        let flags = ["--checkpoint-interval", "200ms"];
        let lineage = Self::start_with(archive, topic, &flags, &settings);
        wait_for("completion", LONG, || (proxy.hung() > 0).then_some(()));
        (lineage, proxy)
    }

    /// Runs it to the end, which must be a good one.
    #[track_caller]
    pub fn run(archive: &Archive, topic: &Topic, flags: &[&str]) -> Self {
        let mut lineage = Self::start(archive, topic, flags);
        lineage.ends_with(0);
        lineage
    }

    /// What it has said on standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path().join("stderr")).unwrap()
    }

    /// How many lines of its log hold a text.
    pub fn says(&self, text: &str) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn wait_until_it_says(&mut self, text: &str) {
        self.wait_until_it_says_times(text, 1);
    }

    /// Waits until it has said something so many times.
    #[track_caller]
    pub fn wait_until_it_says_times(&mut self, text: &str, times: usize) {
        wait_for(&format!("line with '{text}'"), super::LONG, || {
            let ended = self.ended();
            let said = self.says(text) >= times;
            assert!(
                said || ended.is_none(),
                "ended with {ended:?} before it said '{text}'"
            );
            said.then_some(())
        });
    }

    /// Where its control plane listens.
    #[track_caller]
    pub fn address(&mut self) -> String {
        self.wait_until_it_says("the control plane is up");
        let log = self.log();
        let line = log.lines().find(|l| l.contains("the control plane is up"));
        let address = line.and_then(|l| l.rsplit_once("address=")).unwrap().1;
        address.trim().to_owned()
    }

    /// The most memory that it has held.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Kill -9, of a process that must still be alive.
    #[track_caller]
    pub fn kill(mut self) {
        if let Some(status) = self.ended() {
            panic!("it ended by itself with {status} before it was killed");
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has died at the point where it was told to.
    #[track_caller]
    pub fn dies(&mut self) {
        use std::os::unix::process::ExitStatusExt;
        let status = wait_for("death at a failure point", super::LONG, || self.ended());
        assert_eq!(status.signal(), Some(ABORTED), "{status}: {}", self.log());
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end and checks the exit code.
    #[track_caller]
    pub fn ends_with(&mut self, code: i32) {
        self.ends_within(super::LONG, code);
    }

    #[track_caller]
    pub fn ends_within(&mut self, within: Duration, code: i32) {
        let status = wait_for("end of lineage", within, || self.ended());
        assert_eq!(status.code(), Some(code), "exit code ({status})");
    }

    /// Asks for a last checkpoint and waits for the good end.
    #[track_caller]
    pub fn stop(mut self) {
        self.terminate();
        self.ends_with(0);
    }
}

impl Drop for Lineage {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- the end of lineage's log:\n{}\n---", end.join("\n"));
        }
    }
}
