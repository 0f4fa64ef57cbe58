//! What is known of the ids that records name, and the asking for those that are not known.
//!
//! Guarantees: an id whose schema is known is never asked for again. An id is refused only after the
//! registry has answered, for a while, that it does not know it, or at once when its answer is of no use;
//! never because the registry is away or lets nobody in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use backon::BackoffBuilder;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::client::{RegistryClient, RegistryError};
use crate::runtime::retry::{Patience, with_causes};
use crate::transform::decode::{Lookup, WriterSchemas};
use crate::transform::framing::SchemaId;

/// Concern in the health: the registry is away, or lets nobody in.
pub const REGISTRY: &str = "schema registry";
/// Concern in the health: the registry does not know an id, yet.
pub const UNKNOWN_ID: &str = "unknown schema id";

const MIN_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(5);
/// A refused id is asked for again when so much time has passed and records name it.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// Requests at once.
const AT_ONCE: usize = 8;
/// Refused ids that are remembered. What is no record of the topic can have any of four billion.
const MOST_REFUSED: usize = 10_000;

/// Shared by all subtasks of a run.
pub struct Schemas {
    known: Mutex<HashMap<SchemaId, Known>>,
    ask: mpsc::UnboundedSender<Asked>,
    patience: Patience,
}

enum Known {
    Asked,
    Schema(Arc<str>),
    Refused {
        why: Arc<str>,
        since: Duration,
        asked_again: bool,
    },
}

/// An id that somebody waits for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    id: SchemaId,
    /// Nobody waits: it was refused before.
    again: bool,
}

impl WriterSchemas for Schemas {
    fn look_up(&self, id: SchemaId) -> Lookup {
        let now = self.patience.clock.monotonic();
        let mut known = self.known();
        let (answer, asked) = match known.get_mut(&id) {
            Some(Known::Schema(json)) => return Lookup::Known(json.clone()),
            Some(Known::Asked) => return Lookup::NotYet,
            Some(Known::Refused {
                why,
                since,
                asked_again,
            }) => {
                let refused = Lookup::Refused(why.clone());
                if *asked_again || now < *since + ASK_AGAIN {
                    return refused;
                }
                *asked_again = true;
                (refused, Asked { id, again: true })
            }
            None => {
                known.insert(id, Known::Asked);
                (Lookup::NotYet, Asked { id, again: false })
            }
        };
        // Unheard only when the run is ending.
        let _ = self.ask.send(asked);
        answer
    }
}

impl Schemas {
    /// With what asks for them, to be run beside the subtasks. `retry`: for how long an id that the
    /// registry does not know is asked for.
    pub fn new(
        client: RegistryClient,
        patience: Patience,
        retry: Duration,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (ask, asked) = mpsc::unbounded_channel();
        let schemas = Arc::new(Self {
            known: Mutex::default(),
            ask,
            patience,
        });
        let asking = answer_all(Arc::downgrade(&schemas), client, retry, asked);
        (schemas, asking)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SchemaId, Known>> {
        // The map is whole after every statement, also if a thread died in between.
        self.known.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn settle(&self, id: SchemaId, result: Result<String, String>) {
        let since = self.patience.clock.monotonic();
        let mut known = self.known();
        let now = match result {
            Ok(json) => {
                tracing::info!(schema_id = id.0, "writer's schema");
                Known::Schema(json.into())
            }
            Err(why) => {
                if !matches!(known.get(&id), Some(Known::Refused { .. })) {
                    tracing::warn!(why, "records of this schema are dropped");
                }
                make_room(&mut known);
                Known::Refused {
                    why: why.into(),
                    since,
                    asked_again: false,
                }
            }
        };
        known.insert(id, now);
    }
}

/// Forgets the refused id that was refused first, if there are too many.
fn make_room(known: &mut HashMap<SchemaId, Known>) {
    let refused = known.iter().filter_map(|(id, known)| match known {
        Known::Refused { since, .. } => Some((*since, *id)),
        _ => None,
    });
    let refused: Vec<_> = refused.collect();
    if refused.len() >= MOST_REFUSED
        && let Some((_, id)) = refused.into_iter().min()
    {
        known.remove(&id);
    }
}

/// Asks for every id that comes, all of them side by side, until nobody can ask any more.
async fn answer_all(
    schemas: std::sync::Weak<Schemas>,
    client: RegistryClient,
    retry: Duration,
    mut asked: mpsc::UnboundedReceiver<Asked>,
) {
    let client = Arc::new(client);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    while let Some(one) = asked.recv().await {
        let Some(schemas) = schemas.upgrade() else {
            return;
        };
        asking.spawn(answer(schemas, client.clone(), turns.clone(), retry, one));
        while asking.try_join_next().is_some() {}
    }
}

async fn answer(
    schemas: Arc<Schemas>,
    client: Arc<RegistryClient>,
    turns: Arc<Semaphore>,
    retry: Duration,
    Asked { id, again }: Asked,
) {
    let Patience { clock, health } = schemas.patience.clone();
    let delays = || {
        backon::ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .without_max_times()
            .build()
    };
    let mut delay = delays();
    // When the registry has first said that it does not know it.
    let mut unknown = None;
    let result = loop {
        let answer = {
            // Never closed.
            let _turn = turns.acquire().await;
            client.schema(id).await
        };
        let now = clock.monotonic();
        if !answer.as_ref().is_err_and(RegistryError::waiting_helps) {
            health.well(REGISTRY, now);
        }
        match answer {
            Ok(json) => break Ok(json),
            Err(error @ RegistryError::Unknown { .. }) => {
                let since = *unknown.get_or_insert_with(|| {
                    delay = delays();
                    now
                });
                if again || now >= since + retry {
                    break Err(format!("unknown schema id {id}: {error}"));
                }
                let message = format!(
                    "{id}: {error}; its records wait, and are dropped if that is still so in {} s",
                    (since + retry).saturating_sub(now).as_secs()
                );
                health.failing(UNKNOWN_ID, now, message);
            }
            Err(error) if error.waiting_helps() => {
                // What it does not know is counted anew when it is back.
                if unknown.take().is_some() {
                    health.well(UNKNOWN_ID, now);
                }
                health.failing(REGISTRY, now, with_causes(&error));
            }
            Err(error) => break Err(format!("unusable schema: id {id}: {error}")),
        }
        clock.sleep(delay.next().unwrap_or(MAX_DELAY)).await;
        health.retrying();
    };
    if unknown.is_some() {
        health.well(UNKNOWN_ID, clock.monotonic());
    }
    schemas.settle(id, result);
}

#[cfg(test)]
mod tests;
