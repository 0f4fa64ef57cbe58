//! Waiting for an async answer on a thread that has nothing async, also within somebody else's runtime.

use std::io;
use std::thread;

/// # Errors
/// If there is no thread or no runtime for it.
pub fn wait_for<T: Send>(future: impl Future<Output = T> + Send) -> io::Result<T> {
    let run = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        Ok(runtime.enable_all().build()?.block_on(future))
    };
    thread::scope(|scope| {
        let running = thread::Builder::new().spawn_scoped(scope, run)?;
        let ended = running.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("its thread has ended early")))
    })
}
