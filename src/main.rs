use std::process::ExitCode;

use lineage::cli;
use lineage::cli::verify::Found;
use lineage::config::Settings;
use lineage::config::args::{Cli, Command};
use lineage::runtime::retry::with_causes;

// Three quarters of the memory that the system's allocator takes while catching up, and what is free goes back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Settings that cannot be used; also what clap exits with.
const BAD_SETTINGS: u8 = 2;
/// `verify` found gaps, duplicates or damage; `find` found nothing; `status` found a job that does not
/// run or is degraded.
const NOT_GOOD: u8 = 1;
/// A command that looks at an archive could not.
const COULD_NOT_LOOK: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::of_process();
    let logs = match cli::logging::init(cli.log_format, cli.log_level()) {
        Ok(logs) => logs,
        Err(error) => return complain(BAD_SETTINGS, &error),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(1, &format!("no async runtime: {error}")),
    };
    let code = match cli.command {
        Command::Run(args) => match Settings::try_from(*args) {
            Err(error) => complain(BAD_SETTINGS, &error.to_string()),
            Ok(settings) => match runtime.block_on(cli::run::run(settings, logs)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(error.exit_code(), &with_causes(&error)),
            },
        },
        Command::Verify(args) => answered(runtime.block_on(cli::verify::verify(*args))),
        Command::Find(args) => answered(runtime.block_on(cli::find::find(*args))),
        Command::Checkpoints(command) => {
            looked(runtime.block_on(cli::checkpoints::checkpoints(command)))
        }
        Command::Orphans(command) => looked(runtime.block_on(cli::orphans::orphans(command))),
        Command::Remote(command) => answered(runtime.block_on(cli::remote::remote(command))),
        Command::Demo(args) => match runtime.block_on(cli::demo::demo(args, logs)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(1, &format!("{error:#}")),
        },
    };
    // A request that hangs must not hold up the exit: all that counts is durable.
    runtime.shutdown_background();
    code
}

fn answered(result: anyhow::Result<Found>) -> ExitCode {
    match result {
        Ok(Found::Good) => ExitCode::SUCCESS,
        Ok(Found::Bad) => ExitCode::from(NOT_GOOD),
        Err(error) => complain(COULD_NOT_LOOK, &with_causes(error.as_ref())),
    }
}

fn looked(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(COULD_NOT_LOOK, &with_causes(error.as_ref())),
    }
}

/// The last word on standard error, also where log lines are filtered or JSON.
#[allow(
    clippy::print_stderr,
    reason = "an error that ends the process is for the person"
)]
fn complain(code: u8, error: &str) -> ExitCode {
    eprintln!("lineage: {error}");
    ExitCode::from(code)
}
