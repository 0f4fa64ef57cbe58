//! The shared files of AWS's own tools, `~/.aws/credentials` and `~/.aws/config`. Tools that rotate keys
//! write them anew, so they are read again and again.

use std::path::{Path, PathBuf};

use configparser::ini::Ini;
use object_store::aws::AwsCredential;

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// `None`: the one called default, if it is there.
    pub name: Option<String>,
    pub credentials_file: PathBuf,
    pub config_file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("{path} cannot be read: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is no file of profiles: {why}")]
    Syntax { path: PathBuf, why: String },
    #[error("there is no profile {name} (AWS_PROFILE) with keys in {credentials} or {config}")]
    Missing {
        name: String,
        credentials: PathBuf,
        config: PathBuf,
    },
    #[error("profile {name} of {path} has no {missing}")]
    Half {
        name: String,
        path: PathBuf,
        missing: &'static str,
    },
    #[error("profile {name} of {path}: {key} has a character that no HTTP header can hold")]
    Unsendable {
        name: String,
        path: PathBuf,
        key: &'static str,
    },
    #[error(
        "profile {name} of {path} has {key}, which is not supported: give keys, or a web identity by \
         AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN"
    )]
    Unsupported {
        name: String,
        path: PathBuf,
        key: &'static str,
    },
}

const KEY_ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const TOKEN: &str = "aws_session_token";

/// A role takes the place of the profile's own keys.
const ROLE: &str = "role_arn";
/// Other ways of a profile to name credentials.
const UNSUPPORTED: [&str; 5] = [
    "credential_process",
    "sso_session",
    "sso_start_url",
    "source_profile",
    "credential_source",
];

impl Profile {
    /// The keys of the profile; `None` when nobody named one and there is no default with keys.
    pub fn read(&self) -> Result<Option<AwsCredential>, ProfileError> {
        let name = self.name.as_deref().unwrap_or("default");
        let in_config = match name {
            "default" => name.to_owned(),
            name => format!("profile {name}"),
        };
        let mut unsupported = None;
        for (path, section) in [
            (&self.credentials_file, name),
            (&self.config_file, in_config.as_str()),
        ] {
            let Some(file) = load(path)? else { continue };
            if file.get(section, ROLE).is_some() {
                let (name, path) = (name.to_owned(), path.clone());
                return Err(ProfileError::Unsupported {
                    name,
                    path,
                    key: ROLE,
                });
            }
            if let Some(found) = keys(&file, section, name, path)? {
                return Ok(Some(found));
            }
            let mut others = UNSUPPORTED.into_iter();
            let other = others.find(|key| file.get(section, key).is_some());
            unsupported = unsupported.or(other.map(|key| (key, path)));
        }
        if let Some((key, path)) = unsupported {
            let (name, path) = (name.to_owned(), path.clone());
            return Err(ProfileError::Unsupported { name, path, key });
        }
        match &self.name {
            None => Ok(None),
            Some(name) => Err(ProfileError::Missing {
                name: name.clone(),
                credentials: self.credentials_file.clone(),
                config: self.config_file.clone(),
            }),
        }
    }
}

/// `None` when it is not there.
fn load(path: &Path) -> Result<Option<Ini>, ProfileError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(ProfileError::File { path, source });
        }
    };
    let mut file = Ini::new_cs();
    // A ';' or '#' may be part of a token.
    file.set_inline_comment_symbols(Some(&[]));
    match file.read(text) {
        Ok(_) => Ok(Some(file)),
        // What it says may show the line that it is about.
        Err(_) => Err(ProfileError::Syntax {
            path: path.to_owned(),
            why: "a section's head or a line cannot be understood".into(),
        }),
    }
}

fn keys(
    file: &Ini,
    section: &str,
    name: &str,
    path: &Path,
) -> Result<Option<AwsCredential>, ProfileError> {
    let get = |key| match file.get(section, key) {
        Some(value) if value.is_empty() => Ok(None),
        Some(value) if !value.bytes().all(|b| b.is_ascii_graphic()) => {
            let (name, path) = (name.to_owned(), path.to_owned());
            Err(ProfileError::Unsendable { name, path, key })
        }
        value => Ok(value),
    };
    let half = |missing| {
        let (name, path) = (name.to_owned(), path.to_owned());
        Err(ProfileError::Half {
            name,
            path,
            missing,
        })
    };
    match (get(KEY_ID)?, get(SECRET)?) {
        (None, None) => Ok(None),
        (Some(_), None) => half(SECRET),
        (None, Some(_)) => half(KEY_ID),
        (Some(key_id), Some(secret_key)) => Ok(Some(AwsCredential {
            key_id,
            secret_key,
            token: get(TOKEN)?,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: Option<&str>, credentials: &str, config: &str) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile {
            name: name.map(str::to_owned),
            credentials_file: folder.path().join("credentials"),
            config_file: folder.path().join("config"),
        };
        for (path, text) in [
            (&profile.credentials_file, credentials),
            (&profile.config_file, config),
        ] {
            if !text.is_empty() {
                std::fs::write(path, text).unwrap();
            }
        }
        let found = profile.read().map_err(|e| e.to_string())?;
        Ok(found.map(|f| format!("{} {} {:?}", f.key_id, f.secret_key, f.token)))
    }

    const BOTH: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=s/+=;#\n\n\
        [other]\naws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u==\n";

    #[test]
    fn keys_are_those_of_the_profile_also_with_signs_that_begin_comments_elsewhere() {
        let default = Ok(Some("A s/+=;# None".to_owned()));
        assert_eq!(read(None, BOTH, ""), default);
        assert_eq!(
            read(Some("default"), BOTH, "[default]\nregion=x\n"),
            default
        );
        let other = Ok(Some("B t Some(\"u==\")".to_owned()));
        assert_eq!(read(Some("other"), BOTH, ""), other);
    }

    #[test]
    fn the_config_file_names_its_sections_profile_and_comes_second() {
        let config = "[profile other]\ns3 =\n  max_queue = 1\naws_access_key_id=C\n\
            aws_secret_access_key=v\n[default]\naws_access_key_id=D\naws_secret_access_key=w\n";
        assert_eq!(read(Some("other"), "", config), Ok(Some("C v None".into())));
        assert_eq!(read(None, "", config), Ok(Some("D w None".into())));
        assert_eq!(read(None, BOTH, config), Ok(Some("A s/+=;# None".into())));
    }

    #[test]
    fn nothing_is_found_where_nothing_was_named_and_otherwise_it_is_said_without_a_secret() {
        assert_eq!(read(None, "", ""), Ok(None));
        assert_eq!(read(None, "[other]\n", "[default]\nregion = x\n"), Ok(None));
        for (name, credentials, config, said) in [
            (Some("none"), BOTH, "", "no profile none (AWS_PROFILE)"),
            (
                None,
                "[default]\naws_access_key_id=geheim\n",
                "",
                "has no aws_secret_access_key",
            ),
            (
                None,
                "[default\naws_access_key_id=geheim\n",
                "",
                "no file of profiles",
            ),
            (
                None,
                "[default]\naws_access_key_id=geheim x\naws_secret_access_key=geheim\n",
                "",
                "aws_access_key_id has a character",
            ),
            (
                Some("sso"),
                "",
                "[profile sso]\nsso_start_url = geheim\n",
                "has sso_start_url, which is not supported",
            ),
            (
                None,
                "",
                "[default]\nrole_arn = geheim\nweb_identity_token_file = geheim\n",
                "has role_arn, which is not supported",
            ),
            (
                None,
                "[default]\nrole_arn=geheim\naws_access_key_id=geheim\naws_secret_access_key=geheim\n",
                "",
                "has role_arn, which is not supported",
            ),
        ] {
            let error = read(name, credentials, config).unwrap_err();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
