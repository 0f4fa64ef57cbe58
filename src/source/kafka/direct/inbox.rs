//! From the tasks that fetch to the thread that reads: few answers, for each of which its task waits until there is
//! room, and a way to end the reader's waiting.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::source::Wake;

pub struct Inbox<T> {
    held: Mutex<Held<T>>,
    /// Something has come, or somebody wakes.
    changed: Condvar,
    room: Semaphore,
}

struct Held<T> {
    answers: VecDeque<T>,
    woken: bool,
}

/// Room for one answer, until it is used or dropped.
pub struct Room<'a, T> {
    inbox: &'a Inbox<T>,
    room: Option<SemaphorePermit<'a>>,
}

impl<T> Room<'_, T> {
    pub fn put(self, answer: T) {
        if let Some(room) = self.room {
            // Given back by who takes it.
            room.forget();
        }
        self.inbox.lock().answers.push_back(answer);
        self.inbox.changed.notify_one();
    }
}

impl<T> Inbox<T> {
    /// With room for so many.
    pub fn new(room: usize) -> Arc<Self> {
        Arc::new(Self {
            held: Mutex::new(Held {
                answers: VecDeque::new(),
                woken: false,
            }),
            changed: Condvar::new(),
            room: Semaphore::new(room),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held<T>> {
        // It is whole after every statement.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for one; who waits longer comes first.
    pub async fn room(&self) -> Room<'_, T> {
        // The semaphore is never closed.
        let room = self.room.acquire().await.ok();
        Room { inbox: self, room }
    }

    /// The next one; waits for it until the time has passed, or somebody wakes or has done so since the last wait.
    pub fn take(&self, timeout: Duration) -> Option<T> {
        let end = Instant::now().checked_add(timeout);
        let mut held = self.lock();
        loop {
            if let Some(answer) = held.answers.pop_front() {
                self.room.add_permits(1);
                return Some(answer);
            }
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() || std::mem::take(&mut held.woken) {
                return None;
            }
            let waited = self.changed.wait_timeout(held, left);
            (held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What `of` says of those that nobody has taken yet, in all.
    pub fn sum(&self, of: impl Fn(&T) -> usize) -> usize {
        self.lock().answers.iter().map(of).sum()
    }
}

impl<T: Send> Wake for Inbox<T> {
    fn wake(&self) {
        self.lock().woken = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(100_000);

    #[test]
    fn who_waits_is_woken_also_if_that_was_before_it_waited() {
        let inbox = Inbox::<u8>::new(1);
        inbox.wake();
        assert_eq!(inbox.take(LONG), None);
        let waiting = inbox.clone();
        let waiting = std::thread::spawn(move || waiting.take(LONG));
        inbox.wake();
        assert_eq!(waiting.join().unwrap(), None);
    }

    #[tokio::test]
    async fn answers_come_in_their_order_and_wait_for_room() {
        let inbox = Inbox::new(1);
        inbox.room().await.put(1);
        let mut second = std::pin::pin!(inbox.room());
        assert!(futures::poll!(&mut second).is_pending(), "there is no room");
        assert_eq!(inbox.take(Duration::ZERO), Some(1));
        second.await.put(2);
        assert_eq!(inbox.sum(|answer| *answer), 2);
        assert_eq!(inbox.take(LONG), Some(2));
        assert_eq!(inbox.take(Duration::ZERO), None);
    }

    #[tokio::test]
    async fn room_that_is_not_used_is_there_for_others() {
        let inbox = Inbox::<u8>::new(1);
        drop(inbox.room().await);
        inbox.room().await.put(1);
        assert_eq!(inbox.take(Duration::ZERO), Some(1));
    }
}
