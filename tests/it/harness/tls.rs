//! A MinIO that speaks TLS, with a certificate that is made for it.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::certificates::{Authority, Certificate};
use super::s3::{mc_tries, mc_with, s3_bucket};
use super::{Folder, LONG, server, wait_for};

/// What the certificates are for.
const HOST: &str = "127.0.0.1";

pub struct TlsMinio {
    child: Child,
    folder: Folder,
    pub url: String,
}

impl TlsMinio {
    /// For the address that it listens on.
    pub fn start(authority: &Authority) -> Self {
        Self::with(authority, &authority.issue("minio", &[HOST]))
    }

    pub fn expired(authority: &Authority) -> Self {
        Self::with(authority, &authority.issue_expired("minio", &[HOST]))
    }

    pub fn of_another_name(authority: &Authority) -> Self {
        let elsewhere = authority.issue("minio", &["elsewhere.example"]);
        Self::with(authority, &elsewhere)
    }

    fn with(authority: &Authority, certificate: &Certificate) -> Self {
        let folder = Folder::new();
        let certs = folder.path().join("certs");
        fs::create_dir(&certs).unwrap();
        // The names that MinIO looks for.
        let (public, private) = certificate.write(&certs, "public");
        assert_eq!(public, certs.join("public.crt"));
        fs::rename(private, certs.join("private.key")).unwrap();
        authority.write(&folder.path().join("ca.pem"));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        drop(taken);
        let child = Command::new(server("LINEAGE_TEST_MINIO"))
            .args(["server", "--quiet", "--address", &address, "--certs-dir"])
            .arg(&certs)
            .arg(folder.path().join("data"))
            .env("MINIO_ROOT_USER", server("LINEAGE_TEST_S3_ACCESS_KEY"))
            .env("MINIO_ROOT_PASSWORD", server("LINEAGE_TEST_S3_SECRET_KEY"))
            .env("MINIO_UPDATE", "off")
            .env("MINIO_BROWSER", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let minio = Self {
            child,
            folder,
            url: format!("https://{address}"),
        };
        wait_for("MinIO with TLS", LONG, || {
            let made = mc_tries(&minio.url, &["mb", &format!("other/{}", s3_bucket())]);
            made.status.success().then_some(())
        });
        minio
    }

    /// File with the certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Copies what is at a place there to the same place of the server of all tests.
    pub fn bring_here(&self, place: &str) {
        bring_here(&self.url, place);
    }
}

impl Drop for TlsMinio {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies what is at a place of another server to the same place of the server of all tests.
pub fn bring_here(other: &str, place: &str) {
    let (from, to) = (format!("other/{place}"), format!("it/{place}"));
    mc_with(other, &["mirror", "--quiet", &from, &to]);
}
