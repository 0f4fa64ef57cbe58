//! A folder as a store, with the guarantees of S3.
//!
//! An object is written to a hidden file, synced, linked to its name (which fails if the name is
//! taken; a rename would overwrite) and its folder is synced. A part file grows as
//! `.NAME.inprogress` in its final folder. The order write, sync, link, sync the folder is the one
//! of every database; see for example "Files are hard" by Dan Luu.

mod folder;
mod part_files;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Key, Objects, Put, StoreError};
use folder::{create_folder, is_empty_folder, parent, remove_if_there, sync_folder};

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
        self.put_hidden(key, body, |hidden, path| {
            let put = match fs::hard_link(hidden, path) {
                Ok(()) => Put::Created,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Put::Exists,
                Err(e) => return Err(e),
            };
            fs::remove_file(hidden)?;
            Ok(put)
        })
    }

    fn put_blocking(&self, key: &Key, body: &[u8]) -> Result<(), StoreError> {
        self.put_hidden(key, body, |hidden, path| fs::rename(hidden, path))
    }

    /// Writes a hidden file and syncs it; `name` gives it its name.
    fn put_hidden<T>(
        &self,
        key: &Key,
        body: &[u8],
        name: impl Fn(&Path, &Path) -> io::Result<T>,
    ) -> Result<T, StoreError> {
        let path = self.path(key);
        let hidden = self
            .root
            .join(format!("{UNLINKED}{}", uuid::Uuid::new_v4().simple()));
        let put = || -> io::Result<T> {
            let folder = parent(&path)?;
            create_folder(folder)?;
            let mut file = File::create_new(&hidden)?;
            file.write_all(body)?;
            file.sync_all()?;
            let named = name(&hidden, &path)?;
            sync_folder(folder)?;
            Ok(named)
        };
        put().map_err(|e| {
            // Of a failed try nothing shall stay; that it cannot be removed is no further error.
            let _ = fs::remove_file(&hidden);
            self.denied("writing", &key.0, e)
        })
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
