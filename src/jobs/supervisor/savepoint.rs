//! The copy of a savepoint's slot, outside of the checkpoint log.

use std::time::Duration;

use crate::checkpoint::slot::Slot;
use crate::ids::{CheckpointId, JobId};
use crate::runtime::retry::with_causes;
use crate::store::{Key, Objects, Put};

/// How often a copy is tried, with a pause that doubles in between: for half a minute or so.
const TRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// `savepoint-` with the beginning of the job's id and the number of the checkpoint.
fn name(job: &JobId, id: CheckpointId) -> String {
    let job = job.to_string();
    format!("savepoint-{}-{id}", job.get(..6).unwrap_or(&job))
}

/// Durable when it returns: the URL of the copy's folder.
pub async fn copy(slot: &Slot, target: &dyn Objects) -> Result<String, String> {
    let folder = name(&slot.job, slot.id);
    let key = Key::new(format!("{folder}/_metadata"));
    let body = slot.to_bytes().map_err(|error| error.to_string())?;
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        let put = match target.put_if_absent(&key, body.clone()).await {
            Ok(Put::Created) => Ok(()),
            // Ours, if two have asked for the same one, or an answer was lost.
            Ok(Put::Exists) => match target.get(&key).await {
                Ok(found) if found == body => Ok(()),
                Ok(_) => return Err(format!("{} is there already", target.url(&key))),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match put {
            Ok(()) => return Ok(target.url(&Key::new(folder))),
            Err(error) if tries == TRIES => return Err(with_causes(&error)),
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
                tries += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::slot::tests::sample;
    use crate::store::local::LocalStore;

    #[tokio::test]
    async fn a_copy_is_the_slot_and_another_one_at_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let slot = sample(7);
        let url = copy(&slot, &store).await.unwrap();
        assert!(url.ends_with("/savepoint-012345-7"), "{url}");
        assert_eq!(copy(&slot, &store).await, Ok(url));
        let key = Key::new("savepoint-012345-7/_metadata");
        let copied = store.get(&key).await.unwrap();
        assert_eq!(Slot::read(&copied), Ok(slot));

        let other = Slot {
            written_at: 9,
            ..sample(7)
        };
        assert!(copy(&other, &store).await.is_err());
        assert_eq!(store.get(&key).await.unwrap(), copied);
    }
}
