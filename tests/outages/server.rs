//! A server that the tests may kill, pause and start again.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::{LONG, server, wait_for};

/// One test at a time has the servers.
static SERVERS: Mutex<()> = Mutex::new(());

pub struct Server {
    name: &'static str,
    _alone: MutexGuard<'static, ()>,
}

impl Server {
    pub fn kafka() -> Self {
        Self::of("kafka")
    }

    pub fn s3() -> Self {
        Self::of("minio")
    }

    fn of(name: &'static str) -> Self {
        let alone = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            name,
            _alone: alone,
        }
    }

    fn pid_file(&self) -> PathBuf {
        PathBuf::from(server("LINEAGE_TEST_SERVERS")).join(format!("{}.pid", self.name))
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.pid_file())
            .unwrap()
            .trim()
            .to_owned()
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid()]).status();
        assert!(status.unwrap().success());
    }

    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Kill -9; returns how to start it again.
    pub fn kill(&self) -> Command {
        let proc = PathBuf::from("/proc").join(self.pid());
        let words = |file: &str| -> Vec<std::ffi::OsString> {
            let bytes = fs::read(proc.join(file)).unwrap();
            let words = bytes.split(|&b| b == 0).filter(|word| !word.is_empty());
            words
                .map(|w| std::ffi::OsString::from_vec(w.to_vec()))
                .collect()
        };
        let arguments = words("cmdline");
        let variables = words("environ").into_iter().filter_map(|variable| {
            let text = variable.into_string().ok()?;
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        let mut again = Command::new(&arguments[0]);
        again
            .args(&arguments[1..])
            .env_clear()
            .envs(variables)
            .current_dir(fs::read_link(proc.join("cwd")).unwrap())
            // Ctrl-C is for the script, which stops the servers after the tests.
            .process_group(0)
            .stdin(Stdio::null());
        let log = self.pid_file().with_extension("again.log");
        let log = fs::File::create(log).unwrap();
        again.stdout(log.try_clone().unwrap()).stderr(log);
        self.signal("-KILL");
        wait_for("end of the server", LONG, || {
            let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
            // Gone, or a zombie of the shell that has started it.
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
        again
    }

    #[allow(
        clippy::zombie_processes,
        reason = "it outlives the test; the script that started the first one stops it by its pid"
    )]
    pub fn start_again(&self, mut again: Command) {
        let child = again.spawn().unwrap();
        fs::write(self.pid_file(), format!("{}\n", child.id())).unwrap();
    }
}
