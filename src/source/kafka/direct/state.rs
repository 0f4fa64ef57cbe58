//! What the tasks of a reader share: which splits are to be fetched, from where on, and who leads them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::connection::Address;
use crate::ids::{NextOffset, Split};
use crate::source::SplitIndex;

/// How long a split that its leader has refused is left alone, at first and at most.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How often it is not believed that a leader of an earlier epoch leads.
const DOUBTS: u32 = 20;

/// Kafka's number of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub i32);

/// A split as the fetching sees it.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub split: Split,
    pub index: SplitIndex,
    /// What is asked for next; the reader may be far behind it.
    pub next: NextOffset,
    /// Nothing is fetched from here on.
    pub until: Option<NextOffset>,
    pub leader: Option<Leader>,
    /// In which the last batch before `next` was written; -1 while that is not known.
    pub last_epoch: i32,
    /// Where the split ends, as its leader has said last.
    pub end: Option<NextOffset>,
    /// The one of its leaders that is believed, and how often in turn a leader of an earlier one was named since.
    epoch: i32,
    doubted: u32,
    /// How often its leader has refused it since it was fetched last, and until when it is left alone for that.
    failures: u32,
    paused: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    pub broker: BrokerId,
    /// -1 where the brokers are too old to say it.
    pub epoch: i32,
}

impl Wanted {
    pub fn new(
        split: Split,
        index: SplitIndex,
        next: NextOffset,
        until: Option<NextOffset>,
    ) -> Self {
        Self {
            split,
            index,
            next,
            until,
            leader: None,
            last_epoch: -1,
            end: None,
            epoch: -1,
            doubted: 0,
            failures: 0,
            paused: None,
        }
    }

    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }

    fn is_led_by(&self, broker: BrokerId) -> bool {
        self.leader.is_some_and(|leader| leader.broker == broker)
    }

    fn take_leader(&mut self, leader: Leader) {
        if self.paused.is_some_and(|until| Instant::now() < until) {
            return;
        }
        // A topic that was made anew begins with the first epoch again: then all say so.
        if leader.epoch < self.epoch && self.doubted < DOUBTS {
            self.doubted += 1;
            return;
        }
        let known = self.leader.is_some_and(|known| known.epoch == leader.epoch);
        // Brokers that say no epoch may name another leader at any time.
        if !known || leader.epoch < 0 {
            self.leader = Some(leader);
        }
        self.epoch = leader.epoch;
        self.doubted = 0;
    }

    /// Its leader has refused it: perhaps it leads no more. Who does is asked after a pause, which grows.
    pub fn failed(&mut self) {
        let pause = PAUSE
            .saturating_mul(1 << self.failures.min(8))
            .min(LONGEST_PAUSE);
        self.failures += 1;
        self.leader = None;
        self.paused = Instant::now().checked_add(pause);
    }

    pub fn well(&mut self) {
        self.failures = 0;
        self.paused = None;
    }
}

#[derive(Debug, Default)]
pub struct State {
    /// By the place in the reader's table.
    all: Vec<Wanted>,
    pub brokers: BTreeMap<BrokerId, Address>,
}

impl State {
    pub fn add(&mut self, wanted: Wanted) {
        self.all.push(wanted);
    }

    /// Those that something is to be fetched of.
    pub fn open(&self) -> impl Iterator<Item = &Wanted> {
        self.all.iter().filter(|wanted| !wanted.is_done())
    }

    /// Those of which nobody knows who leads them.
    pub fn leaderless(&self) -> impl Iterator<Item = &Wanted> {
        self.open().filter(|wanted| wanted.leader.is_none())
    }

    /// When it is time to ask who leads those of which nobody knows it; `None` where there is none.
    pub fn ask_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let times = self.leaderless().map(|wanted| wanted.paused.unwrap_or(now));
        times.min()
    }

    /// What is to be fetched from a broker.
    pub fn led_by(&self, broker: BrokerId) -> impl Iterator<Item = &Wanted> {
        self.open().filter(move |wanted| wanted.is_led_by(broker))
    }

    /// Takes in who there is. What somebody led who is not there any more is led by nobody.
    pub fn take_brokers(&mut self, brokers: BTreeMap<BrokerId, Address>) {
        for wanted in &mut self.all {
            if wanted
                .leader
                .is_some_and(|leader| !brokers.contains_key(&leader.broker))
            {
                wanted.leader = None;
            }
        }
        self.brokers = brokers;
    }

    /// Takes in who leads a split, as somebody says who may not know the newest.
    pub fn take_leader(&mut self, index: SplitIndex, leader: Leader) {
        self.of(index).take_leader(leader);
    }

    /// Whether all splits have an end.
    pub fn bounded(&self) -> bool {
        self.all.iter().all(|wanted| wanted.until.is_some())
    }

    /// Where a split ends, as far as that is known.
    pub fn end(&self, index: SplitIndex) -> Option<NextOffset> {
        self.all[index.0 as usize].end
    }

    pub fn of(&mut self, index: SplitIndex) -> &mut Wanted {
        &mut self.all[index.0 as usize]
    }

    /// Somebody else may lead what this broker led.
    pub fn leads_no_more(&mut self, broker: BrokerId) {
        for wanted in &mut self.all {
            if wanted.is_led_by(broker) {
                wanted.leader = None;
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// There are splits without a leader.
    pub leaders_wanted: Notify,
    /// Splits have got leaders.
    pub leaders_known: Notify,
}

impl Shared {
    pub fn lock(self: &Arc<Self>) -> MutexGuard<'_, State> {
        // It is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
