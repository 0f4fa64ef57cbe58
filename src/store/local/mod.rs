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

/// How often links are tried: another start may clear away what it takes for left by a crash.
const TRIES: usize = 3;

/// A folder; see the module.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// Makes the folder if it is not there and proves that it can be written to, and has put-if-absent.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self::existing(root);
        create_folder(root)
            .and_then(|()| clear_unlinked(root))
            .and_then(|()| {
                let tried = || try_links(&unlinked(root), |from, to| fs::hard_link(from, to));
                (1..TRIES).fold(tried(), |before, _| before.or_else(|_| tried()))
            })
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
        let hidden = unlinked(&self.root);
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

/// A hidden name that nobody else has.
fn unlinked(root: &Path) -> PathBuf {
    root.join(format!("{UNLINKED}{}", uuid::Uuid::new_v4().simple()))
}

/// A name is given by a link, and only once: that is what put-if-absent rests on.
fn try_links(probe: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let name = probe.with_extension("name");
    File::create_new(probe)?;
    let tried = link(probe, &name).map_err(|e| {
        let why = format!(
            "this file system has no hard links, by which objects are put if absent: use another one ({e})"
        );
        io::Error::new(e.kind(), why)
    });
    let tried = tried.and_then(|()| match link(probe, &name) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
        Ok(()) => Err(io::Error::other(
            "this file system has given one name twice, so two processes could both believe that a \
             checkpoint is theirs: use another one",
        )),
    });
    // What failed before is more worth saying.
    let removed = remove_if_there(&name).and(remove_if_there(probe));
    tried.and(removed)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(link: impl Fn(&Path, &Path) -> io::Result<()>) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let tried = try_links(&unlinked(folder.path()), link);
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "nothing stays");
        tried.map_err(|e| e.to_string())
    }

    #[test]
    fn what_a_start_leaves_that_dies_amid_its_trial_is_cleared_away_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let left = || fs::read_dir(folder.path()).unwrap().count();
        let dies = || {
            try_links(&unlinked(folder.path()), |from, to| {
                fs::hard_link(from, to)?;
                panic!("killed");
            })
        };
        assert!(std::panic::catch_unwind(dies).is_err());
        assert_eq!(left(), 2);
        LocalStore::open(folder.path()).unwrap();
        assert_eq!(left(), 0);
    }

    #[test]
    fn a_file_system_that_gives_a_name_once_is_taken() {
        assert_eq!(tried(|from, to| fs::hard_link(from, to)), Ok(()));
    }

    #[test]
    fn a_file_system_without_put_if_absent_is_refused() {
        let none = tried(|_, _| Err(io::ErrorKind::Unsupported.into()));
        assert!(none.unwrap_err().contains("has no hard links"));
        let overwriting = tried(|from, to| fs::copy(from, to).map(drop));
        assert!(
            overwriting
                .unwrap_err()
                .contains("has given one name twice")
        );
    }
}
