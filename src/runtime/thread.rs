//! The OS thread of a subtask: steps it and hands it its commands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::subtask::{Command, Step, Subtask, SubtaskError};
use crate::checkpoint::driver::Event;
use crate::sink::SinkWriter;
use crate::source::SourceReader;
use crate::transform::Operator;

/// How long a fetch may wait, and so for how long the records of a slow topic are gathered: what a batch costs is
/// most of what an idle pipeline costs. Commands end the wait.
const FETCH_TIMEOUT: Duration = Duration::from_millis(500);
/// A bounded run has no slow topic for whose records it would be worth to wait.
const BOUNDED_FETCH_TIMEOUT: Duration = Duration::from_millis(100);
/// How soon a subtask that waits for memory, or for its last barrier, looks again.
const WAIT: Duration = Duration::from_millis(10);

/// Starts the thread. It ends after the last barrier, with an error, or when `commands` is closed.
pub fn spawn<S, O, W>(
    mut subtask: Subtask<S, O, W>,
    commands: std_mpsc::Receiver<Command>,
    events: mpsc::UnboundedSender<Event>,
) -> std::io::Result<JoinHandle<()>>
where
    S: SourceReader<Batch: Send> + Send + 'static,
    O: Operator<S::Batch> + Send + 'static,
    W: SinkWriter + Send + 'static,
{
    let name = format!("subtask-{}", subtask.index);
    std::thread::Builder::new().name(name).spawn(move || {
        let index = subtask.index;
        // A thread that dies in silence would hold up every checkpoint for ever.
        let drive = AssertUnwindSafe(|| drive(&mut subtask, &commands, &events));
        let result = catch_unwind(drive).unwrap_or(Err(SubtaskError::Panicked));
        if let Err(error) = result {
            // Unheard only when the process is ending already.
            let _ = events.send(Event::Failed {
                subtask: index,
                error: error.into(),
            });
        }
    })
}

fn drive<S, O, W>(
    subtask: &mut Subtask<S, O, W>,
    commands: &std_mpsc::Receiver<Command>,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(), SubtaskError>
where
    S: SourceReader,
    O: Operator<S::Batch>,
    W: SinkWriter,
{
    let fetch_timeout = match subtask.bounded {
        true => BOUNDED_FETCH_TIMEOUT,
        false => FETCH_TIMEOUT,
    };
    loop {
        match commands.try_recv() {
            Ok(command) => {
                subtask.command(command)?;
                continue;
            }
            Err(std_mpsc::TryRecvError::Empty) => {}
            Err(std_mpsc::TryRecvError::Disconnected) => return Ok(()),
        }
        match subtask.step(fetch_timeout)? {
            Step::Read(_) | Step::Idle => {}
            Step::Blocked => match commands.recv_timeout(WAIT) {
                Ok(command) => subtask.command(command)?,
                Err(std_mpsc::RecvTimeoutError::Timeout) => {}
                Err(std_mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            },
            Step::ReachedEnd => {
                // Unheard only when the process is ending already.
                let _ = events.send(Event::ReachedEnd(subtask.index));
            }
            Step::Finished => return Ok(()),
        }
    }
}
