//! `sekisho sweep ...`.

use clap::{Args, Subcommand};
use sekisho_model::SweepSummary;

use super::{
    Exit,
    client::Client,
    connection::Global,
    matrix,
    output::{self, Format, FormatArg},
    table::{Column, flag, integer, text, time, word},
    watch,
};
use crate::service::{JobKind, JobState, JobSummary, SweepDetail, SweepPhase, SweepRef, SweepRequest};

#[derive(Debug, Subcommand)]
pub(super) enum SweepCommand {
    /// Start a sweep.
    #[command(
        after_help = "Exit status 3 with --wait: the sweep ended with missed flows or checks.\n\nExamples:\n  sekisho sweep run --wait\n  sekisho sweep run --vantage vlan20 --vantage vlan30 --wait\n  sekisho sweep run --computer PC8 --wait\n  sekisho sweep run --capture dc1.corp.example/smb --wait\n  sekisho sweep run --domain corp.example --profile ports --wait --format json"
    )]
    Run(RunArgs),
    /// List the newest sweeps.
    #[command(after_help = "Examples:\n  sekisho sweep list\n  sekisho sweep list --limit 100 --format csv")]
    List(ListArgs),
    /// Show one sweep and its jobs.
    #[command(
        after_help = "Exit status 3: the sweep ended with missed flows or checks.\n\nExamples:\n  sekisho sweep show\n  sekisho sweep show 17 --format json"
    )]
    Show(ShowArgs),
    /// Watch a sweep until it ends, then show its matrix.
    #[command(
        after_help = "Ctrl-C ends the watching, not the sweep. Exit status 3: it ended with missed flows or checks.\n\nExamples:\n  sekisho sweep watch\n  sekisho sweep watch 17"
    )]
    Watch(ShowArgs),
    /// End a running sweep: what is not yet tested is missed.
    #[command(after_help = "Examples:\n  sekisho sweep cancel 17\n  sekisho sweep cancel latest")]
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Only this domain.
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// What to test: domain-join (unless another is named), ports, full, or a profile of the inventory.
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// Only this vantage; repeat it for several.
    #[arg(long, value_name = "V")]
    vantage: Vec<String>,
    /// Look for the account of this computer, besides those of the inventory; repeat it for several.
    #[arg(long, value_name = "NAME")]
    computer: Vec<String>,
    /// Keep the packets of this flow in a file on each probe's own host; repeat it for several.
    #[arg(long, value_name = "TARGET/SERVICE")]
    capture: Vec<String>,
    /// Show the progress, and the matrix at the end.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// At most this many.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(default_value = "latest", value_parser = reference, allow_negative_numbers = true)]
    sweep: String,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// A number, or latest.
    #[arg(value_parser = reference, allow_negative_numbers = true)]
    sweep: String,
}

/// Which sweep is meant.
pub(super) fn reference(text: &str) -> Result<String, String> {
    let bad = |_| "use a number such as 17, latest, or latest~1".to_owned();
    text.parse::<SweepRef>().map(|sweep| sweep.to_string()).map_err(bad)
}

pub(super) async fn run(command: SweepCommand, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    match command {
        SweepCommand::Run(args) => start(&client, args, global).await,
        SweepCommand::List(ListArgs { limit, format }) => {
            let limit = limit.to_string();
            let sweeps: Vec<SweepSummary> =
                client.get("list the sweeps", &["sweeps"], &[("limit", &limit)]).await?;
            let none = "no sweeps yet; start one with: sekisho sweep run --wait";
            let table = || output::columns(SWEEPS, &sweeps, none);
            output::print(format.format, &sweeps, (SWEEPS, &sweeps), table)?;
            Ok(Exit::Fine)
        }
        SweepCommand::Show(args) => {
            let detail = fetch(&client, &args.sweep).await?;
            show(args.format.format, &detail)?;
            Ok(matrix::exit(&detail.summary))
        }
        SweepCommand::Watch(args) => {
            let detail = fetch(&client, &args.sweep).await?;
            finish(&client, detail, args.format.format, global).await
        }
        SweepCommand::Cancel(args) => {
            let doing = format!("cancel sweep {}", args.sweep);
            let path = ["sweeps", &args.sweep, "cancel"];
            let detail: SweepDetail = client.post(&doing, &path, &serde_json::json!({})).await?;
            output::text(&format!("{}\n", headline(&detail)))?;
            Ok(Exit::Fine)
        }
    }
}

async fn start(client: &Client, args: RunArgs, global: &Global) -> anyhow::Result<Exit> {
    let request = SweepRequest {
        domain: args.domain,
        profile: args.profile,
        vantages: args.vantage,
        computers: args.computer,
        captures: args.capture,
    };
    let detail: SweepDetail = client.post("start a sweep", &["sweeps"], &request).await?;
    if args.wait {
        return finish(client, detail, args.format.format, global).await;
    }
    show(args.format.format, &detail)?;
    if args.format.format == Format::Table {
        output::note(&format!("watch it with: sekisho sweep watch {}", detail.summary.id));
    }
    Ok(Exit::Fine)
}

pub(super) async fn finish(
    client: &Client,
    detail: SweepDetail,
    format: Format,
    global: &Global,
) -> anyhow::Result<Exit> {
    let id = detail.summary.id;
    match watch::until_done(client, detail).await? {
        watch::End::Done => {
            matrix::show(client, &id.to_string(), &matrix::PlaceArgs::default(), format, global).await
        }
        watch::End::Interrupted => {
            output::note(&format!(
                "the sweep goes on; see it again with: sekisho sweep watch {id}, end it with: sekisho sweep cancel {id}"
            ));
            Ok(Exit::Failure)
        }
    }
}

/// One sweep with its jobs.
pub(super) async fn fetch(client: &Client, sweep: &str) -> Result<SweepDetail, super::client::ClientError> {
    client.get(&format!("show sweep {sweep}"), &["sweeps", sweep], &[]).await
}

pub(super) fn show(format: Format, detail: &SweepDetail) -> anyhow::Result<()> {
    let jobs = || output::columns(JOBS, &detail.jobs, "no jobs yet");
    let trace = detail.trace_id.as_ref().map(|id| format!("trace {id}\n")).unwrap_or_default();
    output::print(format, detail, (JOBS, &detail.jobs), || format!("{}\n{trace}{}", headline(detail), jobs()))
}

pub(super) fn headline(detail: &SweepDetail) -> String {
    let SweepSummary { id, state, profile, observed, missed, .. } = &detail.summary;
    let counts = match detail.phase {
        SweepPhase::Discovery => "looking for targets".to_owned(),
        SweepPhase::Checking | SweepPhase::Done => {
            let planned = detail.summary.planned_words();
            format!("{planned} planned, {observed} observed, {missed} missed")
        }
    };
    let note = detail.note.as_ref().map(|note| format!("\n{note}")).unwrap_or_default();
    format!("sweep {id} {}, profile {profile}: {counts}{note}", state.word())
}

/// Sweeps, as rows.
const SWEEPS: &[Column<SweepSummary>] = &[
    integer("id", |sweep| Some(sweep.id)),
    text("state", |sweep| Some(sweep.state.word().to_owned())),
    text("profile", |sweep| Some(sweep.profile.clone())),
    time("started_at", |sweep| Some(sweep.started_at)),
    time("finished_at", |sweep| sweep.finished_at),
    integer("planned", |sweep| Some(sweep.planned)),
    integer("observed", |sweep| Some(sweep.observed)),
    integer("missed", |sweep| Some(sweep.missed)),
];

/// Jobs of a sweep, as rows.
const JOBS: &[Column<JobSummary>] = &[
    text("vantage", |job| Some(job.vantage.clone())),
    text("kind", |job| Some(kind(job.kind).to_owned())),
    text("state", |job| Some(state(job.state).to_owned())),
    integer("planned", |job| Some(job.planned)),
    integer("observed", |job| Some(job.observed)),
    integer("missed", |job| Some(job.missed)),
    text("reason", |job| job.reason.clone()),
    text("probe", |job| word(job.probe)),
    flag("autonomous", |job| Some(job.autonomous)),
    time("handed_in_at", |job| job.handed_in_at),
];

const fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Discovery => "discovery",
        JobKind::Check => "check",
        JobKind::Vantage => "vantage",
    }
}

const fn state(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Assigned => "assigned",
        JobState::Finished => "finished",
    }
}
