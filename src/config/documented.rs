//! The documentation of the settings holds all of them.

use clap::CommandFactory;

use super::args::Cli;

const DOCS: &str = include_str!("../../docs/settings.md");

#[test]
fn every_setting_of_a_run_is_documented_by_its_variable() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let variables = run.get_arguments().filter_map(|of| of.get_env()?.to_str());
    let missing: Vec<_> = variables
        .filter(|variable| !DOCS.contains(&format!("`{variable}`")))
        .collect();
    assert!(missing.is_empty(), "docs/settings.md has not {missing:?}");
}
