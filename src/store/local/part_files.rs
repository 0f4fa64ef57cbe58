//! Part files in a folder: each grows under a hidden name, is synced, and is linked to its own name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::LocalStore;
use super::folder::{create_folder, parent, remove_if_there, sync_folder};
use crate::store::{Committable, Key, PartFiles, Proof, StoreError, Upload};

const IN_PROGRESS: &str = ".inprogress";

impl LocalStore {
    fn in_progress(&self, key: &Key) -> PathBuf {
        let path = self.path(key);
        path.with_file_name(format!(".{}{IN_PROGRESS}", key.name()))
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
