//! `sekisho probe ...`.

use std::{io::IsTerminal, time::Duration};

use clap::{Args, Subcommand};

use super::{
    Exit,
    client::Client,
    connection::Global,
    duration,
    output::{self, Format, FormatArg},
    table::{self, Column, integer, text, word},
};
use crate::{
    http::{EnrolmentTokenRequest, PrintedToken},
    service::ProbeSummary,
};

#[derive(Debug, Subcommand)]
pub(super) enum ProbeCommand {
    /// Print a token with which one probe can enrol, once.
    #[command(after_help = "Examples:\n  sekisho probe token --vantage vlan20\n  \
        sekisho-probe enroll --controller https://sekisho.example:7443 --token \"$(sekisho probe token --vantage vlan20)\" --state-dir /var/lib/sekisho-probe --allow 10.77.1.0/24")]
    Token(TokenArgs),
    /// List every probe.
    #[command(after_help = "Examples:\n  sekisho probe list\n  sekisho probe list --format csv")]
    List(FormatArg),
    /// Show one probe.
    #[command(after_help = "Examples:\n  sekisho probe show 3f2a\n  sekisho probe show 3f2a --format json")]
    Show(ShowArgs),
    /// Shut a probe out: its session ends at once and its certificates are refused.
    #[command(after_help = "Examples:\n  sekisho probe revoke 3f2a")]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Name of the vantage that the probe will stand for.
    #[arg(long, value_name = "NAME")]
    vantage: String,
    /// How long the token can be used.
    #[arg(long, default_value = "1h", value_parser = duration::parse, value_name = "TIME")]
    ttl: Duration,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Id of the probe, or the beginning of it.
    #[arg(value_parser = id)]
    id: String,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Id of the probe, or the beginning of it.
    #[arg(value_parser = id)]
    id: String,
}

fn id(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if good { Ok(text.to_owned()) } else { Err("ids are listed by: sekisho probe list".to_owned()) }
}

pub(super) async fn run(command: ProbeCommand, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    match command {
        ProbeCommand::Token(args) => token(&client, args).await?,
        ProbeCommand::List(FormatArg { format }) => {
            let probes: Vec<ProbeSummary> = client.get("list the probes", &["probes"], &[]).await?;
            let none = "no probes; make a token for one with: sekisho probe token --vantage NAME";
            output::print(format, &probes, (PROBES, &probes), || output::columns(LISTED, &probes, none))?;
        }
        ProbeCommand::Show(args) => {
            let doing = format!("show probe {}", args.id);
            let probe: ProbeSummary = client.get(&doing, &["probes", &args.id], &[]).await?;
            show(args.format.format, &probe)?;
        }
        ProbeCommand::Revoke(args) => {
            let doing = format!("revoke probe {}", args.id);
            let path = ["probes", &args.id, "revoke"];
            let probe: ProbeSummary = client.post(&doing, &path, &serde_json::json!({})).await?;
            output::text(&format!("revoked probe {} of {} on {}\n", probe.id, probe.vantage, probe.host))?;
        }
    }
    Ok(Exit::Fine)
}

async fn token(client: &Client, args: TokenArgs) -> anyhow::Result<()> {
    let doing = format!("make a token for {}", args.vantage);
    let request = EnrolmentTokenRequest { vantage: args.vantage, ttl: args.ttl };
    let made: PrintedToken = client.post(&doing, &["enrolment-tokens"], &request).await?;
    if std::io::stderr().is_terminal() {
        output::note(&format!("for one probe in {}, until {}:", made.vantage, output::time(made.expires_at)));
    }
    output::text(&format!("{}\n", made.token))
}

fn show(format: Format, probe: &ProbeSummary) -> anyhow::Result<()> {
    output::print(format, probe, (PROBES, [probe]), || output::record(PROBES, probe))
}

/// What a person looks for in a list.
const LISTED: &[Column<ProbeSummary>] = &[
    text("id", |probe| word(Some(probe.id))),
    text("vantage", |probe| Some(probe.vantage.clone())),
    text("host", |probe| Some(probe.host.clone())),
    text("status", |probe| Some(probe.status.word().to_owned())),
    table::time("seen", |probe| probe.seen_at),
    text("version", |probe| Some(probe.version.clone())),
    integer("spooled", |probe| Some(probe.spooled)),
];

/// Everything.
const PROBES: &[Column<ProbeSummary>] = &[
    text("id", |probe| word(Some(probe.id))),
    text("vantage", |probe| Some(probe.vantage.clone())),
    text("host", |probe| Some(probe.host.clone())),
    text("version", |probe| Some(probe.version.clone())),
    text("status", |probe| Some(probe.status.word().to_owned())),
    table::time("enrolled_at", |probe| Some(probe.enrolled_at)),
    table::time("seen_at", |probe| probe.seen_at),
    table::time("revoked_at", |probe| probe.revoked_at),
    table::time("certificate_not_after", |probe| probe.certificate_not_after),
    text("icmp", |probe| probe.icmp.clone()),
    text("services", |probe| Some(probe.services.join(" "))),
    integer("spooled", |probe| Some(probe.spooled)),
    integer("clock_offset_us", |probe| probe.clock_offset_us),
    text("controller", |probe| word(probe.controller)),
];
