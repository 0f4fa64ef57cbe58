//! TLS to the brokers, by the same settings as librdkafka's.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::ConnectionError;
use crate::source::kafka::security::Security;

pub struct Tls(TlsConnector);

impl Tls {
    /// `None` without encryption.
    ///
    /// # Errors
    /// If certificates or the key cannot be read, or are none that can be used here.
    pub fn new(security: &Security) -> Result<Option<Self>, String> {
        if !security.protocol.is_encrypted() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        let trusted = match &security.ca_file {
            Some(path) => certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        roots.add_parsable_certificates(trusted);
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match &security.certificate {
            None => config.with_no_client_auth(),
            Some(own) if own.key_password.is_some() => {
                return Err("the client's key has a password".to_owned());
            }
            Some(own) => {
                let key = PrivateKeyDer::from_pem_file(&own.key_file);
                let key = key.map_err(|e| format!("{}: {e}", own.key_file.display()))?;
                let config =
                    config.with_client_auth_cert(certificates(&own.certificate_file)?, key);
                config.map_err(|e| e.to_string())?
            }
        };
        Ok(Some(Self(TlsConnector::from(Arc::new(config)))))
    }

    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ConnectionError> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|e| ConnectionError::Tls(e.to_string()))?;
        let connected = self.0.connect(name, stream).await;
        // Rustls says as an error of input and output what it does not like of the other side.
        connected.map_err(
            |error| match error.get_ref().is_some_and(|e| e.is::<rustls::Error>()) {
                true => ConnectionError::Tls(error.to_string()),
                false => ConnectionError::Io(error),
            },
        )
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|e| format!("{}: {e}", path.display()))
}
