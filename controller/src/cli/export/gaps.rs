//! `sekisho export gaps`.

use clap::Args;

use super::destination::Output;
use crate::cli::{
    Exit,
    client::Client,
    connection::Global,
    gaps::{GAPS, end, fetch, policies},
    matrix::PlaceArgs,
    output, sweep,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct GapsArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    pub(super) to: Output,
}

pub(super) async fn run(args: &GapsArgs, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    let mut sheet = args.to.sheet(GAPS)?;
    let found = fetch(&client, &args.sweep, &args.place).await?;
    for gap in &found.gaps.gaps {
        sheet.row(gap)?;
    }
    sheet.finish()?.finish()?;
    policies(&found.gaps, &args.place).iter().for_each(|line| output::note(line));
    Ok(end(&found))
}
