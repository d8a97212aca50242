//! `sekisho apply`.

use std::{io::Read, path::PathBuf};

use anyhow::Context;
use clap::Args;

use super::{Exit, client::Client, connection::Global, output};
use crate::{http::ApplyOptions, service::InventoryChanges};

/// Make the inventory what a file says: declarative, all or nothing, and harmless to repeat.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sekisho apply inventory.toml --dry-run\n  sekisho apply inventory.toml\n  git show main:inventory.toml | sekisho apply -"
)]
pub(super) struct ApplyArgs {
    /// The inventory, TOML; - reads standard input.
    file: PathBuf,
    /// Only tell what would change.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: ApplyArgs, global: &Global) -> anyhow::Result<Exit> {
    let name = args.file.display().to_string();
    let (text, file) = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read an inventory from standard input")?;
        (text, "standard input".to_owned())
    } else {
        let text = std::fs::read_to_string(&args.file)
            .with_context(|| format!("cannot read the inventory {name}"))?;
        (text, name)
    };
    let client = Client::new(global)?;
    let doing = format!("apply {file}");
    let options = ApplyOptions { dry_run: args.dry_run, file };
    let changes: InventoryChanges = client.post_text(&doing, &["inventory"], &options, text).await?;
    let mut out: String = changes.lines.iter().map(|line| format!("{line}\n")).collect();
    if changes.lines.is_empty() {
        out.push_str("nothing to change\n");
    } else if changes.dry_run {
        out.push_str("dry run: nothing was written\n");
    }
    output::text(&out)?;
    Ok(Exit::Fine)
}
