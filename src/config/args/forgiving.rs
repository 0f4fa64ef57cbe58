//! What people mean by settings that are not quite as they should be: a variable that is empty, because a
//! compose file passes on `${NAME:-}`, is one that is not set, and blanks around the parts of a list are
//! none of it. What protects is the exception: without it, the service would be open and nobody be told.

use std::ffi::OsStr;

use clap::builder::{Resettable, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

use crate::config::secret::unless_secret;

/// Empty, these are refused: whoever names them wants them, and what was to fill them has failed.
const PROTECTING: [&str; 5] = [
    "KAFKA_SECURITY_PROTOCOL",
    "REST_READ_ONLY",
    "REST_TOKEN",
    "REST_TOKEN_FILE",
    "S3_SSE",
];

/// The command without the variables that are empty, of which clap would take the value.
pub fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| {
        let name = arg
            .get_env()
            .filter(|name| !PROTECTING.iter().any(|p| name == p));
        let value = name.and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| match is_empty(&arg) {
            true => arg.env(Resettable::Reset),
            false => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// An error of clap's shows the value that it is about, which may be a URL with a password in it.
pub fn without_secret(mut error: Error) -> Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) {
        let shown = unless_secret(value).to_owned();
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}

/// Parses what is between the blanks.
#[derive(Debug, Clone)]
pub struct Trimmed<P>(pub P);

impl<P: TypedValueParser> TypedValueParser for Trimmed<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let trimmed = value.to_str().map(|text| OsStr::new(text.trim()));
        self.0.parse_ref(command, arg, trimmed.unwrap_or(value))
    }

    fn possible_values(
        &self,
    ) -> Option<Box<dyn Iterator<Item = clap::builder::PossibleValue> + '_>> {
        self.0.possible_values()
    }
}
