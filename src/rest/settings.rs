//! Settings of the control plane.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::config::args::RestArgs;
use crate::config::secret::Secret;

#[derive(Debug, Clone)]
pub struct RestSettings {
    /// Name or address to listen on.
    pub address: String,
    pub port: u16,
    /// None: nobody is asked for one.
    pub token: Option<Token>,
    pub read_only: bool,
    /// Names by which it may be asked for, beside those that are known to be its own.
    pub hosts: Vec<String>,
    pub limits: Limits,
    pub rhythm: Rhythm,
}

/// What one client may use up. The defaults leave room for a few pages and monitors.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes; the longest body of a request that means something has some 200.
    pub body: usize,
    /// For an answer to be ready, its request's body included.
    pub request: Duration,
    /// For the head of a request to arrive; an idle connection is closed after it.
    pub head: Duration,
    /// For a client to take some more of its answer.
    pub write: Duration,
    /// At the same time; more have to wait.
    pub connections: usize,
    /// Of these, event streams; more are refused.
    pub streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 64 * 1024,
            request: Duration::from_secs(30),
            head: Duration::from_secs(30),
            write: Duration::from_secs(30),
            connections: 256,
            streams: 64,
        }
    }
}

/// How often the job is looked at by itself.
#[derive(Debug, Clone)]
pub struct Rhythm {
    /// For event streams, while there is one.
    pub events: Duration,
    /// For the history and for rates.
    pub history: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            events: Duration::from_secs(1),
            history: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RestSettingsError {
    #[error("both REST_TOKEN and REST_TOKEN_FILE are set: set one")]
    TwoTokens,
    #[error("REST_TOKEN_FILE: {path} cannot be read: {source}")]
    TokenFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{origin}: {reason}")]
    BadToken {
        origin: String,
        reason: &'static str,
    },
    #[error("REST_ADDRESS is empty: give 127.0.0.1, or 0.0.0.0 for all addresses")]
    NoAddress,
}

impl RestSettings {
    /// `None` if there is to be no control plane.
    ///
    /// # Errors
    /// If the token is given twice, or cannot be used.
    pub fn resolve(args: RestArgs) -> Result<Option<Self>, RestSettingsError> {
        if !args.rest_enabled {
            return Ok(None);
        }
        if args.rest_address.trim().is_empty() {
            return Err(RestSettingsError::NoAddress);
        }
        let token = token(args.rest_token, args.rest_token_file)?;
        Ok(Some(Self {
            address: args.rest_address,
            port: args.rest_port,
            token,
            read_only: args.rest_read_only,
            hosts: args.rest_hosts,
            limits: Limits::default(),
            rhythm: Rhythm::default(),
        }))
    }
}

/// The token that was given, or is in the file that was given.
///
/// # Errors
/// If both are given, or what there is cannot be used; that is not shown.
pub fn token(
    given: Option<Secret>,
    file: Option<PathBuf>,
) -> Result<Option<Token>, RestSettingsError> {
    match (given, file) {
        (Some(_), Some(_)) => Err(RestSettingsError::TwoTokens),
        (None, None) => Ok(None),
        (Some(given), None) => usable(given.expose(), || "REST_TOKEN".to_owned()).map(Some),
        (None, Some(path)) => read_token(path).map(Some),
    }
}

fn read_token(path: PathBuf) -> Result<Token, RestSettingsError> {
    match std::fs::read_to_string(&path) {
        Err(source) => Err(RestSettingsError::TokenFile { path, source }),
        Ok(text) => usable(&text, || format!("REST_TOKEN_FILE: {}", path.display())),
    }
}

/// The token that a text holds: editors end a file with a new line, which then is in a variable, too.
fn usable(text: &str, origin: impl FnOnce() -> String) -> Result<Token, RestSettingsError> {
    let text = text.trim();
    let reason = match text {
        "" => "the token is empty",
        _ if text.bytes().all(|b| b.is_ascii_graphic()) => return Ok(Token(text.to_owned())),
        _ => "a token is of visible ASCII characters, without blanks",
    };
    let origin = origin();
    Err(RestSettingsError::BadToken { origin, reason })
}

/// What a client has to know. Never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// For the header of a request, and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// In a time that does not tell how much of it was right.
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_whole_and_never_printed() {
        let given = "open-sesame\n".parse().unwrap();
        let token = token(Some(given), None).unwrap().unwrap();
        assert!(token.is("open-sesame"));
        for other in ["", "open-sesam", "open-sesame ", "Open-sesame"] {
            assert!(!token.is(other), "{other}");
        }
        assert!(!format!("{token:?}").contains("sesame"));
    }

    #[test]
    fn a_token_that_cannot_be_one_is_refused_with_its_setting_and_not_shown() {
        for text in ["open sesame", "open\u{0}sesame", "öpen-sesame"] {
            let error = token(Some(text.parse().unwrap()), None).unwrap_err();
            assert!(error.to_string().starts_with("REST_TOKEN: "), "{error}");
            assert!(
                !format!("{error} {error:?}").contains("sesame"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn the_new_line_at_the_end_of_a_token_file_is_not_part_of_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open-sesame\n").unwrap();
        assert!(read_token(file.path().into()).unwrap().is("open-sesame"));
        std::fs::write(file.path(), " \n").unwrap();
        let error = read_token(file.path().into()).unwrap_err().to_string();
        assert!(error.contains("the token is empty"), "{error}");
    }
}
