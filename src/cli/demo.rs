//! `lineage demo`: everything in one process.

use crate::config::args::DemoArgs;

pub async fn demo(_args: DemoArgs) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
