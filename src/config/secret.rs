//! Settings that nobody may read where settings are shown: a value, or a file that holds it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// In place of a value that may be a secret.
pub const HIDDEN: &str = "******";

/// A password, key or token. Neither `Debug` nor an error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("both {name} and {name}_FILE are set: set one")]
    Both { name: &'static str },
    #[error("{name}_FILE: {path} cannot be read: {source}")]
    File {
        name: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{name}_FILE: {path} is empty")]
    Empty { name: &'static str, path: PathBuf },
}

impl Secret {
    /// For who has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The value of the setting `name`, or what is in the file of the setting `name`_FILE.
    ///
    /// # Errors
    /// If both are given, or the file cannot be used.
    pub fn resolve(
        name: &'static str,
        given: Option<Self>,
        file: Option<PathBuf>,
    ) -> Result<Option<Self>, SecretError> {
        let path = match (given, file) {
            (Some(_), Some(_)) => return Err(SecretError::Both { name }),
            (given, None) => return Ok(given),
            (None, Some(path)) => path,
        };
        match std::fs::read_to_string(&path) {
            Err(source) => Err(SecretError::File { name, path, source }),
            // Editors end a file with a new line; blanks may be a part of it.
            Ok(text) => {
                let line = text.strip_suffix('\n').unwrap_or(&text);
                let secret = line.strip_suffix('\r').unwrap_or(line).parse();
                let empty = |_| SecretError::Empty { name, path };
                secret.map(Some).map_err(empty)
            }
        }
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.is_empty() {
            true => Err("it is empty"),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// Whether a URL has a user or a password in it: URLs are shown, in settings and in errors.
pub fn has_login(url: &url::Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A URL without what it may hold beside the place.
pub fn without_user(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else {
        return HIDDEN.to_owned();
    };
    // Fails only for URLs that have no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string().trim_end_matches('/').to_owned()
}

/// What was meant for a URL, unless it may hold a secret.
pub fn unless_secret(text: &str) -> &str {
    if text.contains(['@', '?']) {
        HIDDEN
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(text: &str) -> Result<Option<Secret>, SecretError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Secret::resolve("SOME_PASSWORD", None, Some(path))
    }

    #[test]
    fn a_secret_of_a_file_is_its_text_without_the_new_line_at_its_end() {
        for (text, secret) in [
            ("geheim", "geheim"),
            ("geheim\n", "geheim"),
            ("geheim\r\n", "geheim"),
            (" geheim \n", " geheim "),
            ("geheim\n\n", "geheim\n"),
        ] {
            assert_eq!(of_file(text).unwrap().unwrap().expose(), secret);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_name_of_its_setting_and_never_shown() {
        let both = Secret::resolve(
            "SOME_PASSWORD",
            "geheim".parse().ok(),
            Some("/somewhere".into()),
        );
        let missing = Secret::resolve("SOME_PASSWORD", None, Some("/does/not/exist".into()));
        for refused in [both, missing, of_file("\n")] {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains("SOME_PASSWORD_FILE"), "{error}");
            assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        }
        let secret: Secret = "geheim".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "******");
    }
}
