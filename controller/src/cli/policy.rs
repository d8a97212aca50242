//! `sekisho policy ...`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use sekisho_domain::suggest::Draft;

use super::{
    Exit,
    client::Client,
    connection::Global,
    diff::exit,
    output::{self, FormatArg, Rows},
};
use crate::service::PolicySuggestion;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Draft policies for the inventory from what was open.
    #[command(
        after_help = "Each draft speaks of flows that were open only (with --deny: or blocked only), so that the same sweep has no gap and no exposure by them. What vantages of a label, a site or a subnet have alike is one policy.\n\nExit status: 3 the sweep is not complete, and so is the suggestion.\n\nExamples:\n  sekisho policy suggest\n  sekisho policy suggest --baseline default --deny >> inventory.toml && sekisho apply inventory.toml --dry-run\n  sekisho policy suggest --sweep 17 --format csv"
    )]
    Suggest(SuggestArgs),
}

#[derive(Debug, Args)]
pub(super) struct SuggestArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// From the baseline of that name.
    #[arg(long, value_name = "NAME", conflicts_with = "sweep")]
    baseline: Option<String>,
    /// Also policies that deny what was blocked.
    #[arg(long)]
    deny: bool,
    /// How to print: table (the drafts as TOML), json or csv.
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(command: PolicyCommand, global: &Global) -> anyhow::Result<Exit> {
    let PolicyCommand::Suggest(args) = command;
    let client = Client::new(global)?;
    let from = args.baseline.map_or(args.sweep, |name| format!("baseline:{name}"));
    let doing = format!("suggest policies from {from}");
    let query = [("from", from.as_str()), ("deny", if args.deny { "true" } else { "false" })];
    let found: PolicySuggestion = client.get(&doing, &["policies", "suggestion"], &query).await?;
    let drafts = &found.suggestion.policies;
    output::print(args.format.format, drafts, || rows(drafts), || found.toml.clone())?;
    if drafts.is_empty() {
        output::note("nothing to suggest: no flow of a vantage of the inventory was open");
    }
    Ok(exit(&[&found.sweep]))
}

fn rows(drafts: &[Draft]) -> Rows {
    let map = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
    };
    let row = |draft: &Draft| {
        let services: Vec<String> = draft.services.iter().map(|service| service.name()).collect();
        vec![
            draft.name.clone(),
            map(&draft.from),
            map(&draft.to),
            draft.profile.clone().unwrap_or_default(),
            services.join(" "),
            draft.expect.to_string(),
            draft.vantages.join(" "),
        ]
    };
    Rows {
        header: vec!["name", "from", "to", "profile", "services", "expect", "vantages"],
        rows: drafts.iter().map(row).collect(),
    }
}
