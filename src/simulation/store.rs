//! A store that answers when the schedule says so.
//!
//! Every call is a request on its way. The schedule applies it and answers, applies it and loses
//! the answer, fails it, or lets its sender give it up and applies it later; all of that also after
//! the process that sent it has died.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::ids::{NextOffset, Split};
use crate::mutants::{self, Mutant};
use crate::store::{Committable, Key, Objects, PartFiles, Proof, Put, StoreError, Upload};

/// What the store holds.
#[derive(Default)]
pub struct Contents {
    /// By root and key: slots and commit-log files.
    pub objects: BTreeMap<String, Bytes>,
    /// Visible files, by root and key.
    pub files: BTreeMap<String, File>,
    pub uploads: BTreeMap<String, OpenUpload>,
    next_upload: u64,
    /// Path of every object and file that was changed, in order: what checks have to look at.
    pub changes: Vec<String>,
}

/// An open upload of another job, and nobody else's to abort.
pub const ANOTHER_JOBS: &str = "output/part-0123456789abcdef0123456789abcdef-1-0-0.parquet";

pub struct File {
    pub body: Vec<u8>,
    pub token: String,
}

#[derive(Clone)]
pub struct OpenUpload {
    pub path: String,
    parts: BTreeMap<usize, Bytes>,
    /// Its parts are lost.
    broken: bool,
}

/// What becomes of an upload whose completion goes wrong in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its parts are lost; it stays open.
    Parts,
    /// It is gone.
    Upload,
    /// It says that its parts are lost, and becomes the file later all the same, unless it is
    /// aborted before.
    Unsettled,
}

impl Shared {
    /// A store that another job uses too.
    pub fn with_another_job() -> Self {
        let mut shared = Self::default();
        let upload = OpenUpload {
            path: ANOTHER_JOBS.into(),
            parts: BTreeMap::new(),
            broken: false,
        };
        shared.contents.uploads.insert("another".into(), upload);
        shared
    }

    /// The request at this place ends; one that its sender gives up stays on its way.
    pub fn end(&mut self, place: usize, fate: Fate, rarity: u32) {
        let Request { what, apply, .. } = self.requests.remove(place);
        if let Some(late) = apply(&mut self.contents, fate) {
            self.arrives_late(what, rarity, late);
        }
    }

    fn arrives_late(&mut self, what: String, rarity: u32, apply: Late) {
        self.requests.push(Request {
            what: format!("late {what}"),
            rarity,
            apply: Box::new(move |contents, _| {
                apply(contents);
                None
            }),
        });
    }

    /// Loses what was uploaded under this id.
    pub fn lose(&mut self, id: &str, loss: Loss) {
        let uploads = &mut self.contents.uploads;
        let Some(upload) = uploads.get_mut(id) else {
            return;
        };
        upload.broken = true;
        let id = id.to_owned();
        match loss {
            Loss::Parts => {}
            Loss::Upload => drop(uploads.remove(&id)),
            // Late enough for a process to end and another to start meanwhile.
            Loss::Unsettled => self.arrives_late(
                format!("completion of {id}"),
                50,
                Box::new(move |contents| contents.complete(&id)),
            ),
        }
    }
}

impl Contents {
    /// The upload becomes a file, if it is still there.
    fn complete(&mut self, id: &str) {
        if let Some(open) = self.uploads.remove(id) {
            let file = File {
                body: open.parts.into_values().flatten().collect(),
                token: id.to_owned(),
            };
            self.changes.push(open.path.clone());
            self.files.insert(open.path, file);
        }
    }
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Done, but reported as failed.
    AnswerLost,
    /// Not done.
    Failed,
    /// Reported as failed and done later, perhaps after the sender's next try.
    GivenUp,
    /// A put-if-absent is refused for another one that was under way at its key, as by S3's status
    /// 409: not done, and perhaps nothing is there.
    Refused,
}

type Apply = Box<dyn FnOnce(&mut Contents, Fate) -> Option<Late> + Send>;
/// What is left of a request that nobody waits for any more.
type Late = Box<dyn FnOnce(&mut Contents) + Send>;

pub struct Request {
    pub what: String,
    /// It comes about once in so many choices of it.
    pub rarity: u32,
    apply: Apply,
}

#[derive(Default)]
pub struct Shared {
    pub contents: Contents,
    pub requests: Vec<Request>,
    /// Next offsets that were committed to Kafka, and that no check has seen yet.
    pub committed: Vec<BTreeMap<Split, NextOffset>>,
}

/// One root of the store; all roots share contents and requests.
#[derive(Clone)]
pub struct SimStore {
    pub root: &'static str,
    pub shared: Arc<Mutex<Shared>>,
}

impl SimStore {
    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no check has failed before")
    }

    fn path(&self, key: &Key) -> String {
        format!("{}/{key}", self.root)
    }

    fn not_found(&self, key: &Key) -> StoreError {
        StoreError::NotFound {
            url: self.path(key),
        }
    }

    async fn request<T: Send + 'static>(
        &self,
        what: String,
        apply: impl FnOnce(&mut Contents) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.refusable(what, None, apply).await
    }

    /// A request that is answered so when it is refused.
    async fn refusable<T: Send + 'static>(
        &self,
        what: String,
        refusal: Option<T>,
        apply: impl FnOnce(&mut Contents) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (send, answer) = oneshot::channel();
        let name = what.clone();
        let apply = move |contents: &mut Contents, fate: Fate| {
            let lost = Err(StoreError::unavailable("asking", name, "no answer"));
            let mut late: Option<Late> = None;
            let result = match (fate, refusal) {
                (Fate::Failed, _) => lost,
                (Fate::AnswerLost, _) => {
                    let _ = apply(contents);
                    lost
                }
                (Fate::GivenUp, _) => {
                    late = Some(Box::new(move |contents| drop(apply(contents))));
                    lost
                }
                (Fate::Refused, Some(answer)) => Ok(answer),
                (Fate::Refused | Fate::Answered, _) => apply(contents),
            };
            // Unheard when the process has died meanwhile.
            let _ = send.send(result);
            late
        };
        self.lock().requests.push(Request {
            what,
            rarity: 1,
            apply: Box::new(apply),
        });
        answer.await.expect("every request ends")
    }
}

#[async_trait]
impl Objects for SimStore {
    fn url(&self, key: &Key) -> String {
        self.path(key)
    }

    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Put, StoreError> {
        let path = self.path(key);
        self.refusable(format!("put {path}"), Some(Put::Exists), move |contents| {
            let overwrites = mutants::is(Mutant::PutOverwrites);
            if contents.objects.contains_key(&path) && !overwrites {
                return Ok(Put::Exists);
            }
            contents.changes.push(path.clone());
            contents.objects.insert(path, body);
            Ok(Put::Created)
        })
        .await
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let path = self.path(key);
        self.request(format!("overwrite {path}"), move |contents| {
            contents.changes.push(path.clone());
            contents.objects.insert(path, body);
            Ok(())
        })
        .await
    }

    async fn get(&self, key: &Key) -> Result<Bytes, StoreError> {
        let (path, missing) = (self.path(key), self.not_found(key));
        self.request(format!("get {path}"), move |contents| {
            contents.objects.get(&path).cloned().ok_or(missing)
        })
        .await
    }

    async fn list(&self, folder: &str, beginning: &str) -> Result<Vec<String>, StoreError> {
        let root = match folder {
            "" => format!("{}/", self.root),
            folder => format!("{}/{folder}/", self.root),
        };
        let prefix = format!("{root}{beginning}");
        self.request(format!("list {prefix}"), move |contents| {
            let paths = contents.objects.keys().filter(|p| p.starts_with(&prefix));
            let children = paths.filter_map(|p| p.strip_prefix(&root)?.split('/').next());
            let mut names: Vec<_> = children.map(str::to_owned).collect();
            names.dedup();
            Ok(names)
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key);
        self.request(format!("delete {path}"), move |contents| {
            contents.objects.remove(&path);
            contents.changes.push(path);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl PartFiles for SimStore {
    fn url(&self, key: &Key) -> String {
        self.path(key)
    }

    async fn begin(&self, key: &Key) -> Result<Upload, StoreError> {
        let (path, key) = (self.path(key), key.clone());
        self.request(format!("begin {path}"), move |contents| {
            contents.next_upload += 1;
            let id = format!("u{}", contents.next_upload);
            let upload = OpenUpload {
                path,
                parts: BTreeMap::new(),
                broken: false,
            };
            contents.uploads.insert(id.clone(), upload);
            Ok(Upload {
                key,
                token: id.clone(),
                id,
            })
        })
        .await
    }

    async fn put_part(
        &self,
        upload: &Upload,
        index: usize,
        _offset: u64,
        data: Bytes,
    ) -> Result<String, StoreError> {
        let (path, id) = (self.path(&upload.key), upload.id.clone());
        self.request(
            format!("part {index} of {path}"),
            move |contents| match contents.uploads.get_mut(&id) {
                Some(upload) => {
                    upload.parts.insert(index, data);
                    Ok(format!("{id}-{index}"))
                }
                None => Err(StoreError::UploadGone { url: path }),
            },
        )
        .await
    }

    async fn seal(
        &self,
        upload: &Upload,
        parts: Vec<String>,
        size: u64,
    ) -> Result<Committable, StoreError> {
        Ok(Committable {
            upload: upload.clone(),
            size,
            proof: Proof::S3 { parts },
        })
    }

    async fn finalize(&self, committable: &Committable) -> Result<(), StoreError> {
        let (path, upload) = (
            self.path(&committable.upload.key),
            committable.upload.clone(),
        );
        let size = committable.size;
        self.request(format!("complete {}", upload.id), move |contents| {
            if let Some(file) = contents.files.get(&path) {
                let ours = file.token == upload.token && file.body.len() as u64 == size;
                return if ours {
                    Ok(())
                } else {
                    Err(StoreError::Foreign { url: path })
                };
            }
            match contents.uploads.get(&upload.id) {
                None => Err(StoreError::UploadGone { url: path }),
                Some(open) if open.broken => Err(StoreError::UploadBroken { url: path }),
                Some(_) => {
                    contents.complete(&upload.id);
                    Ok(())
                }
            }
        })
        .await
    }

    async fn is_visible(&self, key: &Key) -> Result<bool, StoreError> {
        let path = self.path(key);
        self.request(format!("head {path}"), move |contents| {
            Ok(contents.files.contains_key(&path))
        })
        .await
    }

    async fn open_uploads(&self) -> Result<Vec<Upload>, StoreError> {
        let root = format!("{}/", self.root);
        self.request(format!("list uploads of {root}"), move |contents| {
            let open = contents.uploads.iter();
            let open = open.filter_map(|(id, upload)| {
                Some(Upload {
                    key: Key::new(upload.path.strip_prefix(&root)?),
                    id: id.clone(),
                    token: String::new(),
                })
            });
            Ok(open.collect())
        })
        .await
    }

    async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let id = upload.id.clone();
        self.request(format!("abort {id}"), move |contents| {
            contents.uploads.remove(&id);
            Ok(())
        })
        .await
    }
}
