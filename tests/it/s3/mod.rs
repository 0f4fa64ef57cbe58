//! S3 as it is set up in earnest: TLS, encryption, rights, credentials, other servers.

mod credentials;
mod encryption;
mod fit;
mod other_server;
mod rights;
mod tls;
