//! A MinIO that speaks TLS, with a certificate that is made for it.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::s3::{mc_tries, mc_with, s3_bucket};
use super::{Folder, LONG, server, wait_for};

/// An authority that no machine trusts by itself.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = format!("authority {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }
}

pub struct TlsMinio {
    child: Child,
    folder: Folder,
    pub url: String,
}

impl TlsMinio {
    /// For the address that it listens on.
    pub fn start(authority: &Authority) -> Self {
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        Self::with(authority, params)
    }

    pub fn expired(authority: &Authority) -> Self {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2020, 1, 1);
        Self::with(authority, params)
    }

    pub fn of_another_name(authority: &Authority) -> Self {
        let params = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
        Self::with(authority, params)
    }

    fn with(authority: &Authority, params: CertificateParams) -> Self {
        let folder = Folder::new();
        let certs = folder.path().join("certs");
        fs::create_dir(&certs).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        fs::write(certs.join("public.crt"), certificate.pem()).unwrap();
        fs::write(certs.join("private.key"), key.serialize_pem()).unwrap();
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
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
