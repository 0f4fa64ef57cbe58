//! What the tasks of a reader share: which splits are to be fetched, from where on, and who leads them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::connection::Address;
use crate::ids::{NextOffset, Split};
use crate::source::SplitIndex;

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    pub broker: BrokerId,
    /// -1 where the brokers are too old to say it.
    pub epoch: i32,
}

impl Wanted {
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
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

    /// Those of which nobody knows who leads them.
    pub fn leaderless(&self) -> impl Iterator<Item = &Wanted> {
        let open = self.all.iter().filter(|wanted| !wanted.is_done());
        open.filter(|wanted| wanted.leader.is_none())
    }

    /// What is to be fetched from a broker.
    pub fn led_by(&self, broker: BrokerId) -> impl Iterator<Item = &Wanted> {
        let open = self.all.iter().filter(|wanted| !wanted.is_done());
        open.filter(move |wanted| wanted.leader.is_some_and(|leader| leader.broker == broker))
    }

    /// Whether all splits have an end.
    pub fn bounded(&self) -> bool {
        self.all.iter().all(|wanted| wanted.until.is_some())
    }

    pub fn of(&mut self, index: SplitIndex) -> &mut Wanted {
        &mut self.all[index.0 as usize]
    }

    /// Somebody else may lead what this broker led.
    pub fn leads_no_more(&mut self, broker: BrokerId) {
        for wanted in &mut self.all {
            if wanted.leader.is_some_and(|leader| leader.broker == broker) {
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
