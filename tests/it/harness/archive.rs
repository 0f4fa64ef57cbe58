//! Where a test's job writes: four roots, in S3 or in a folder, and what lies there.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use futures::TryStreamExt;
use lineage::store::s3::trial::TRIAL;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use uuid::Uuid;

use super::s3::{mc, s3, s3_bucket};
use super::{Folder, LONG, Topic, block_on, server, wait_for};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    S3,
    Local,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    Output,
    Dropped,
    CommitLog,
    Checkpoints,
}

impl Root {
    pub const ALL: [Root; 4] = [
        Root::Output,
        Root::Dropped,
        Root::CommitLog,
        Root::Checkpoints,
    ];

    pub fn folder(self) -> &'static str {
        match self {
            Root::Output => "output",
            Root::Dropped => "dropped",
            Root::CommitLog => "commit-log",
            Root::Checkpoints => "checkpoints",
        }
    }

    /// The setting that names it.
    pub fn setting(self) -> &'static str {
        match self {
            Root::Output => "OUTPUT_PATH",
            Root::Dropped => "DROPPED_PATH",
            Root::CommitLog => "WRITE_AHEAD_COMMIT_LOG_PATH",
            Root::Checkpoints => "CHECKPOINTS_PATH",
        }
    }
}

pub struct Archive {
    pub storage: Storage,
    /// S3: whether its settings leave out the keys.
    pub without_keys: bool,
    /// S3: prefix of this test. Local: unused.
    prefix: String,
    /// Local: the archive itself. S3: where it is mirrored to.
    folder: Folder,
}

impl Archive {
    pub fn new(storage: Storage) -> Self {
        Self {
            storage,
            without_keys: false,
            prefix: Uuid::new_v4().to_string(),
            folder: Folder::new(),
        }
    }

    pub fn url(&self, root: Root) -> String {
        match self.storage {
            Storage::S3 => format!("s3://{}/{}/{}", s3_bucket(), self.prefix, root.folder()),
            Storage::Local => format!("file://{}", self.path(root).display()),
        }
    }

    /// Where savepoints of this archive go; no root of the job.
    pub fn savepoints(&self) -> String {
        match self.storage {
            Storage::S3 => format!("s3://{}/{}/savepoints", s3_bucket(), self.prefix),
            Storage::Local => format!("file://{}", self.folder.path().join("savepoints").display()),
        }
    }

    /// S3: the bucket and the prefix that all its roots are below.
    pub fn place(&self) -> String {
        format!("{}/{}", s3_bucket(), self.prefix)
    }

    fn path(&self, root: Root) -> PathBuf {
        self.folder.path().join(root.folder())
    }

    fn key(&self, root: Root, key: &str) -> Path {
        Path::from(format!("{}/{}/{key}", self.prefix, root.folder()))
    }

    /// The settings that place a job here.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings: Vec<_> = Root::ALL
            .map(|root| (root.setting().to_owned(), self.url(root)))
            .into();
        if self.storage == Storage::S3 {
            settings.push(("AWS_ENDPOINT_URL".to_owned(), server("LINEAGE_TEST_S3")));
        }
        if self.storage == Storage::S3 && !self.without_keys {
            settings.extend([
                (
                    "AWS_ACCESS_KEY_ID".to_owned(),
                    server("LINEAGE_TEST_S3_ACCESS_KEY"),
                ),
                (
                    "AWS_SECRET_ACCESS_KEY".to_owned(),
                    server("LINEAGE_TEST_S3_SECRET_KEY"),
                ),
            ]);
        }
        settings
    }

    /// Everything below a root, hidden files too, in order; but for what a start has tried that was killed
    /// amid it.
    pub fn keys(&self, root: Root) -> Vec<String> {
        let mut keys = self.all_keys(root);
        keys.retain(|key| !key.starts_with(TRIAL));
        keys
    }

    /// What starts have tried and not removed.
    pub fn trials(&self, root: Root) -> Vec<String> {
        let mut keys = self.all_keys(root);
        keys.retain(|key| key.starts_with(TRIAL));
        keys
    }

    fn all_keys(&self, root: Root) -> Vec<String> {
        let mut keys = match self.storage {
            Storage::S3 => {
                let prefix = self.key(root, "");
                let listed = s3().list(Some(&prefix));
                let found: Vec<_> = block_on(listed.try_collect()).unwrap();
                let below = |path: &Path| {
                    let parts = path.prefix_match(&prefix).unwrap();
                    let parts: Vec<_> = parts.map(|p| p.as_ref().to_owned()).collect();
                    parts.join("/")
                };
                found.iter().map(|object| below(&object.location)).collect()
            }
            Storage::Local => {
                let mut keys = Vec::new();
                collect(&self.path(root), "", &mut keys);
                keys
            }
        };
        keys.sort();
        keys
    }

    pub fn get(&self, root: Root, key: &str) -> Vec<u8> {
        match self.storage {
            Storage::S3 => block_on(async {
                let found = s3().get(&self.key(root, key)).await.unwrap();
                found.bytes().await.unwrap().to_vec()
            }),
            Storage::Local => fs::read(self.path(root).join(key)).unwrap(),
        }
    }

    /// Overwrites or makes an object.
    pub fn put(&self, root: Root, key: &str, body: &[u8]) {
        match self.storage {
            Storage::S3 => {
                block_on(s3().put(&self.key(root, key), body.to_vec().into())).unwrap();
            }
            Storage::Local => fs::write(self.path(root).join(key), body).unwrap(),
        }
    }

    pub fn delete(&self, root: Root, key: &str) {
        match self.storage {
            Storage::S3 => block_on(s3().delete(&self.key(root, key))).unwrap(),
            Storage::Local => fs::remove_file(self.path(root).join(key)).unwrap(),
        }
    }

    /// The root as a local folder.
    pub fn mirror(&self, root: Root) -> PathBuf {
        let folder = self.path(root);
        if self.storage == Storage::S3 {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            for key in self.keys(root) {
                let file = folder.join(&key);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, self.get(root, &key)).unwrap();
            }
        }
        folder
    }

    /// Keys of the open uploads of this test, but for those of trials.
    fn open_uploads(&self) -> Vec<String> {
        let mut keys = self.all_open_uploads();
        keys.retain(|key| !key.contains(TRIAL));
        keys
    }

    /// What starts have tried to upload and not given up.
    pub fn open_trials(&self) -> Vec<String> {
        let mut keys = self.all_open_uploads();
        keys.retain(|key| key.contains(TRIAL));
        keys
    }

    /// Of the whole S3 bucket and sorted out here, because MinIO finds none by a prefix that is not a whole key. What it lists so is a list in its memory,
    /// in which an upload stays whose completion was carried out for a client that was gone by then;
    /// asked for one key it looks at its disks.
    fn all_open_uploads(&self) -> Vec<String> {
        let place = format!("it/{}", s3_bucket());
        let listed = mc(&["ls", "--json", "--incomplete", "--recursive", &place]);
        let keys = listed.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            entry["key"].as_str().unwrap().to_owned()
        });
        let own = keys.filter(|key| key.starts_with(&self.prefix));
        own.filter(|key| {
            !mc(&["ls", "--json", "--incomplete", &format!("{place}/{key}")]).is_empty()
        })
        .collect()
    }

    /// What is on its way and not visible: open uploads, hidden files.
    pub fn hidden(&self) -> Vec<String> {
        match self.storage {
            Storage::S3 => self.open_uploads(),
            Storage::Local => {
                let is_hidden = |key: &String| key.rsplit('/').next().unwrap().starts_with('.');
                let keys = Root::ALL.into_iter().flat_map(|root| self.keys(root));
                keys.filter(is_hidden).collect()
            }
        }
    }

    /// Makes the uploads of one root that the newest slot references impossible to complete: aborted,
    /// as a store does with old ones, or with a part that is not the one that was acknowledged.
    pub fn lose_pending_uploads(&self, root: Root, only_break: bool) {
        let slot = self.newest_slot();
        let files = slot["pending"].as_array().unwrap().iter();
        let of_root: Vec<_> = files.filter(|f| f["root"] == root.folder()).collect();
        assert!(
            !of_root.is_empty(),
            "no file of {root:?} is pending: {slot}"
        );
        for file in of_root {
            let upload = &file["committable"];
            let key = self.key(root, upload["key"].as_str().unwrap());
            let id = upload["id"].as_str().unwrap().to_owned();
            if only_break {
                block_on(s3().put_part(&key, &id, 0, "other".into())).unwrap();
            } else {
                block_on(s3().abort_multipart(&key, &id)).unwrap();
            }
        }
    }

    /// Takes the first pending output file of the newest slot away from the store.
    pub fn lose_a_pending_file(&self) {
        let slot = self.newest_slot();
        let mut files = slot["pending"].as_array().unwrap().iter();
        let file = files.find(|f| f["root"] == Root::Output.folder()).unwrap();
        let upload = &file["committable"];
        let key = upload["key"].as_str().unwrap();
        match self.storage {
            Storage::S3 => {
                let id = upload["id"].as_str().unwrap().to_owned();
                let key = self.key(Root::Output, key);
                block_on(s3().put_part(&key, &id, 0, "other".into())).unwrap();
            }
            Storage::Local => fs::remove_file(self.hidden_path(key)).unwrap(),
        }
    }

    /// An upload of the first generation of this job that no slot references.
    pub fn leave_an_orphan(&self) {
        let job = self.newest_slot()["job"].as_str().unwrap().to_owned();
        self.leave_open(&job, 1);
    }

    /// An upload of some job's generation that no slot references.
    pub fn leave_open(&self, job: &str, generation: u32) {
        let key = format!("year=2026/part-{job}-{generation}-0-900.parquet");
        match self.storage {
            Storage::S3 => {
                let key = self.key(Root::Output, &key);
                block_on(s3().create_multipart(&key)).unwrap();
            }
            Storage::Local => {
                let path = self.hidden_path(&key);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "left").unwrap();
            }
        }
    }

    /// Local: where an output file is before it is visible.
    fn hidden_path(&self, key: &str) -> PathBuf {
        let path = self.path(Root::Output).join(key);
        let name = path.file_name().unwrap().to_str().unwrap();
        path.with_file_name(format!(".{name}.inprogress"))
    }

    /// The numbers of all slots, ascending.
    pub fn slot_ids(&self) -> Vec<u64> {
        let keys = self.keys(Root::Checkpoints);
        let mut ids: Vec<u64> = keys
            .iter()
            .filter_map(|key| key.strip_prefix("chk-")?.strip_suffix("/_metadata"))
            .map(|id| id.parse().unwrap())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Content of a slot.
    pub fn slot(&self, id: u64) -> Value {
        let body = self.get(Root::Checkpoints, &format!("chk-{id}/_metadata"));
        let slot: Value = serde_json::from_slice(&body).unwrap();
        slot["slot"].clone()
    }

    pub fn newest_slot(&self) -> Value {
        self.slot(*self.slot_ids().last().expect("a slot"))
    }

    #[track_caller]
    pub fn wait_for_first_slot(&self) {
        let has_one = || (!self.slot_ids().is_empty()).then_some(());
        wait_for("slot", LONG, has_one);
    }

    /// Waits until the newest slot holds all that is in the topic.
    #[track_caller]
    pub fn wait_for_all_of(&self, topic: &Topic) {
        self.wait_until_archived(topic.watermarks().iter().map(|w| w.1).sum());
    }

    /// Waits until there is a slot whose next offsets are so many in all.
    #[track_caller]
    pub fn wait_until_archived(&self, sum: i64) {
        wait_for("everything archived", LONG, || {
            let archived =
                !self.slot_ids().is_empty() && self.next_offsets().iter().sum::<i64>() == sum;
            archived.then_some(())
        });
    }

    /// Next offsets of the newest slot, by partition.
    pub fn next_offsets(&self) -> Vec<i64> {
        let slot = self.newest_slot();
        let mut offsets: Vec<_> = slot["next_offsets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| {
                (
                    o["partition"].as_i64().unwrap(),
                    o["next_offset"].as_i64().unwrap(),
                )
            })
            .collect();
        offsets.sort_unstable();
        offsets.into_iter().map(|(_, next)| next).collect()
    }

    /// The lines of one CSV of the commit log, without its header.
    pub fn csv(&self, key: &str) -> Vec<String> {
        let text = String::from_utf8(self.get(Root::CommitLog, key)).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }
}

fn collect(folder: &FilePath, prefix: &str, keys: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), keys);
        } else {
            keys.push(name);
        }
    }
}
