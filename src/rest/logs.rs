//! The newest lines of the log, in memory, for who looks for them in the control plane.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::fmt::MakeWriter;

/// Some thousand lines.
const KEPT_BYTES: usize = 512 * 1024;
/// A longer line is cut, so that it does not push out all others.
const LONGEST_LINE: usize = 8 * 1024;

/// Shared by the log and the control plane; clones are the same ring.
#[derive(Debug, Clone, Default)]
pub struct LogRing(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    written_at: i64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSize {
    pub bytes: usize,
    /// Milliseconds since 1970; 0 before the first line.
    pub written_at: i64,
}

impl LogRing {
    pub fn size(&self) -> LogSize {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        LogSize {
            bytes: lines.bytes,
            written_at: lines.written_at,
        }
    }

    pub fn text(&self) -> Vec<u8> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.lines.iter().flatten().copied().collect()
    }
}

/// The subscriber writes a line with one call.
impl io::Write for &LogRing {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut kept = line[..line.len().min(LONGEST_LINE)].to_vec();
        if kept.len() < line.len() {
            kept.push(b'\n');
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since_1970.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.written_at = now;
        ring.bytes += kept.len();
        ring.lines.push_back(kept);
        while ring.bytes > KEPT_BYTES {
            match ring.lines.pop_front() {
                Some(oldest) => ring.bytes -= oldest.len(),
                None => break,
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogRing {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_a_long_one_is_cut() {
        let ring = LogRing::default();
        assert_eq!(
            ring.size(),
            LogSize {
                bytes: 0,
                written_at: 0
            }
        );
        for number in 0..KEPT_BYTES / 10 {
            writeln!(&ring, "line {number:08}").unwrap();
        }
        (&ring).write_all(&vec![b'x'; KEPT_BYTES]).unwrap();
        let text = String::from_utf8(ring.text()).unwrap();
        assert_eq!(text.len(), ring.size().bytes);
        assert!(text.len() <= KEPT_BYTES);
        assert!(!text.contains("line 00000000"));
        assert!(text.contains(&format!("line {:08}\n", KEPT_BYTES / 10 - 1)));
        assert!(text.ends_with("x\n"));
    }
}
