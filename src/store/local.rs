//! A folder as a store, with the guarantees of S3.
//!
//! An object is written to a hidden file, synced, linked to its name (which fails if the name is
//! taken; a rename would overwrite) and its folder is synced. A part file grows as
//! `.NAME.inprogress` in its final folder. The order write, sync, link, sync the folder is the one
//! of every database; see for example "Files are hard" by Dan Luu.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Committable, Key, Objects, PartFiles, Proof, Put, StoreError, Upload};

const IN_PROGRESS: &str = ".inprogress";
/// Objects that are being written, in the root; a crash can leave one.
const UNLINKED: &str = ".put-";

/// A folder; see the module.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// Makes the folder if it is not there and proves that it can be written to.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self::existing(root);
        let probe = root.join(format!(".probe-{}", uuid::Uuid::new_v4().simple()));
        create_folder(root)
            .and_then(|()| clear_unlinked(root))
            .and_then(|()| File::create_new(&probe))
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|e| store.denied("writing to", "", e))?;
        Ok(store)
    }

    /// To look at: makes nothing and proves nothing.
    pub fn existing(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(&key.0)
    }

    fn in_progress(&self, key: &Key) -> PathBuf {
        let path = self.path(key);
        path.with_file_name(format!(".{}{IN_PROGRESS}", key.name()))
    }

    fn url_of(&self, key: &str) -> String {
        let root = self.root.display();
        if key.is_empty() {
            format!("file://{root}")
        } else {
            format!("file://{root}/{key}")
        }
    }

    fn denied(&self, action: &'static str, key: &str, source: io::Error) -> StoreError {
        StoreError::Denied {
            action,
            url: self.url_of(key),
            source: source.into(),
        }
    }

    /// Of a file that was open a moment ago: if it is missing now, somebody has aborted it.
    fn lost_or_denied(&self, action: &'static str, key: &str, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::NotFound => StoreError::UploadGone {
                url: self.url_of(key),
            },
            _ => self.denied(action, key, source),
        }
    }

    /// Runs blocking file work beside the async tasks.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result,
            // The process is ending: nobody is to be told that this failed.
            Err(error) if error.is_cancelled() => std::future::pending().await,
            Err(error) => Err(StoreError::unavailable(
                "working on",
                self.url_of(""),
                error,
            )),
        }
    }

    fn put_if_absent_blocking(&self, key: &Key, body: &[u8]) -> Result<Put, StoreError> {
        let path = self.path(key);
        let hidden = self
            .root
            .join(format!("{UNLINKED}{}", uuid::Uuid::new_v4().simple()));
        let put = || -> io::Result<Put> {
            let folder = parent(&path)?;
            create_folder(folder)?;
            let mut file = File::create_new(&hidden)?;
            file.write_all(body)?;
            file.sync_all()?;
            let put = match fs::hard_link(&hidden, &path) {
                Ok(()) => Put::Created,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Put::Exists,
                Err(e) => return Err(e),
            };
            fs::remove_file(&hidden)?;
            sync_folder(folder)?;
            Ok(put)
        };
        put().map_err(|e| {
            // Of a failed try nothing shall stay; that it cannot be removed is no further error.
            let _ = fs::remove_file(&hidden);
            self.denied("writing", &key.0, e)
        })
    }

    fn put_blocking(&self, key: &Key, body: &[u8]) -> Result<(), StoreError> {
        let path = self.path(key);
        let hidden = self
            .root
            .join(format!("{UNLINKED}{}", uuid::Uuid::new_v4().simple()));
        let put = || -> io::Result<()> {
            let folder = parent(&path)?;
            create_folder(folder)?;
            let mut file = File::create_new(&hidden)?;
            file.write_all(body)?;
            file.sync_all()?;
            fs::rename(&hidden, &path)?;
            sync_folder(folder)
        };
        put().map_err(|e| {
            // As above.
            let _ = fs::remove_file(&hidden);
            self.denied("writing", &key.0, e)
        })
    }

    fn finalize_blocking(&self, committable: &Committable) -> Result<(), StoreError> {
        let key = &committable.upload.key;
        let (path, hidden) = (self.path(key), self.in_progress(key));
        let Proof::Local { inode, modified_ns } = committable.proof else {
            return Err(StoreError::Foreign {
                url: self.url_of(&key.0),
            });
        };
        let failed = |e| self.denied("finalizing", &key.0, e);
        match fs::hard_link(&hidden, &path) {
            Ok(()) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
                ) => {}
            Err(e) => return Err(failed(e)),
        }
        match fs::symlink_metadata(&path) {
            Ok(found)
                if found.ino() == inode
                    && found.len() == committable.size
                    && written_at(&found) == modified_ns => {}
            Ok(_) => {
                return Err(StoreError::Foreign {
                    url: self.url_of(&key.0),
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::UploadGone {
                    url: self.url_of(&key.0),
                });
            }
            Err(e) => return Err(failed(e)),
        }
        let sync = || {
            let folder = parent(&path)?;
            sync_folder(folder)?;
            remove_if_there(&hidden)?;
            sync_folder(folder)
        };
        sync().map_err(failed)
    }

    fn collect_open(&self, folder: &Path, found: &mut Vec<Upload>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.collect_open(&entry.path(), found)?;
                continue;
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Some(name) = name
                .strip_prefix('.')
                .and_then(|n| n.strip_suffix(IN_PROGRESS))
            else {
                continue;
            };
            let path = folder.join(name);
            if let Some(key) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
                found.push(Upload {
                    key: Key::new(key),
                    id: String::new(),
                    token: String::new(),
                });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Objects for LocalStore {
    fn url(&self, key: &Key) -> String {
        self.url_of(&key.0)
    }

    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Put, StoreError> {
        let key = key.clone();
        self.blocking(move |store| store.put_if_absent_blocking(&key, &body))
            .await
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let key = key.clone();
        self.blocking(move |store| store.put_blocking(&key, &body))
            .await
    }

    async fn get(&self, key: &Key) -> Result<Bytes, StoreError> {
        let key = key.clone();
        self.blocking(move |store| match fs::read(store.path(&key)) {
            Ok(body) => Ok(body.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::NotFound {
                url: store.url_of(&key.0),
            }),
            Err(e) => Err(store.denied("reading", &key.0, e)),
        })
        .await
    }

    async fn list(&self, folder: &str, beginning: &str) -> Result<Vec<String>, StoreError> {
        let (folder, beginning) = (folder.to_owned(), beginning.to_owned());
        self.blocking(move |store| {
            let list = || -> io::Result<Vec<String>> {
                let entries = match fs::read_dir(store.root.join(&folder)) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                    entries => entries?,
                };
                let mut names = Vec::new();
                for entry in entries {
                    let entry = entry?;
                    if let Ok(name) = entry.file_name().into_string()
                        && name.starts_with(&beginning)
                        && !name.starts_with('.')
                        && !is_empty_folder(&entry)?
                    {
                        names.push(name);
                    }
                }
                Ok(names)
            };
            list().map_err(|e| store.denied("listing", &folder, e))
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        self.blocking(move |store| {
            let path = store.path(&key);
            let delete = || {
                remove_if_there(&path)?;
                // A folder of the log without its object is noise; one that is not empty stays.
                let folder = parent(&path)?;
                if folder != store.root {
                    let _ = fs::remove_dir(folder);
                }
                io::Result::Ok(())
            };
            delete().map_err(|e| store.denied("deleting", &key.0, e))
        })
        .await
    }
}

#[async_trait]
impl PartFiles for LocalStore {
    fn url(&self, key: &Key) -> String {
        self.url_of(&key.0)
    }

    async fn begin(&self, key: &Key) -> Result<Upload, StoreError> {
        let key = key.clone();
        self.blocking(move |store| {
            let hidden = store.in_progress(&key);
            let create = || {
                create_folder(parent(&hidden)?)?;
                // Truncates what an earlier try of this very call has left; keys are never reused.
                File::create(&hidden)
            };
            create().map_err(|e| store.denied("creating", &key.0, e))?;
            Ok(Upload {
                key,
                id: String::new(),
                token: String::new(),
            })
        })
        .await
    }

    async fn put_part(
        &self,
        upload: &Upload,
        index: usize,
        offset: u64,
        data: Bytes,
    ) -> Result<String, StoreError> {
        let key = upload.key.clone();
        self.blocking(move |store| {
            let write = || {
                let file = OpenOptions::new()
                    .write(true)
                    .open(store.in_progress(&key))?;
                file.write_all_at(&data, offset)
            };
            write().map_err(|e| store.lost_or_denied("writing", &key.0, e))?;
            Ok(index.to_string())
        })
        .await
    }

    async fn seal(
        &self,
        upload: &Upload,
        _parts: Vec<String>,
        size: u64,
    ) -> Result<Committable, StoreError> {
        let upload = upload.clone();
        self.blocking(move |store| {
            let hidden = store.in_progress(&upload.key);
            let denied = |e| store.lost_or_denied("syncing", &upload.key.0, e);
            let file = OpenOptions::new().write(true).open(&hidden);
            let file = file.map_err(denied)?;
            file.sync_all().map_err(|source| StoreError::NotSynced {
                url: store.url_of(&upload.key.0),
                source,
            })?;
            let seal = || {
                sync_folder(parent(&hidden)?)?;
                let found = file.metadata()?;
                if found.len() != size {
                    return Err(io::Error::other(format!(
                        "the file has {} bytes instead of {size}",
                        found.len()
                    )));
                }
                Ok((found.ino(), written_at(&found)))
            };
            let (inode, modified_ns) = seal().map_err(denied)?;
            Ok(Committable {
                upload,
                size,
                proof: Proof::Local { inode, modified_ns },
            })
        })
        .await
    }

    async fn finalize(&self, committable: &Committable) -> Result<(), StoreError> {
        let committable = committable.clone();
        self.blocking(move |store| store.finalize_blocking(&committable))
            .await
    }

    async fn is_visible(&self, key: &Key) -> Result<bool, StoreError> {
        let key = key.clone();
        self.blocking(move |store| match fs::symlink_metadata(store.path(&key)) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(store.denied("looking at", &key.0, e)),
        })
        .await
    }

    async fn open_uploads(&self) -> Result<Vec<Upload>, StoreError> {
        self.blocking(|store| {
            let mut found = Vec::new();
            store
                .collect_open(&store.root, &mut found)
                .map_err(|e| store.denied("listing", "", e))?;
            Ok(found)
        })
        .await
    }

    async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let key = upload.key.clone();
        self.blocking(move |store| {
            remove_if_there(&store.in_progress(&key))
                .map_err(|e| store.denied("removing", &key.0, e))
        })
        .await
    }
}

/// Of the content; linking does not change it. Nanoseconds since 1970.
fn written_at(file: &fs::Metadata) -> i128 {
    i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec())
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::other(format!("{} has no parent folder", path.display())))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes what a crash has left of objects that never got their name. A living process whose
/// object is among them fails to link it, and writes it again.
fn clear_unlinked(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNLINKED.as_bytes())
        {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether it holds nothing but hidden files. S3 has no such folders; here a crash can leave one.
fn is_empty_folder(entry: &fs::DirEntry) -> io::Result<bool> {
    if !entry.file_type()?.is_dir() {
        return Ok(false);
    }
    let inner = match fs::read_dir(entry.path()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        inner => inner?,
    };
    for entry in inner {
        if !entry?.file_name().as_encoded_bytes().starts_with(b".") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the folder and all above it, each synced into the one that holds it.
fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = match path.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    };
    create_folder(above)?;
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    sync_folder(above)
}
