//! The control plane: where a service listens, and how a running one is asked.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, StringValueParser};
use clap::{Args, Subcommand};

use super::forgiving::Trimmed;
use super::{SlotChoice, parse_slot};
use crate::config::location::Location;
use crate::config::secret::Secret;

#[derive(Debug, Args)]
pub struct RestArgs {
    /// Whether there is a control plane: the REST API and the page
    #[arg(long, env = "REST_ENABLED", default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub rest_enabled: bool,

    /// Address that the control plane listens on; 0.0.0.0 for all
    #[arg(long, env = "REST_ADDRESS", default_value = "127.0.0.1")]
    pub rest_address: String,

    /// Port of the control plane; 0 for any that is free
    #[arg(long, env = "REST_PORT", default_value = "8081")]
    pub rest_port: u16,

    /// Token that clients have to send as `Authorization: Bearer TOKEN` [default: none is asked for]
    #[arg(long, env = "REST_TOKEN", hide_env_values = true)]
    pub rest_token: Option<Secret>,

    /// File with that token
    #[arg(long, env = "REST_TOKEN_FILE")]
    pub rest_token_file: Option<PathBuf>,

    /// Refuse everything that changes the job
    #[arg(long, env = "REST_READ_ONLY", value_parser = BoolishValueParser::new())]
    pub rest_read_only: bool,

    /// Names by which the control plane may be asked for, beside local ones and addresses: that of a
    /// proxy before it
    #[arg(
        long,
        env = "REST_HOSTS",
        value_parser = Trimmed(StringValueParser::new()),
        value_delimiter = ',',
        value_name = "NAME,…"
    )]
    pub rest_hosts: Vec<String>,
}

/// Commands that ask the control plane of a running service.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// The job at a glance; exit code 1 when it does not run or is degraded
    Status {
        /// One JSON object, with all there is
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        rest: RemoteArgs,
    },
    /// Take a checkpoint now, keep it, and copy it; waits until that is done
    Savepoint {
        /// Where it is copied to [default: the SAVEPOINTS_PATH of the service]
        #[arg(long)]
        target: Option<Location>,
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        rest: RemoteArgs,
    },
    /// Take a last checkpoint and end the job, not the process; waits until that is done
    Stop {
        /// Keep the last checkpoint as a savepoint
        #[arg(long, conflicts_with = "now")]
        savepoint: bool,
        /// Where the savepoint is copied to
        #[arg(long, conflicts_with = "now")]
        target: Option<Location>,
        /// Without a last checkpoint: the next start reads again what no checkpoint holds
        #[arg(long)]
        now: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        rest: RemoteArgs,
    },
    /// Start a job again that was stopped; waits until it runs
    Resume {
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        rest: RemoteArgs,
    },
    /// The files of one checkpoint, as its commit log names them
    Files {
        /// Its number, or `latest`
        #[arg(value_parser = parse_slot, default_value = "latest")]
        id: SlotChoice,
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        rest: RemoteArgs,
    },
}

/// Where the control plane of a running service is.
#[derive(Debug, Args)]
pub struct RemoteArgs {
    /// Address of the control plane
    #[arg(long, env = "REST_URL", default_value = "http://127.0.0.1:8081")]
    pub rest: String,

    /// Token that it asks for
    #[arg(long, env = "REST_TOKEN", hide_env_values = true)]
    pub rest_token: Option<Secret>,

    /// File with that token
    #[arg(long, env = "REST_TOKEN_FILE")]
    pub rest_token_file: Option<PathBuf>,
}
