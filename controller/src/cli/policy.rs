//! `sekisho policy ...`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use sekisho_domain::suggest::Draft;

use super::{
    Exit,
    client::Client,
    connection::Global,
    diff::exit,
    output::{self, FormatArg},
    table::{Column, text, word},
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
    output::print(args.format.format, drafts, (DRAFTS, drafts), || found.toml.clone())?;
    if drafts.is_empty() {
        output::note("nothing to suggest: no flow of a vantage of the inventory was open");
    }
    Ok(exit(&[&found.sweep]))
}

const DRAFTS: &[Column<Draft>] = &[
    text("name", |draft| Some(draft.name.clone())),
    text("from", |draft| Some(pairs(&draft.from))),
    text("to", |draft| Some(pairs(&draft.to))),
    text("profile", |draft| draft.profile.clone()),
    text("services", |draft| {
        Some(draft.services.iter().map(|service| service.name()).collect::<Vec<_>>().join(" "))
    }),
    text("expect", |draft| word(Some(draft.expect))),
    text("vantages", |draft| Some(draft.vantages.join(" "))),
];

fn pairs(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}
