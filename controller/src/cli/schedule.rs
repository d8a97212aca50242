//! `sekisho schedule ...`.

mod draw;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};

use super::{
    Exit,
    client::Client,
    connection::Global,
    output::{self, Format, FormatArg},
    sweep,
};
use crate::service::{PauseRequest, ScheduleDetail, ScheduleSummary, SweepDetail, SweepForecast};

#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// List every schedule of the inventory, its next run and what became of its last one.
    #[command(after_help = "Examples:\n  sekisho schedule list\n  sekisho schedule list --format csv")]
    List(FormatArg),
    /// Show one schedule: its rules in words, its next runs, and what became of the last ones.
    #[command(
        after_help = "CSV has the last runs.\n\nExamples:\n  sekisho schedule show nightly\n  sekisho schedule show nightly --format json | jq '.runs[] | select(.state != \"started\") | {due_at, reason, detail}'"
    )]
    Show(ShowArgs),
    /// Start a sweep with the settings of a schedule at once, or tell what it would test.
    #[command(
        after_help = "Neither a pause nor a blackout keeps you from it; a sweep of the schedule that has not ended does.\n\nExit status 3 with --wait: the sweep ended with missed flows or checks. With --dry-run: a vantage has no connected probe, or the window is too short where every flow is silent.\n\nExamples:\n  sekisho schedule run nightly --dry-run\n  sekisho schedule run nightly --wait\n  sekisho schedule run nightly --dry-run --format json | jq '.vantages[] | select(.live_probes == 0) | .vantage'"
    )]
    Run(RunArgs),
    /// Let a schedule start nothing, for a time or until it is resumed. What is running goes on.
    #[command(
        after_help = "Runs that are due meanwhile are skipped and recorded. A time without an offset is one of the schedule's zone; a date is its beginning.\n\nExamples:\n  sekisho schedule pause nightly\n  sekisho schedule pause nightly --until 2026-12-31 --reason \"core switch upgrade\"\n  sekisho schedule pause nightly --until \"2026-12-31 08:00\""
    )]
    Pause(PauseArgs),
    /// End the pause of a schedule.
    #[command(after_help = "Examples:\n  sekisho schedule resume nightly")]
    Resume(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Name of the schedule.
    name: String,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Name of the schedule.
    name: String,
    /// Start nothing: tell what would be tested, from where, and how long it takes.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Show the progress, and the matrix at the end.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// Name of the schedule.
    name: String,
    /// Until then; without it until somebody resumes.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why, for those who find it paused.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(command: ScheduleCommand, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    match command {
        ScheduleCommand::List(FormatArg { format }) => {
            let schedules: Vec<ScheduleSummary> =
                client.get("list the schedules", &["schedules"], &[]).await?;
            let none = "no schedules; add a [[schedule]] to the inventory";
            output::print(format, &schedules, (draw::SCHEDULES, &schedules), || {
                output::columns(draw::SHORT, &schedules, none)
            })?;
            Ok(Exit::Fine)
        }
        ScheduleCommand::Show(args) => {
            let doing = format!("show schedule {}", args.name);
            let detail: ScheduleDetail = client.get(&doing, &["schedules", &args.name], &[]).await?;
            show(args.format.format, &detail)
        }
        ScheduleCommand::Run(args) if args.dry_run => forecast(&client, &args).await,
        ScheduleCommand::Run(args) => start(&client, &args, global).await,
        ScheduleCommand::Pause(args) => {
            let request = PauseRequest { until: args.until, reason: args.reason };
            let doing = format!("pause schedule {}", args.name);
            let path = ["schedules", &args.name, "pause"];
            let detail: ScheduleDetail = client.post(&doing, &path, &request).await?;
            state(args.format.format, &detail)
        }
        ScheduleCommand::Resume(args) => {
            let doing = format!("resume schedule {}", args.name);
            let path = ["schedules", &args.name, "resume"];
            let detail: ScheduleDetail = client.post(&doing, &path, &serde_json::json!({})).await?;
            state(args.format.format, &detail)
        }
    }
}

async fn start(client: &Client, args: &RunArgs, global: &Global) -> anyhow::Result<Exit> {
    let doing = format!("run schedule {}", args.name);
    let path = ["schedules", &args.name, "run"];
    let detail: SweepDetail = client.post(&doing, &path, &serde_json::json!({})).await?;
    let format = args.format.format;
    if args.wait {
        return sweep::finish(client, detail, format, global).await;
    }
    sweep::show(format, &detail)?;
    if format == Format::Table {
        output::note(&format!("watch it with: sekisho sweep watch {}", detail.summary.id));
    }
    Ok(Exit::Fine)
}

async fn forecast(client: &Client, args: &RunArgs) -> anyhow::Result<Exit> {
    let doing = format!("tell what schedule {} would test", args.name);
    let path = ["schedules", &args.name, "forecast"];
    let forecast: SweepForecast = client.get(&doing, &path, &[]).await?;
    output::print(args.format.format, &forecast, (draw::VANTAGES, &forecast.vantages), || {
        draw::forecast(&forecast)
    })?;
    Ok(draw::exit(&forecast))
}

fn show(format: Format, detail: &ScheduleDetail) -> anyhow::Result<Exit> {
    output::print(format, detail, (draw::RUNS, &detail.runs), || draw::detail(detail))?;
    Ok(Exit::Fine)
}

/// What a pause or its end comes to.
fn state(format: Format, detail: &ScheduleDetail) -> anyhow::Result<Exit> {
    let summaries = std::slice::from_ref(&detail.summary);
    output::print(format, detail, (draw::SCHEDULES, summaries), || draw::headline(&detail.summary))?;
    Ok(Exit::Fine)
}
