//! The S3 server of the tests: one bucket for all, its client, and its users.

use std::fs;
use std::path::Path as FilePath;
use std::process::Command;
use std::sync::OnceLock;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use uuid::Uuid;

use super::server;

/// The S3 bucket of this run of the tests.
pub fn s3_bucket() -> &'static str {
    static S3_BUCKET: OnceLock<String> = OnceLock::new();
    S3_BUCKET.get_or_init(|| {
        let name = format!("lineage-it-{}", Uuid::new_v4());
        mc(&["mb", &format!("it/{name}")]);
        name
    })
}

/// Runs MinIO's client, which knows the server as `it`.
pub fn mc(args: &[&str]) -> String {
    let endpoint = server("LINEAGE_TEST_S3");
    let (scheme, host) = endpoint.split_once("://").unwrap();
    let user = server("LINEAGE_TEST_S3_ACCESS_KEY");
    let secret = server("LINEAGE_TEST_S3_SECRET_KEY");
    let config = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join("mc");
    let output = Command::new(server("LINEAGE_TEST_MC"))
        .env("MC_HOST_it", format!("{scheme}://{user}:{secret}@{host}"))
        .arg("--config-dir")
        .arg(config)
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "mc {args:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Credentials of S3 beside those of the administrator.
pub struct User {
    name: String,
    secret: String,
}

impl User {
    pub fn with_policy(policy: &str) -> Self {
        let (name, secret) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let name = name[..18].to_owned();
        mc(&["admin", "user", "add", "it", &name, &secret]);
        mc(&["admin", "policy", "attach", "it", policy, "--user", &name]);
        Self { name, secret }
    }

    /// Settings that use them.
    pub fn settings(&self) -> [(&str, &str); 2] {
        [
            ("AWS_ACCESS_KEY_ID", &self.name),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
        ]
    }

    /// From now on they are worth nothing.
    pub fn disable(&self) {
        mc(&["admin", "user", "disable", "it", &self.name]);
    }

    pub fn enable(&self) {
        mc(&["admin", "user", "enable", "it", &self.name]);
    }
}

/// Credentials that may read everything and write nothing.
pub fn read_only_user() -> User {
    let user = User::with_policy("readonly");
    // Of MinIO's own policy, listing is left out.
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Action":["s3:ListBucket","s3:GetObject"],"Resource":["arn:aws:s3:::*"]}]}"#;
    let name = &user.name;
    let file = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
    fs::write(&file, policy).unwrap();
    let file = file.to_str().unwrap();
    mc(&["admin", "policy", "create", "it", name, file]);
    mc(&["admin", "policy", "attach", "it", name, "--user", name]);
    user
}

/// A client of the tests, straight to the server.
pub fn s3() -> &'static AmazonS3 {
    static CLIENT: OnceLock<AmazonS3> = OnceLock::new();
    CLIENT.get_or_init(|| {
        AmazonS3Builder::new()
            .with_endpoint(server("LINEAGE_TEST_S3"))
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_access_key_id(server("LINEAGE_TEST_S3_ACCESS_KEY"))
            .with_secret_access_key(server("LINEAGE_TEST_S3_SECRET_KEY"))
            .with_bucket_name(s3_bucket())
            // As the service announces it for its uploads.
            .with_checksum_algorithm(Checksum::CRC64NVME)
            .build()
            .unwrap()
    })
}
