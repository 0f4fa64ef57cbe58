//! The places of a job's files and logs, each tried out before it is used.

use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::watch;

use super::Waiting;
use crate::config::Settings;
use crate::config::location::Location;
use crate::jobs::JobError;
use crate::runtime::retry::{Patience, with_causes};
use crate::runtime::until;
use crate::store::local::LocalStore;
use crate::store::s3::requests::Requests;
use crate::store::s3::{Purpose, S3Access, S3Store};
use crate::store::{Objects, StoreError, Stores};

enum Opened {
    S3(Arc<S3Store>),
    Local(Arc<LocalStore>),
}

/// The paths of the settings, all tried side by side: most of what a start takes is the way to the store and back.
pub async fn stores(
    settings: &Settings,
    patience: &Patience,
    requests: &Arc<Requests>,
) -> Result<Stores, JobError> {
    let purposes = [Purpose::Files, Purpose::Files, Purpose::Logs, Purpose::Logs];
    let waiting = Waiting::new(patience, "the store");
    let refused = watch::Sender::new(false);
    let (s3, waiting, refused) = (&settings.s3, &waiting, &refused);
    let paths = settings.paths.named().into_iter().zip(purposes);
    let opening = paths.map(|((setting, location), purpose)| async move {
        let opened = open(
            location,
            purpose,
            s3,
            waiting,
            refused.subscribe(),
            requests,
        )
        .await;
        opened.map_err(|source| {
            refused.send_replace(true);
            JobError::Path {
                setting,
                location: location.clone(),
                source,
            }
        })
    });
    // To its end, so that what one of them tries is removed again also where another one is refused.
    let opened = join_all(opening).await.into_iter();
    let opened: Vec<_> = opened.collect::<Result<_, _>>()?;
    let opened: Vec<_> = opened.into_iter().flatten().collect();
    let [output, dropped, commit_log, checkpoints] = opened.as_slice() else {
        unreachable!("four paths were opened");
    };
    macro_rules! as_dyn {
        ($opened:expr) => {
            match $opened {
                Opened::S3(store) => store.clone(),
                Opened::Local(store) => store.clone(),
            }
        };
    }
    Ok(Stores {
        output: as_dyn!(output),
        dropped: as_dyn!(dropped),
        commit_log: as_dyn!(commit_log),
        checkpoints: as_dyn!(checkpoints),
    })
}

/// A further place for small objects that nobody waits for: an error is the answer. Proves that it
/// can be written to.
pub async fn objects(
    location: &Location,
    access: &S3Access,
    requests: &Arc<Requests>,
) -> Result<Arc<dyn Objects>, StoreError> {
    match location {
        Location::Folder(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || LocalStore::open(&path)).await;
            let failed = |e| StoreError::unavailable("opening", location.to_string(), e);
            Ok(Arc::new(opened.map_err(failed)??))
        }
        Location::S3 { s3_bucket, prefix } => {
            let store = S3Store::open(access, s3_bucket, prefix, requests)?;
            if let Err(error) = store.check(Purpose::Logs).await {
                store.give_up().await;
                return Err(error);
            }
            Ok(Arc::new(store))
        }
    }
}

/// A place of small objects; nothing is made and nothing is proven.
pub fn existing(
    location: &Location,
    access: &S3Access,
    requests: &Arc<Requests>,
) -> Result<Arc<dyn Objects>, StoreError> {
    Ok(match location {
        Location::Folder(path) => Arc::new(LocalStore::existing(path)),
        Location::S3 { s3_bucket, prefix } => {
            Arc::new(S3Store::open(access, s3_bucket, prefix, requests)?)
        }
    })
}

/// `None`: nobody waits for it any more, since another one is refused.
async fn open(
    location: &Location,
    purpose: Purpose,
    access: &S3Access,
    waiting: &Waiting<'_>,
    mut refused: watch::Receiver<bool>,
    requests: &Arc<Requests>,
) -> Result<Option<Opened>, StoreError> {
    match location {
        Location::Folder(path) => Ok(Some(Opened::Local(Arc::new(LocalStore::open(path)?)))),
        Location::S3 { s3_bucket, prefix } => {
            let store = S3Store::open(access, s3_bucket, prefix, requests)?;
            loop {
                match store.check(purpose).await {
                    Ok(()) => return Ok(Some(Opened::S3(Arc::new(store)))),
                    Err(error @ StoreError::Unavailable { .. }) => {
                        let endpoint = access.endpoint.as_deref().unwrap_or("Amazon's");
                        let why = with_causes(&error);
                        let why = format!("{location} at AWS_ENDPOINT_URL={endpoint}: {why}");
                        tokio::select! {
                            biased;
                            () = until(&mut refused, |refused| *refused) => {
                                store.give_up().await;
                                return Ok(None);
                            }
                            () = waiting.say(&why) => {}
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
