//! Who one is to the brokers: what belongs together is there together, and files can be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SettingsError;
use crate::config::args::KafkaSecurityArgs;
use crate::config::secret::{Secret, has_login, unless_secret};
use crate::source::kafka::oauth::{Origin, TokenSource};
use crate::source::kafka::security::{ClientCertificate, Mechanism, Protocol, Sasl, Security};
use crate::source::kafka::token_endpoint::ClientCredentials;

#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    #[error("{setting} is set, and KAFKA_SECURITY_PROTOCOL={protocol} does not use it: {cure}")]
    Unused {
        setting: &'static str,
        protocol: &'static str,
        cure: &'static str,
    },
    #[error("{setting} is set, and KAFKA_SASL_MECHANISM={mechanism} does not use it")]
    NotOfMechanism {
        setting: &'static str,
        mechanism: &'static str,
    },
    #[error("{missing} is not set, and {because} needs it")]
    Missing {
        missing: &'static str,
        because: &'static str,
    },
    #[error("both {0} and {1} are set: set one")]
    Both(&'static str, &'static str),
    #[error("{setting}: {path} cannot be read: {source}")]
    File {
        setting: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{setting}: {path} is no PEM file: there is no '-----BEGIN' in it")]
    NoPem {
        setting: &'static str,
        path: PathBuf,
    },
    #[error(
        "KAFKA_OAUTH_TOKEN_URL: '{0}' is not a URL such as https://login.example.com/oauth2/token"
    )]
    TokenUrl(String),
    #[error(
        "KAFKA_OAUTH_TOKEN_URL has a user or a password in it: give KAFKA_OAUTH_CLIENT_ID and \
         KAFKA_OAUTH_CLIENT_SECRET instead"
    )]
    UserInUrl,
}

const SASL_CURE: &str = "set it to SASL_SSL or SASL_PLAINTEXT, or leave the setting out";
const SSL_CURE: &str = "set it to SSL or SASL_SSL, or leave the setting out";

pub fn security(args: KafkaSecurityArgs) -> Result<Security, SettingsError> {
    let protocol = args.kafka_security_protocol;
    let unused = |names: &[(&'static str, bool)], cure| match names.iter().find(|(_, set)| *set) {
        Some(&(setting, _)) => Err(SecurityError::Unused {
            setting,
            protocol: protocol.name(),
            cure,
        }),
        None => Ok(()),
    };
    if !protocol.has_sasl() {
        let mechanism = args.kafka_sasl_mechanism.is_some();
        unused(&[("KAFKA_SASL_MECHANISM", mechanism)], SASL_CURE)?;
        unused(&password_settings(&args), SASL_CURE)?;
        unused(&oauth_settings(&args), SASL_CURE)?;
    }
    if !protocol.is_encrypted() {
        unused(&ssl_settings(&args), SSL_CURE)?;
    }
    let ca_file = args.kafka_ssl_ca_file.clone();
    if let Some(path) = &ca_file {
        pem("KAFKA_SSL_CA_FILE", path)?;
    }
    Ok(Security {
        protocol,
        certificate: certificate(&args)?,
        sasl: protocol
            .has_sasl()
            .then(|| sasl(args, protocol))
            .transpose()?,
        ca_file,
    })
}

fn sasl(args: KafkaSecurityArgs, protocol: Protocol) -> Result<Sasl, SettingsError> {
    let missing = |missing, because| SecurityError::Missing { missing, because };
    let because = match protocol {
        Protocol::SaslPlaintext => "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT",
        _ => "KAFKA_SECURITY_PROTOCOL=SASL_SSL",
    };
    let Some(mechanism) = args.kafka_sasl_mechanism else {
        return Err(missing("KAFKA_SASL_MECHANISM", because).into());
    };
    let not_used: &[_] = match mechanism {
        Mechanism::OAuthBearer => &password_settings(&args),
        _ => &oauth_settings(&args),
    };
    if let Some(&(setting, _)) = not_used.iter().find(|(_, set)| *set) {
        let mechanism = mechanism.name();
        return Err(SecurityError::NotOfMechanism { setting, mechanism }.into());
    }
    if mechanism == Mechanism::OAuthBearer {
        return Ok(Sasl::OAuth(Arc::new(TokenSource::new(origin(args)?))));
    }
    let password = Secret::resolve(
        "KAFKA_SASL_PASSWORD",
        args.kafka_sasl_password,
        args.kafka_sasl_password_file,
    )?;
    match (args.kafka_sasl_username, password) {
        (Some(username), Some(password)) if !username.is_empty() => Ok(Sasl::Password {
            mechanism,
            username,
            password,
        }),
        (Some(username), None) if !username.is_empty() => {
            Err(missing("KAFKA_SASL_PASSWORD", "KAFKA_SASL_USERNAME").into())
        }
        (_, Some(_)) => Err(missing("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD").into()),
        (_, None) => Err(missing("KAFKA_SASL_USERNAME", "KAFKA_SASL_MECHANISM").into()),
    }
}

fn origin(args: KafkaSecurityArgs) -> Result<Origin, SettingsError> {
    let missing = |missing, because| SecurityError::Missing { missing, because };
    let url = match (args.kafka_oauth_token_file, args.kafka_oauth_token_url) {
        (Some(_), Some(_)) => {
            return Err(
                SecurityError::Both("KAFKA_OAUTH_TOKEN_FILE", "KAFKA_OAUTH_TOKEN_URL").into(),
            );
        }
        (Some(path), None) => {
            read("KAFKA_OAUTH_TOKEN_FILE", &path)?;
            return Ok(Origin::File(path));
        }
        (None, Some(url)) => url,
        (None, None) => {
            let which = "KAFKA_OAUTH_TOKEN_FILE or KAFKA_OAUTH_TOKEN_URL";
            return Err(missing(which, "KAFKA_SASL_MECHANISM=OAUTHBEARER").into());
        }
    };
    let url = match url::Url::parse(&url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        _ => return Err(SecurityError::TokenUrl(unless_secret(&url).to_owned()).into()),
    };
    if has_login(&url) {
        return Err(SecurityError::UserInUrl.into());
    }
    let client_secret = Secret::resolve(
        "KAFKA_OAUTH_CLIENT_SECRET",
        args.kafka_oauth_client_secret,
        args.kafka_oauth_client_secret_file,
    )?;
    let because = "KAFKA_OAUTH_TOKEN_URL";
    Ok(Origin::Endpoint(ClientCredentials {
        url,
        client_id: args
            .kafka_oauth_client_id
            .filter(|id| !id.is_empty())
            .ok_or(missing("KAFKA_OAUTH_CLIENT_ID", because))?,
        client_secret: client_secret.ok_or(missing("KAFKA_OAUTH_CLIENT_SECRET", because))?,
        scope: args.kafka_oauth_scope.filter(|scope| !scope.is_empty()),
        ca_file: args.kafka_ssl_ca_file,
    }))
}

fn certificate(args: &KafkaSecurityArgs) -> Result<Option<ClientCertificate>, SettingsError> {
    let key_password = Secret::resolve(
        "KAFKA_SSL_KEY_PASSWORD",
        args.kafka_ssl_key_password.clone(),
        args.kafka_ssl_key_password_file.clone(),
    )?;
    let missing = |missing, because| SecurityError::Missing { missing, because };
    let (certificate, key) = ("KAFKA_SSL_CERTIFICATE_FILE", "KAFKA_SSL_KEY_FILE");
    match (&args.kafka_ssl_certificate_file, &args.kafka_ssl_key_file) {
        (None, None) if key_password.is_some() => {
            Err(missing(key, "KAFKA_SSL_KEY_PASSWORD").into())
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing(key, certificate).into()),
        (None, Some(_)) => Err(missing(certificate, key).into()),
        (Some(certificate_file), Some(key_file)) => {
            pem(certificate, certificate_file)?;
            pem(key, key_file)?;
            Ok(Some(ClientCertificate {
                certificate_file: certificate_file.clone(),
                key_file: key_file.clone(),
                key_password,
            }))
        }
    }
}

fn read(setting: &'static str, path: &Path) -> Result<String, SecurityError> {
    std::fs::read_to_string(path).map_err(|source| SecurityError::File {
        setting,
        path: path.to_owned(),
        source,
    })
}

fn pem(setting: &'static str, path: &Path) -> Result<(), SecurityError> {
    match read(setting, path)?.contains("-----BEGIN ") {
        true => Ok(()),
        false => Err(SecurityError::NoPem {
            setting,
            path: path.to_owned(),
        }),
    }
}

fn password_settings(args: &KafkaSecurityArgs) -> [(&'static str, bool); 3] {
    [
        ("KAFKA_SASL_USERNAME", args.kafka_sasl_username.is_some()),
        ("KAFKA_SASL_PASSWORD", args.kafka_sasl_password.is_some()),
        (
            "KAFKA_SASL_PASSWORD_FILE",
            args.kafka_sasl_password_file.is_some(),
        ),
    ]
}

fn oauth_settings(args: &KafkaSecurityArgs) -> [(&'static str, bool); 6] {
    [
        (
            "KAFKA_OAUTH_TOKEN_FILE",
            args.kafka_oauth_token_file.is_some(),
        ),
        (
            "KAFKA_OAUTH_TOKEN_URL",
            args.kafka_oauth_token_url.is_some(),
        ),
        (
            "KAFKA_OAUTH_CLIENT_ID",
            args.kafka_oauth_client_id.is_some(),
        ),
        (
            "KAFKA_OAUTH_CLIENT_SECRET",
            args.kafka_oauth_client_secret.is_some(),
        ),
        (
            "KAFKA_OAUTH_CLIENT_SECRET_FILE",
            args.kafka_oauth_client_secret_file.is_some(),
        ),
        ("KAFKA_OAUTH_SCOPE", args.kafka_oauth_scope.is_some()),
    ]
}

/// What only a port of the broker with TLS needs.
fn ssl_settings(args: &KafkaSecurityArgs) -> [(&'static str, bool); 5] {
    // It vouches for the endpoint of tokens, too.
    let of_endpoint = args.kafka_oauth_token_url.is_some();
    [
        (
            "KAFKA_SSL_CA_FILE",
            args.kafka_ssl_ca_file.is_some() && !of_endpoint,
        ),
        (
            "KAFKA_SSL_CERTIFICATE_FILE",
            args.kafka_ssl_certificate_file.is_some(),
        ),
        ("KAFKA_SSL_KEY_FILE", args.kafka_ssl_key_file.is_some()),
        (
            "KAFKA_SSL_KEY_PASSWORD",
            args.kafka_ssl_key_password.is_some(),
        ),
        (
            "KAFKA_SSL_KEY_PASSWORD_FILE",
            args.kafka_ssl_key_password_file.is_some(),
        ),
    ]
}

#[cfg(test)]
mod tests;
