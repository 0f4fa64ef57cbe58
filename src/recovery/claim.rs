//! Takes the next slot of the checkpoint log: looks at what there is, has it decided what the start goes on
//! from, and puts the start record. Whoever has put it is the newest instance.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::agreement;
use super::decide::{self, Facts, Savepoint};
use super::evolution;
use super::execute::{Recovery, RecoveryError, Restored, Started};
use crate::checkpoint::coordinator::Owner;
use crate::checkpoint::log::Appended;
use crate::checkpoint::slot::{Slot, SlotKind};
use crate::ids::{Generation, JobId, Nonce};
use crate::mutants::{self, Mutant};
use crate::runtime::failure;

impl Recovery<'_> {
    /// Takes the next slot. Refused by the slot of another process, it looks at the log anew: that
    /// process may be long dead and its last request late.
    pub(super) async fn claim(&self) -> Result<Started, RecoveryError> {
        let nonce = Nonce::random();
        loop {
            let newest = self.log.newest().await?;
            let after = newest.as_ref().map(|slot| slot.generation.next());
            let attempt = after.unwrap_or(Generation::FIRST).0;
            self.attempt.store(attempt, Ordering::Relaxed);
            if !self.commit_log_fits(newest.as_ref()).await? {
                continue;
            }
            // After the slot, never before: an instance that is still alive may have read on in
            // between, and its offsets would look like those of a topic that was made again.
            let saved = newest.iter().flat_map(|slot| &slot.next_offsets);
            let saved = saved.map(|saved| saved.split.topic.clone()).collect();
            let held = self.lookup.look(&saved).await?;
            let savepoint = self.savepoint(newest.as_ref()).await?;
            let plan = decide::decide(&Facts {
                newest: newest.as_ref(),
                identity: self.identity,
                topics: self.topics,
                held: &held,
                start_from: self.start_from,
                savepoint: savepoint.as_ref(),
                allow_lost_offsets: self.allow_lost_offsets,
            })?;
            let schemas = &*self.stores.checkpoints;
            if let Some(newest) = &newest {
                evolution::may_follow(schemas, self.patience, newest, self.schema).await??;
            }
            agreement::check(self.commit_log, &plan.pending).await?;
            evolution::keep(schemas, self.patience, self.schema).await?;
            for lost in &plan.lost {
                tracing::warn!(%lost, "going on without records that are gone, as allowed");
            }
            let owner = Owner {
                job: plan.job.unwrap_or_else(JobId::random),
                generation: plan.generation,
                nonce: nonce.clone(),
                identity: self.identity.clone(),
                topic_ids: plan.topic_ids,
                begins: plan.begins,
                savepoints: plan.savepoints,
                markers: plan.markers,
                origin: plan.origin,
            };
            let nothing = BTreeMap::new();
            let mut record = owner.slot(
                plan.id,
                SlotKind::Start,
                if mutants::is(Mutant::OffsetsLeftOut) {
                    &nothing
                } else {
                    &plan.next_offsets
                },
                plan.pending,
                self.patience.clock.wall(),
            );
            record.reread = plan.reread;
            failure::point(failure::START_RECORD_BEFORE);
            if mutants::is(Mutant::AbortedBeforeClaim) {
                self.abort_orphans(&record).await?;
            }
            let appended = match &newest {
                Some(newest) if mutants::is(Mutant::StartTakesNoSlot) => {
                    record.id = newest.id;
                    Appended::Confirmed
                }
                _ => self.log.append(&record).await?,
            };
            match appended {
                Appended::Confirmed => {
                    failure::point(failure::START_RECORD_AFTER);
                    return Ok(Started {
                        owner,
                        record,
                        next_offsets: plan.next_offsets,
                        splits: held.splits,
                        restored: self.restored(newest.as_ref(), savepoint.as_ref()),
                        orphans_aborted: 0,
                        lost: BTreeMap::new(),
                    });
                }
                Appended::Taken(by) => {
                    let generation = by.generation.0;
                    tracing::info!(slot = by.id.0, generation, "slot taken meanwhile");
                    self.patience.pause().await;
                }
            }
        }
    }

    /// The savepoint to begin from; not looked at once the log says that its job was begun there.
    async fn savepoint(&self, newest: Option<&Slot>) -> Result<Option<Savepoint>, RecoveryError> {
        let Some(from) = self.from_savepoint else {
            return Ok(None);
        };
        let origin = newest.and_then(|newest| newest.origin.as_ref());
        if origin.is_some_and(|origin| origin.location == from.location) {
            return Ok(None);
        }
        from.read(self.patience).await.map(Some)
    }

    fn restored(&self, newest: Option<&Slot>, savepoint: Option<&Savepoint>) -> Option<Restored> {
        let from_log = newest.map(|slot| Restored {
            id: slot.id,
            is_savepoint: slot.is_savepoint(),
            url: self.log.url(slot.id),
        });
        from_log.or_else(|| {
            savepoint.map(|savepoint| Restored {
                id: savepoint.slot.id,
                is_savepoint: true,
                url: savepoint.location.clone(),
            })
        })
    }

    /// False when the log has moved on while we looked.
    async fn commit_log_fits(&self, newest: Option<&Slot>) -> Result<bool, RecoveryError> {
        if mutants::is(Mutant::CommitLogAheadIgnored) {
            return Ok(true);
        }
        let bound = newest.map(|slot| slot.id.next());
        let mut found = self.commit_log.above(bound).await?;
        if let (None, Some(next)) = (found, bound)
            && agreement::is_complete(self.commit_log, self.stores, self.patience, next).await?
        {
            found = Some(next);
        }
        let Some(found) = found else {
            return Ok(true);
        };
        let newest = newest.map(|slot| slot.id);
        if self.log.ids().await?.last().copied() != newest {
            return Ok(false);
        }
        Err(RecoveryError::CommitLogAhead {
            found,
            newest: newest.map_or("none at all".into(), |id| id.to_string()),
        })
    }
}
