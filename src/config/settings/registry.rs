//! How to reach the schema registry, if the records need one.

use url::Url;

use super::SettingsError;
use crate::config::args::RegistryArgs;
use crate::config::secret::{Secret, has_login};
use crate::registry::client::RegistryClient;
use crate::registry::{Login, RegistrySettings};

pub fn registry(args: RegistryArgs) -> Result<RegistrySettings, SettingsError> {
    let urls = args.schema_registry_url.iter().map(|text| url(text));
    let urls: Vec<_> = urls.collect::<Result<_, _>>()?;
    if urls.is_empty() {
        return Err(SettingsError::NoRegistry);
    }
    let ca = args.schema_registry_ca_file.map(|path| {
        std::fs::read(&path).map_err(|source| SettingsError::RegistryCa { path, source })
    });
    let registry = RegistrySettings {
        urls,
        login: login(
            args.schema_registry_username,
            Secret::resolve(
                "SCHEMA_REGISTRY_PASSWORD",
                args.schema_registry_password,
                args.schema_registry_password_file,
            )?,
            Secret::resolve(
                "SCHEMA_REGISTRY_TOKEN",
                args.schema_registry_token,
                args.schema_registry_token_file,
            )?,
        )?,
        ca: ca.transpose()?,
        retry: args.schema_registry_retry,
    };
    // What is wrong with the certificates shows here.
    RegistryClient::new(&registry)?;
    Ok(registry)
}

/// No login in it: it is shown, and in error messages. So none of these shows it either.
fn url(text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).ok();
    let is_plain =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host() && !has_login(url);
    url.filter(is_plain).ok_or(SettingsError::RegistryUrl)
}

fn login(
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
) -> Result<Option<Login>, SettingsError> {
    match (user, password, token) {
        (None, None, None) => Ok(None),
        (Some(user), Some(password), None) => Ok(Some(Login::Basic { user, password })),
        (None, None, Some(token)) => Ok(Some(Login::Bearer(token))),
        _ => Err(SettingsError::RegistryLogin),
    }
}
