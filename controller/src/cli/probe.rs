//! `sekisho probe ...`.

use std::{io::IsTerminal, time::Duration};

use clap::{Args, Subcommand};

use super::{
    Exit,
    client::Client,
    connection::Global,
    duration,
    output::{self, Format, FormatArg},
    table::{self, Column, flag, integer, text, word},
};
use crate::{
    http::{EnrolmentTokenRequest, PrintedToken},
    service::{FleetLine, ProbeSummary},
};

#[derive(Debug, Subcommand)]
pub(super) enum ProbeCommand {
    /// Print a token with which one probe can enrol, once.
    #[command(after_help = "Examples:\n  sekisho probe token --vantage vlan20\n  \
        sekisho-probe enroll --controller https://sekisho.example:7443 --token \"$(sekisho probe token --vantage vlan20)\" --state-dir /var/lib/sekisho-probe --allow 10.77.1.0/24")]
    Token(TokenArgs),
    /// List every probe, and every vantage of the inventory that has none that works.
    #[command(
        after_help = "Status: online; late (not heard of for two heartbeats); lost (for longer than lost_grace); stuck (has work, \
        and does\nnothing of it for stuck_after); unwell (says what keeps it from working, or its clock is wrong); never (has not\n\
        connected); revoked. A vantage with no probe that is online or late has a line of its own: no-probe.\n\
        Exit status: 0; with --check 2 where a line is lost, stuck, unwell, never or no-probe.\n\n\
        Examples:\n  sekisho probe list\n  sekisho probe list --check\n  sekisho probe list --format csv"
    )]
    List(ListArgs),
    /// Show one probe.
    #[command(after_help = "Examples:\n  sekisho probe show 3f2a\n  sekisho probe show 3f2a --format json")]
    Show(ShowArgs),
    /// Shut a probe out: its session ends at once and its certificates are refused.
    #[command(after_help = "Examples:\n  sekisho probe revoke 3f2a")]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// End with 2 where something is wrong with a probe, or a vantage has none.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    format: FormatArg,
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
        ProbeCommand::List(args) => return list(&client, &args).await,
        ProbeCommand::Show(args) => {
            let doing = format!("show probe {}", args.id);
            let probe: ProbeSummary = client.get(&doing, &["probes", &args.id], &[]).await?;
            show(args.format.format, probe)?;
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

async fn list(client: &Client, args: &ListArgs) -> anyhow::Result<Exit> {
    let lines: Vec<FleetLine> = client.get("list the probes", &["fleet"], &[]).await?;
    let none = "no probes; make a token for one with: sekisho probe token --vantage NAME";
    output::print(args.format.format, &lines, (LINES, &lines), || output::columns(LISTED, &lines, none))?;
    let wrong = args.check && lines.iter().any(FleetLine::is_problem);
    Ok(if wrong { Exit::Found } else { Exit::Fine })
}

fn show(format: Format, probe: ProbeSummary) -> anyhow::Result<()> {
    let line = FleetLine::Probe(Box::new(probe));
    output::print(format, &line, (LINES, [&line]), || output::record(LINES, &line))
}

/// The field of the probe, where the line is one.
macro_rules! of {
    ($probe:ident => $field:expr) => {
        |line| line.probe().and_then(|$probe| $field)
    };
}

/// What a person looks for in a list.
const LISTED: &[Column<FleetLine>] = &[
    text("id", of!(probe => word(Some(probe.id)))),
    text("vantage", |line| Some(line.vantage().to_owned())),
    text("host", of!(probe => Some(probe.host.clone()))),
    text("status", |line| Some(line.status().to_owned())),
    table::time("seen", of!(probe => probe.seen_at)),
    text("version", of!(probe => Some(probe.version.clone()))),
    text("clock", of!(probe => probe.clock_offset_us.map(offset))),
    integer("jobs", of!(probe => Some(probe.jobs))),
    table::time("last job", of!(probe => probe.job_ended_at)),
    integer("spooled", of!(probe => Some(probe.spooled))),
    text("why", |line| line.why().map(str::to_owned)),
];

/// Everything.
const LINES: &[Column<FleetLine>] = &[
    text("id", of!(probe => word(Some(probe.id)))),
    text("vantage", |line| Some(line.vantage().to_owned())),
    text("host", of!(probe => Some(probe.host.clone()))),
    text("version", of!(probe => Some(probe.version.clone()))),
    text("status", |line| Some(line.status().to_owned())),
    table::time("enrolled_at", of!(probe => Some(probe.enrolled_at))),
    table::time("seen_at", of!(probe => probe.seen_at)),
    table::time("revoked_at", of!(probe => probe.revoked_at)),
    table::time("certificate_not_after", of!(probe => probe.certificate_not_after)),
    text("icmp", of!(probe => probe.icmp.clone())),
    text("services", of!(probe => Some(probe.services.join(" ")))),
    integer("spooled", of!(probe => Some(probe.spooled))),
    integer("clock_offset_us", of!(probe => probe.clock_offset_us)),
    text("controller", of!(probe => word(probe.controller))),
    flag("problem", |line| Some(line.is_problem())),
    text("why", |line| line.why().map(str::to_owned)),
    integer("jobs", of!(probe => Some(probe.jobs))),
    table::time("job_ended_at", of!(probe => probe.job_ended_at)),
    integer("dropped", of!(probe => Some(probe.dropped))),
];

/// How far a clock is ahead, as people read it.
fn offset(micros: i64) -> String {
    let millis = micros / 1_000;
    if millis.abs() < 1_000 { format!("{millis:+} ms") } else { format!("{:+} s", millis / 1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_read_at_a_glance() {
        let shown = [0, 12_345, -999_999, 1_500_000, -61_000_000].map(offset);
        assert_eq!(shown, ["+0 ms", "+12 ms", "-999 ms", "+1 s", "-61 s"]);
    }

    #[test]
    fn a_vantage_without_probe_is_a_line_like_any_other() {
        let json = r#"[{"id":null,"vantage":"vlan30","status":"no-probe","problem":true,"why":"no probe"}]"#;
        let lines: Vec<FleetLine> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&lines).unwrap(), json);
        let table = output::columns(LISTED, &lines, "");
        assert!(table.lines().nth(1).unwrap().starts_with("-   vlan30   -     no-probe"), "{table}");
        let csv = output::csv(LINES, &lines);
        assert!(csv.lines().nth(1).unwrap().starts_with(",vlan30,,,no-probe,"), "{csv}");
    }
}
