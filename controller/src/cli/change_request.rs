//! `sekisho export change-request`.

mod place;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use sekisho_domain::change_request::{aerleon, csv, markdown};

use super::{Exit, client::Client, connection::Global, diff::exit, output};
use crate::service::SweepChangeRequest;

/// Write the rules that close the gaps of a sweep, and what they do not close.
#[derive(Debug, Args)]
#[command(
    after_help = "The rules open exactly the gaps whose cause is an access list or a host's firewall, and nothing that no policy allows. The ticket lists every other gap with the reason.\n\nFormats: markdown, a ticket for those who keep the firewalls; csv, one line per rule, source, destination and service; json; aerleon, a folder from which Aerleon (https://github.com/aerleon/aerleon, pip install aerleon) writes the configuration of many makers' devices.\n\nTargets of Aerleon: nftables, iptables, cisco, ciscoasa, cisconx, ciscoxr, arista, juniper, srx, paloalto, nokiasrl, packetfilter, windows_advfirewall. srx and paloalto need --from-zone and --to-zone.\n\nExit status: 2 there is something to open, 3 there is nothing and the sweep is not complete, 0 there is nothing.\n\nExamples:\n  sekisho export change-request\n  sekisho export change-request --sweep latest~1 --output ticket.md\n  sekisho export change-request --format csv --output rules.csv --force\n  sekisho export change-request --format aerleon --output request\n  sekisho export change-request --format aerleon --output request --aerleon-target paloalto --from-zone users --to-zone servers"
)]
pub(super) struct ChangeRequestArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// What to write: markdown, csv, json or aerleon.
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Form,
    /// The file to write, of aerleon the new folder; - or nothing is standard output.
    #[arg(long, value_name = "FILE|DIR", required_if_eq("format", "aerleon"))]
    output: Option<PathBuf>,
    /// Replace the file where there is one.
    #[arg(long)]
    force: bool,
    /// The device that Aerleon is to write for.
    #[arg(long, value_name = "TARGET", default_value = "nftables")]
    aerleon_target: String,
    /// The zone that the vantages are in, for devices that have zones.
    #[arg(long, value_name = "ZONE", requires = "to_zone")]
    from_zone: Option<String>,
    /// The zone that the targets are in.
    #[arg(long, value_name = "ZONE", requires = "from_zone")]
    to_zone: Option<String>,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Form {
    #[default]
    Markdown,
    Csv,
    Json,
    Aerleon,
}

pub(super) async fn run(args: ChangeRequestArgs, global: &Global) -> anyhow::Result<Exit> {
    let target =
        aerleon::Target::new(&args.aerleon_target, args.from_zone.as_deref().zip(args.to_zone.as_deref()))?;
    let client = Client::new(global)?;
    let doing = format!("make the change request of sweep {}", args.sweep);
    let found: SweepChangeRequest =
        client.get(&doing, &["change-request"], &[("sweep", &args.sweep)]).await?;
    let SweepChangeRequest { sweep, request } = &found;
    let file = |text: String| place::write(args.output.as_deref(), args.force, &text);
    match args.format {
        Form::Markdown => file(markdown(request, sweep))?,
        Form::Csv => file(csv(request))?,
        Form::Json => file(format!("{}\n", serde_json::to_string_pretty(&found)?))?,
        Form::Aerleon if request.rules.is_empty() => {}
        Form::Aerleon => {
            let folder =
                args.output.as_deref().context("aerleon needs a folder: name it with --output DIR")?;
            let files = aerleon::files(request, sweep, &target)?;
            place::folder(folder, &files)?;
            output::text(&generate(folder))?;
        }
    }
    said(&found);
    Ok(if request.rules.is_empty() { exit(&[sweep]) } else { Exit::Found })
}

/// How to go on from a folder.
fn generate(folder: &Path) -> String {
    let quoted = folder.display().to_string().replace('\'', r"'\''");
    format!("cd '{quoted}' && aclgen\n")
}

/// What is not in every format, for the person at the terminal.
fn said(found: &SweepChangeRequest) {
    let request = &found.request;
    let (rules, flows, left) = (request.rules.len(), request.flows(), request.left_out.len());
    output::note(&if rules == 0 {
        format!(
            "nothing to open: sweep {} has no gap that a rule could close; {left} left out",
            found.sweep.id
        )
    } else {
        format!(
            "{rules} rules open {flows} flows; {left} gaps and exposures are left out, {} untested",
            request.untested
        )
    });
}
