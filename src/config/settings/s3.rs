//! How to reach S3.

use std::path::PathBuf;

use object_store::Certificate;

use super::{SettingsError, not_empty};
use crate::config::args::{CredentialArgs, S3Args, Sse};
use crate::config::secret::{Secret, has_login};
use crate::store::s3::container::AgentToken;
use crate::store::s3::credentials::{Container, Credentials, Keys, WebIdentity};
use crate::store::s3::profile::Profile;
use crate::store::s3::{Encryption, S3Access};

/// What is wrong with a setting of S3. None of them shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum S3SettingsError {
    #[error("{given} is set and {missing} is not: set both, or neither")]
    Half {
        given: &'static str,
        missing: &'static str,
    },
    #[error(
        "{name} has a character that no HTTP header can hold: a space, a line's end, or beyond ASCII"
    )]
    Unsendable { name: &'static str },
    #[error("{name}: '{given}' is not a URL such as http://minio:9000")]
    Url { name: &'static str, given: String },
    #[error(
        "{name} has a user or password in it, or a '?' or '#': S3 is not asked so. Credentials go into \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    UrlWithUser { name: &'static str },
    #[error("AWS_CA_BUNDLE: {path} cannot be read: {source}")]
    CaBundle {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("AWS_CA_BUNDLE: {path} holds no certificate in PEM ({why})")]
    NoCertificate { path: PathBuf, why: String },
    #[error("{name} is for S3_SSE=aws:kms only")]
    NotKms { name: &'static str },
}

impl TryFrom<S3Args> for S3Access {
    type Error = SettingsError;

    fn try_from(args: S3Args) -> Result<Self, SettingsError> {
        if let Some(endpoint) = &args.aws_endpoint_url {
            check_url("AWS_ENDPOINT_URL", endpoint)?;
        }
        not_empty("AWS_REGION", &args.aws_region)?;
        check_sendable("AWS_REGION", &args.aws_region)?;
        if let Some(key) = &args.s3_sse_kms_key_id {
            not_empty("S3_SSE_KMS_KEY_ID", key)?;
            check_sendable("S3_SSE_KMS_KEY_ID", key)?;
        }
        Ok(Self {
            encryption: encryption(&args)?,
            trusted: args.aws_ca_bundle.map(certificates).transpose()?,
            endpoint: args.aws_endpoint_url,
            region: args.aws_region,
            checksums: args.s3_checksum,
            credentials: credentials(args.credentials)?,
        })
    }
}

fn encryption(args: &S3Args) -> Result<Encryption, S3SettingsError> {
    match args.s3_sse {
        Sse::Kms => {
            return Ok(Encryption::Kms {
                key_id: args.s3_sse_kms_key_id.clone(),
                bucket_key: args.s3_sse_bucket_key,
            });
        }
        _ if args.s3_sse_kms_key_id.is_some() => Err("S3_SSE_KMS_KEY_ID"),
        _ if args.s3_sse_bucket_key.is_some() => Err("S3_SSE_BUCKET_KEY"),
        Sse::Aes256 => Ok(Encryption::S3),
        Sse::None => Ok(Encryption::AsTheBucketSays),
    }
    .map_err(|name| S3SettingsError::NotKms { name })
}

fn certificates(path: PathBuf) -> Result<Vec<Certificate>, S3SettingsError> {
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(S3SettingsError::CaBundle { path, source }),
    };
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("nothing in it looks like one".to_owned()),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|why| S3SettingsError::NoCertificate { path, why })
}

fn credentials(args: CredentialArgs) -> Result<Credentials, SettingsError> {
    let id = secret(
        "AWS_ACCESS_KEY_ID",
        args.aws_access_key_id,
        args.aws_access_key_id_file,
    )?;
    let secret_key = secret(
        "AWS_SECRET_ACCESS_KEY",
        args.aws_secret_access_key,
        args.aws_secret_access_key_file,
    )?;
    let token = secret(
        "AWS_SESSION_TOKEN",
        args.aws_session_token,
        args.aws_session_token_file,
    )?;
    both(
        "AWS_ACCESS_KEY_ID",
        &id,
        "AWS_SECRET_ACCESS_KEY",
        &secret_key,
    )?;
    if token.is_some() {
        both("AWS_SESSION_TOKEN", &token, "AWS_ACCESS_KEY_ID", &id)?;
    }
    let keys = id
        .zip(secret_key)
        .map(|(id, secret)| Keys { id, secret, token });
    if keys.is_some() {
        // What else may be set is for other tools.
        return Ok(Credentials {
            keys,
            ..Credentials::default()
        });
    }
    let (file, role) = (args.aws_web_identity_token_file, args.aws_role_arn);
    if file.is_some() {
        both("AWS_WEB_IDENTITY_TOKEN_FILE", &file, "AWS_ROLE_ARN", &role)?;
    }
    // A role without a token is for other tools: of an instance, or to be assumed by hand.
    let web_identity = file.zip(role).map(|(token_file, role_arn)| WebIdentity {
        token_file,
        role_arn,
        session_name: args.aws_role_session_name,
        sts: args.aws_endpoint_url_sts,
    });
    if let Some(web_identity) = web_identity {
        if let Some(sts) = &web_identity.sts {
            check_url("AWS_ENDPOINT_URL_STS", sts)?;
        }
        return Ok(Credentials {
            web_identity: Some(web_identity),
            ..Credentials::default()
        });
    }
    let (task, pod) = (
        args.aws_container_credentials_relative_uri,
        args.aws_container_credentials_full_uri,
    );
    let container = match (task, pod) {
        (Some(uri), _) => Some(Container::Task { uri }),
        (None, Some(uri)) => Some(Container::Pod {
            uri: agent(uri)?,
            token: match (
                args.aws_container_authorization_token_file,
                args.aws_container_authorization_token,
            ) {
                // As AWS's own tools have it.
                (Some(file), _) => AgentToken::File(file),
                (None, Some(token)) => AgentToken::Given(token),
                (None, None) => AgentToken::None,
            },
        }),
        (None, None) => None,
    };
    let asked = !args.aws_ec2_metadata_disabled;
    let profile = Profile {
        name: args.aws_profile,
        credentials_file: at_home(args.aws_shared_credentials_file),
        config_file: at_home(args.aws_config_file),
    };
    Ok(Credentials {
        keys: None,
        web_identity: None,
        profile,
        container,
        instance: asked.then_some(args.aws_ec2_metadata_service_endpoint),
    })
}

/// Where an agent is asked; a query is its own business, and a user is not.
fn agent(given: String) -> Result<http::Uri, S3SettingsError> {
    let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let url = url::Url::parse(&given).ok();
    let known = |url: &url::Url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && !has_login(url)
    };
    let uri = url.filter(known).and_then(|url| url.as_str().parse().ok());
    uri.ok_or_else(|| S3SettingsError::Url {
        name,
        given: match given.contains(['@', '?']) {
            true => "…".to_owned(),
            false => given,
        },
    })
}

fn secret(
    name: &'static str,
    given: Option<Secret>,
    file: Option<PathBuf>,
) -> Result<Option<Secret>, SettingsError> {
    let secret = Secret::resolve(name, given, file)?;
    if let Some(secret) = &secret {
        check_sendable(name, secret.expose())?;
    }
    Ok(secret)
}

/// The second is set where the first is, and the other way round.
fn both<A, B>(
    first: &'static str,
    a: &Option<A>,
    second: &'static str,
    b: &Option<B>,
) -> Result<(), S3SettingsError> {
    let half = |given, missing| Err(S3SettingsError::Half { given, missing });
    match (a, b) {
        (Some(_), None) => half(first, second),
        (None, Some(_)) => half(second, first),
        _ => Ok(()),
    }
}

fn check_sendable(name: &'static str, value: &str) -> Result<(), S3SettingsError> {
    if value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(S3SettingsError::Unsendable { name })
}

fn check_url(name: &'static str, given: &str) -> Result<(), S3SettingsError> {
    let url = url::Url::parse(given).ok();
    let url = url.filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    let Some(url) = url else {
        // What is no URL may hold a password all the same.
        let given = match given.contains('@') {
            true => "…".to_owned(),
            false => given.to_owned(),
        };
        return Err(S3SettingsError::Url { name, given });
    };
    if has_login(&url) || url.query().is_some() || url.fragment().is_some() {
        return Err(S3SettingsError::UrlWithUser { name });
    }
    Ok(())
}

/// With the home folder in place of `~`, where there is one.
fn at_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path,
    }
}
