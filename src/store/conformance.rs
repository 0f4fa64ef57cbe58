//! The suite that every store must pass, so that the protocol need not know which one it has.

use std::sync::Arc;

use bytes::Bytes;

use super::local::LocalStore;
use super::s3::credentials::{Credentials, Keys};
use super::s3::{Purpose, S3Access, S3Store};
use super::{Committable, Key, Objects, PART_SIZE, PartFiles, Put, StoreError};

/// A store under its two traits, and a way to look at what a reader sees.
struct Subject {
    objects: Arc<dyn Objects>,
    files: Arc<dyn PartFiles>,
}

impl Subject {
    async fn pending(&self, key: &str, body: &[u8]) -> Committable {
        let upload = self.files.begin(&Key::new(key)).await.unwrap();
        let mut parts = Vec::new();
        for (index, piece) in body.chunks(PART_SIZE).enumerate() {
            let (offset, piece) = ((index * PART_SIZE) as u64, Bytes::copy_from_slice(piece));
            let part = self.files.put_part(&upload, index, offset, piece).await;
            parts.push(part.unwrap());
        }
        self.files
            .seal(&upload, parts, body.len() as u64)
            .await
            .unwrap()
    }

    async fn read(&self, key: &str) -> Result<Bytes, StoreError> {
        self.objects.get(&Key::new(key)).await
    }
}

fn local() -> (Subject, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStore::open(folder.path()).unwrap());
    let subject = Subject {
        objects: store.clone(),
        files: store,
    };
    (subject, folder)
}

/// The server whose address is in this variable; all have the same keys.
async fn s3(address: &str) -> Subject {
    s3_store(address).await.0
}

async fn s3_store(address: &str) -> (Subject, Arc<S3Store>) {
    let var = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test.sh"))
    };
    let (id, secret) = (
        var("LINEAGE_TEST_S3_ACCESS_KEY"),
        var("LINEAGE_TEST_S3_SECRET_KEY"),
    );
    let access = S3Access {
        endpoint: Some(var(address)),
        region: "us-east-1".into(),
        credentials: Credentials {
            keys: Some(Keys {
                id: id.parse().unwrap(),
                secret: secret.parse().unwrap(),
                token: None,
            }),
            ..Credentials::default()
        },
        ..S3Access::default()
    };
    let s3_bucket = "conformance";
    let (scheme, host) = access
        .endpoint
        .as_deref()
        .unwrap()
        .split_once("://")
        .unwrap();
    let made = std::process::Command::new(var("LINEAGE_TEST_MC"))
        .args(["mb", "--ignore-existing", &format!("test/{s3_bucket}")])
        .env("MC_HOST_test", format!("{scheme}://{id}:{secret}@{host}"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let prefix = format!("a b+c/{}", uuid::Uuid::new_v4().simple());
    let store = Arc::new(S3Store::open(&access, s3_bucket, &prefix, &Arc::default()).unwrap());
    store.check(Purpose::Files).await.unwrap();
    store.check(Purpose::Logs).await.unwrap();
    let subject = Subject {
        objects: store.clone(),
        files: store.clone(),
    };
    (subject, store)
}

async fn the_first_put_wins(store: &Subject) {
    let key = Key::new("chk-1/_metadata");
    let put = |body: &'static str| store.objects.put_if_absent(&key, Bytes::from(body));
    assert_eq!(put("first").await.unwrap(), Put::Created);
    assert_eq!(put("second").await.unwrap(), Put::Exists);
    assert_eq!(store.read("chk-1/_metadata").await.unwrap(), "first");
}

async fn a_put_replaces_what_is_there(store: &Subject) {
    let key = Key::new("history/generation-1.json");
    for body in ["first", "the second, which is longer", "third"] {
        store.objects.put(&key, Bytes::from(body)).await.unwrap();
        assert_eq!(store.read(&key.0).await.unwrap(), body);
    }
    let names = store.objects.list("history", "").await.unwrap();
    assert_eq!(names, ["generation-1.json"]);
}

async fn of_many_puts_at_once_one_wins(store: &Subject) {
    let key = Key::new("race");
    let puts = (0..8).map(|n| {
        store
            .objects
            .put_if_absent(&key, Bytes::from(n.to_string()))
    });
    let results = futures::future::join_all(puts).await;
    let created = results
        .into_iter()
        .filter(|r| matches!(r, Ok(Put::Created)));
    assert_eq!(created.count(), 1);
}

async fn children_are_listed_by_their_beginning(store: &Subject) {
    for key in [
        "l/chk-1/a",
        "l/chk-1/b",
        "l/chk-12/a",
        "l/chk-2/a",
        "l/file",
    ] {
        store
            .objects
            .put_if_absent(&Key::new(key), Bytes::from("x"))
            .await
            .unwrap();
    }
    let list = async |folder: &str, beginning: &str| {
        let mut names = store.objects.list(folder, beginning).await.unwrap();
        names.sort();
        names
    };
    assert_eq!(list("l", "").await, ["chk-1", "chk-12", "chk-2", "file"]);
    assert_eq!(list("l", "chk-1").await, ["chk-1", "chk-12"]);
    assert_eq!(list("l/chk-1", "").await, ["a", "b"]);
    assert!(list("l/none", "").await.is_empty());
    store.objects.delete(&Key::new("l/chk-2/a")).await.unwrap();
    store.objects.delete(&Key::new("l/chk-2/a")).await.unwrap();
    assert_eq!(
        list("l", "chk-").await,
        ["chk-1", "chk-12"],
        "no empty folders"
    );
}

async fn what_is_not_there_is_not_found(store: &Subject) {
    let found = store.read("nothing/here").await;
    assert!(
        matches!(found, Err(StoreError::NotFound { .. })),
        "{found:?}"
    );
}

async fn a_pending_file_is_invisible_until_it_is_finalized(store: &Subject) {
    // More than one piece, and a tail that is smaller than a piece.
    let body: Vec<u8> = (0..PART_SIZE + 1_000).map(|n| n as u8).collect();
    let key = "year=2026/hour=07/part-a.parquet";
    let pending = store.pending(key, &body).await;
    assert!(matches!(
        store.read(key).await,
        Err(StoreError::NotFound { .. })
    ));
    let open = store.files.open_uploads().await.unwrap();
    let open: Vec<_> = open.into_iter().filter(|u| u.key.0 == key).collect();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].id, pending.upload.id);

    store.files.finalize(&pending).await.unwrap();
    assert_eq!(store.read(key).await.unwrap(), body);
    store
        .files
        .finalize(&pending)
        .await
        .expect("finalizing is idempotent");
    assert_eq!(store.read(key).await.unwrap(), body);
    let open = store.files.open_uploads().await.unwrap();
    assert!(open.iter().all(|u| u.key.0 != key), "{open:?}");
}

async fn a_pending_file_is_finalized_by_another_process_from_its_committable(store: &Subject) {
    // The last part is a small one.
    let body: Vec<u8> = (0..PART_SIZE + 1_000).map(|n| (n % 251) as u8).collect();
    let pending = store.pending("moved.parquet", &body).await;
    let text = serde_json::to_string(&pending).unwrap();
    let read_back = serde_json::from_str(&text).unwrap();
    store.files.finalize(&read_back).await.unwrap();
    assert_eq!(store.read("moved.parquet").await.unwrap(), body);
}

async fn a_foreign_file_at_the_key_is_never_taken_for_ours(store: &Subject) {
    let pending = store.pending("foreign.parquet", b"ours").await;
    let key = Key::new("foreign.parquet");
    store
        .objects
        .put_if_absent(&key, Bytes::from("them"))
        .await
        .unwrap();
    // A completion would put ours in its place; and when the upload is gone, the file is not the
    // proof that it was completed.
    for gone in [false, true] {
        if gone {
            store.files.abort(&pending.upload).await.unwrap();
        }
        let result = store.files.finalize(&pending).await;
        assert!(
            matches!(result, Err(StoreError::Foreign { .. })),
            "{result:?}"
        );
        assert_eq!(store.read("foreign.parquet").await.unwrap(), "them");
    }
}

async fn an_aborted_upload_is_gone_and_says_so(store: &Subject) {
    let pending = store.pending("aborted.parquet", b"body").await;
    store.files.abort(&pending.upload).await.unwrap();
    store
        .files
        .abort(&pending.upload)
        .await
        .expect("aborting is idempotent");
    let result = store.files.finalize(&pending).await;
    assert!(
        matches!(result, Err(StoreError::UploadGone { .. })),
        "{result:?}"
    );
    let part = store
        .files
        .put_part(&pending.upload, 0, 0, Bytes::from("late"))
        .await;
    assert!(
        matches!(part, Err(StoreError::UploadGone { .. })),
        "{part:?}"
    );
}

async fn aborting_a_finalized_upload_leaves_the_file(store: &Subject) {
    let pending = store.pending("kept.parquet", b"body").await;
    store.files.finalize(&pending).await.unwrap();
    store.files.abort(&pending.upload).await.unwrap();
    assert_eq!(store.read("kept.parquet").await.unwrap(), "body");
}

async fn a_piece_that_is_put_again_changes_nothing(store: &Subject) {
    let upload = store.files.begin(&Key::new("again.parquet")).await.unwrap();
    let mut parts = Vec::new();
    for _ in 0..2 {
        let part = store
            .files
            .put_part(&upload, 0, 0, Bytes::from("body"))
            .await;
        parts = vec![part.unwrap()];
    }
    let pending = store.files.seal(&upload, parts, 4).await.unwrap();
    store.files.finalize(&pending).await.unwrap();
    assert_eq!(store.read("again.parquet").await.unwrap(), "body");
}

/// A trial leaves nothing, and what one has left that died amid it is cleared away by a later one.
async fn what_a_start_tries_is_cleared_away(address: &str) {
    let (subject, store) = s3_store(address).await;
    let left = format!("{}left", super::s3::trial::TRIAL);
    subject
        .objects
        .put(&Key::new(&left), "lineage".into())
        .await
        .unwrap();
    let purposes = [Purpose::Files, Purpose::Logs];
    for purpose in purposes {
        store.check(purpose).await.unwrap();
        let names = subject.objects.list("", "").await.unwrap();
        assert_eq!(
            names,
            [left.as_str()],
            "it may be of one that is at it just now"
        );
    }
    assert_eq!(subject.files.open_uploads().await.unwrap(), []);
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(2);
    store.check_at(Purpose::Logs, later).await.unwrap();
    assert!(subject.objects.list("", "").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_start_tries_is_cleared_away_on_minio() {
    what_a_start_tries_is_cleared_away("LINEAGE_TEST_S3").await;
}

#[tokio::test]
async fn what_a_start_tries_is_cleared_away_on_versitygw() {
    what_a_start_tries_is_cleared_away("LINEAGE_TEST_VERSITYGW").await;
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod on_local_files {
            $(#[tokio::test]
            async fn $test() {
                let (subject, _folder) = super::local();
                super::$test(&subject).await;
            })*
        }

        mod on_minio {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::s3("LINEAGE_TEST_S3").await).await;
            })*
        }

        mod on_versitygw {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::s3("LINEAGE_TEST_VERSITYGW").await).await;
            })*
        }
    };
}

suite!(
    the_first_put_wins,
    a_put_replaces_what_is_there,
    of_many_puts_at_once_one_wins,
    children_are_listed_by_their_beginning,
    what_is_not_there_is_not_found,
    a_pending_file_is_invisible_until_it_is_finalized,
    a_pending_file_is_finalized_by_another_process_from_its_committable,
    a_foreign_file_at_the_key_is_never_taken_for_ours,
    an_aborted_upload_is_gone_and_says_so,
    aborting_a_finalized_upload_leaves_the_file,
    a_piece_that_is_put_again_changes_nothing,
);

#[test]
fn a_folder_that_cannot_be_written_to_is_refused_at_once() {
    let (_, folder) = local();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = LocalStore::open(&file.join("below"));
    assert!(
        matches!(refused, Err(StoreError::Denied { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_a_crash_has_left_of_an_object_is_cleared_away_at_the_next_start() {
    let (_, folder) = local();
    let left = folder.path().join(".put-0123");
    std::fs::write(&left, "half of a sl").unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    assert!(!left.exists());
    let key = Key::new("chk-1/_metadata");
    store
        .put_if_absent(&key, Bytes::from("slot"))
        .await
        .unwrap();
    let hidden = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(hidden.count(), 1, "nothing beside the object's folder");
}
