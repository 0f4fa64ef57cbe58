//! Standard output, whose reader may leave before all is said, as `head` does.

use std::io::{self, Write};

/// Writes `text`; `false` when nobody reads any more. Nothing is wrong then: whoever left has seen
/// enough, and the exit code says what the whole text would have said.
///
/// # Errors
/// If standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
