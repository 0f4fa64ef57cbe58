//! Certificates for the servers of the tests and their clients, made anew each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, in PEM.
pub struct Certificate {
    certificate: String,
    key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// For these names.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> Certificate {
        self.sign(params(name, hosts))
    }

    /// One that was good once.
    pub fn issue_expired(&self, name: &str, hosts: &[&str]) -> Certificate {
        let mut params = params(name, hosts);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    pub fn write(&self, path: &Path) {
        fs::write(path, &self.pem).unwrap();
    }
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params
}

impl Certificate {
    /// `NAME.crt` and `NAME.key` in a folder.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = ["crt", "key"].map(|end| folder.join(format!("{name}.{end}")));
        let [certificate, key] = paths;
        fs::write(&certificate, &self.certificate).unwrap();
        fs::write(&key, &self.key).unwrap();
        (certificate, key)
    }

    /// Both in one text.
    pub fn together(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }

    /// Both in one file, as Kafka takes them.
    pub fn write_together(&self, path: &Path) {
        fs::write(path, self.together()).unwrap();
    }
}

/// A server with the certificate and the key that are in this text.
pub fn acceptor(pem: &str) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Writes a private key anew, with a password.
pub fn encrypt_key(key: &Path, encrypted: &Path, password: &str) {
    let status = Command::new("openssl")
        .args([
            "pkcs8",
            "-topk8",
            "-v2",
            "aes256",
            "-passout",
            "env:PASSWORD",
        ])
        .arg("-in")
        .arg(key)
        .arg("-out")
        .arg(encrypted)
        .env("PASSWORD", password)
        .status();
    assert!(status.unwrap().success());
}
