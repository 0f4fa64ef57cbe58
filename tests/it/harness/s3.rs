//! The S3 server of the tests: one bucket for all, its client, and its users.

use std::fs;
use std::path::Path as FilePath;
use std::process::{Command, Output};
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
    mc_with(&server("LINEAGE_TEST_S3"), args)
}

/// Runs it with a second server, which it knows as `other`. All have the same administrator.
pub fn mc_with(other: &str, args: &[&str]) -> String {
    let output = mc_tries(other, args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "mc {args:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

pub fn mc_tries(other: &str, args: &[&str]) -> Output {
    let user = server("LINEAGE_TEST_S3_ACCESS_KEY");
    let secret = server("LINEAGE_TEST_S3_SECRET_KEY");
    let host = |url: &str| {
        let (scheme, host) = url.split_once("://").unwrap();
        format!("{scheme}://{user}:{secret}@{host}")
    };
    let config = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join("mc");
    Command::new(server("LINEAGE_TEST_MC"))
        .env("MC_HOST_it", host(&server("LINEAGE_TEST_S3")))
        .env("MC_HOST_other", host(other))
        .arg("--config-dir")
        .arg(config)
        .arg("--insecure")
        .args(args)
        .output()
        .unwrap()
}

/// Credentials of S3 beside those of the administrator.
pub struct User {
    pub name: String,
    pub secret: String,
}

impl User {
    pub fn with_policy(policy: &str) -> Self {
        let (name, secret) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let name = name[..18].to_owned();
        mc(&["admin", "user", "add", "it", &name, &secret]);
        mc(&["admin", "policy", "attach", "it", policy, "--user", &name]);
        Self { name, secret }
    }

    /// With a policy of its own, in JSON.
    pub fn with_rights(policy: &str) -> Self {
        let name = Uuid::new_v4().to_string();
        let file = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
        fs::write(&file, policy).unwrap();
        let path = file.to_str().unwrap();
        mc(&["admin", "policy", "create", "it", &name, path]);
        fs::remove_file(&file).unwrap();
        Self::with_policy(&name)
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
    // Of MinIO's own policy, listing is left out.
    User::with_rights(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Action":["s3:ListBucket","s3:GetObject"],"Resource":["arn:aws:s3:::*"]}]}"#,
    )
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
