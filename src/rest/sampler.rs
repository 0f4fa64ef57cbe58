//! Looks at the job by itself: every few seconds for the history and for rates, and about once a
//! second for the event streams, one look for all of them and none while nobody listens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::settings::{RestSettings, Rhythm};
use crate::ids::Generation;
use crate::jobs::control::Control;
use crate::jobs::view::{JobView, SubtaskView};

/// How far the history goes back.
const HISTORY: Duration = Duration::from_secs(3600);

/// One point of the charts.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub at: i64,
    /// None at the first look at a start of the job.
    pub records_per_second: Option<f64>,
    pub bytes_per_second: Option<f64>,
    /// Records that are in Kafka and not read yet; none unless it is known of every split.
    pub lag: Option<u64>,
}

/// What a subtask did in each second between the two newest looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubtaskRates {
    pub records_in: f64,
    pub bytes_in: f64,
    /// Rows of both kinds.
    pub rows: f64,
    pub bytes_out: f64,
    /// Milliseconds.
    pub busy: f64,
    pub idle: f64,
    pub backpressured: f64,
}

#[derive(Debug)]
pub struct Sampler {
    rhythm: Rhythm,
    history: Mutex<History>,
    /// The newest view as JSON, for the event streams.
    latest: watch::Sender<Arc<str>>,
    wanted: Notify,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

#[derive(Debug, Default)]
struct History {
    samples: VecDeque<Sample>,
    last: Option<Look>,
    /// By subtask.
    rates: Option<Vec<SubtaskRates>>,
}

#[derive(Debug)]
struct Look {
    at: i64,
    generation: Option<Generation>,
    subtasks: Vec<SubtaskView>,
}

/// One client's end of an event stream; dropping it ends it.
pub struct Listener {
    views: watch::Receiver<Arc<str>>,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next view; `None` at the end of the process.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => None,
            changed = self.views.changed() => {
                changed.ok()?;
                Some(self.views.borrow_and_update().clone())
            }
        }
    }
}

impl Sampler {
    pub fn new(settings: &RestSettings, stop: watch::Receiver<bool>) -> Self {
        Self {
            stop,
            rhythm: settings.rhythm.clone(),
            history: Mutex::default(),
            latest: watch::Sender::new("".into()),
            wanted: Notify::new(),
            places: Arc::new(Semaphore::new(settings.limits.streams)),
        }
    }

    /// The oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.history().samples.iter().cloned().collect()
    }

    pub fn interval(&self) -> Duration {
        self.rhythm.history
    }

    /// By subtask; `None` before the second look at a start of the job.
    pub fn rates(&self) -> Option<Vec<SubtaskRates>> {
        self.history().rates.clone()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn keep_history(self: Arc<Self>, control: Arc<dyn Control>) {
        let mut stop = self.stop.clone();
        let kept = HISTORY.as_millis() / self.rhythm.history.as_millis().max(1);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        loop {
            self.history().look(&control.view(), kept);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(self.rhythm.history) => {}
            }
        }
    }

    /// `None` if there are as many as there may be.
    pub fn listen(&self) -> Option<Listener> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let views = self.latest.subscribe();
        self.wanted.notify_one();
        Some(Listener {
            views,
            stop: self.stop.clone(),
            _place: place,
        })
    }

    pub async fn feed_streams(self: Arc<Self>, control: Arc<dyn Control>) {
        let mut stop = self.stop.clone();
        let feed = async {
            loop {
                while self.latest.receiver_count() == 0 {
                    self.wanted.notified().await;
                }
                match serde_json::to_string(&control.view()) {
                    Ok(view) => self.latest.send_replace(view.into()),
                    Err(error) => {
                        tracing::error!(%error, "the view of the job cannot be written as JSON");
                        return;
                    }
                };
                tokio::time::sleep(self.rhythm.events).await;
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = feed => {}
        }
    }
}

impl History {
    fn look(&mut self, view: &JobView, kept: usize) {
        let look = Look {
            at: view.now,
            generation: view.generation,
            subtasks: view.subtasks.clone(),
        };
        self.rates = self.last.as_ref().and_then(|last| rates(last, &look));
        self.last = Some(look);
        let sum = |of: fn(&SubtaskRates) -> f64| {
            let rates = self.rates.as_ref()?;
            Some(rates.iter().map(of).sum())
        };
        self.samples.push_back(Sample {
            at: view.now,
            records_per_second: sum(|rates| rates.records_in),
            bytes_per_second: sum(|rates| rates.bytes_in),
            lag: view.lag(),
        });
        while self.samples.len() > kept.max(1) {
            self.samples.pop_front();
        }
    }
}

/// `None` if the two looks are not at the same start of the job.
fn rates(last: &Look, now: &Look) -> Option<Vec<SubtaskRates>> {
    let elapsed = u32::try_from(now.at - last.at).ok().filter(|ms| *ms > 0)?;
    let seconds = f64::from(elapsed) / 1000.0;
    if last.generation != now.generation || last.subtasks.len() != now.subtasks.len() {
        return None;
    }
    let pairs = last.subtasks.iter().zip(&now.subtasks);
    pairs
        .map(|(last, now)| {
            let per_second = |of: fn(&SubtaskView) -> u64| {
                // A counter that fell belongs to another start.
                Some(of(now).checked_sub(of(last))? as f64 / seconds)
            };
            Some(SubtaskRates {
                records_in: per_second(|s| s.records_in)?,
                bytes_in: per_second(|s| s.bytes_in)?,
                rows: per_second(|s| s.rows_out + s.rows_dropped)?,
                bytes_out: per_second(|s| s.bytes_out)?,
                busy: per_second(|s| s.busy_ms)?,
                idle: per_second(|s| s.idle_ms)?,
                backpressured: per_second(|s| s.backpressured_ms)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: i64, generation: u64, records: u64) -> Look {
        Look {
            at,
            generation: Some(Generation(generation)),
            subtasks: vec![SubtaskView {
                records_in: records,
                ..SubtaskView::default()
            }],
        }
    }

    #[test]
    fn rates_are_of_two_looks_at_the_same_start() {
        let of = |now: Look| rates(&look(1_000, 1, 100), &now).map(|rates| rates[0].records_in);
        assert_eq!(of(look(3_000, 1, 300)), Some(100.0));
        assert_eq!(of(look(3_000, 1, 100)), Some(0.0));
        assert_eq!(of(look(3_000, 2, 300)), None);
        assert_eq!(of(look(3_000, 1, 50)), None);
        assert_eq!(of(look(1_000, 1, 300)), None);
        assert_eq!(of(look(500, 1, 300)), None);
    }
}
