//! `sekisho alert`.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::{
    Exit,
    client::Client,
    connection::Global,
    output::{self, FormatArg},
    table::{Column, integer, text, time, word},
};
use crate::{
    http::ChannelTest,
    service::{AlertState, AlertSummary, NoticeState, NoticeSummary},
};

/// How long a test may take: longer than an attempt.
const PATIENCE: Duration = Duration::from_secs(40);
/// Pause between two looks at what became of it.
const PAUSE: Duration = Duration::from_millis(200);

/// What sweeps found that somebody has to know, and who was told.
#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// List alerts, newest first, with what became of their notices.
    List(ListArgs),
    /// Send a test to a channel of the configuration, and wait for what becomes of it.
    Test(TestArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "An alert is open until a sweep shows that it is over; \"held\" is one that came back soon after, and was not told again.\n\nExit status: 2 an alert of the list is not over.\n\nExamples:\n  sekisho alert list\n  sekisho alert list --all --limit 20\n  sekisho alert list --all --format json | jq '.[] | .notices[] | select(.state == \"failed\")'"
)]
pub(super) struct ListArgs {
    /// Those that are not over (the default).
    #[arg(long, conflicts_with = "all")]
    open: bool,
    /// Those that are over as well.
    #[arg(long)]
    all: bool,
    /// At most this many, the newest.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The channel is an [[alert]] table of the controller's configuration file (sekisho serve --config FILE).\n\nExamples:\n  sekisho alert test --channel operators"
)]
pub(super) struct TestArgs {
    /// Name of the channel.
    #[arg(long, value_name = "NAME")]
    channel: String,
}

pub(super) async fn run(command: AlertCommand, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    match command {
        AlertCommand::List(args) => list(&client, &args).await,
        AlertCommand::Test(args) => test(&client, args.channel).await,
    }
}

async fn list(client: &Client, args: &ListArgs) -> anyhow::Result<Exit> {
    let (all, limit) = (args.all.to_string(), args.limit.to_string());
    let query = [("all", all.as_str()), ("limit", limit.as_str())];
    let alerts: Vec<AlertSummary> = client.get("list the alerts", &["alerts"], &query).await?;
    let none = if args.all { "no alerts" } else { "no open alerts" };
    output::print(args.format.format, &alerts, (ALERTS, &alerts), || output::columns(ALERTS, &alerts, none))?;
    let is_there = |alert: &AlertSummary| alert.state != AlertState::Over;
    Ok(if alerts.iter().any(is_there) { Exit::Found } else { Exit::Fine })
}

const ALERTS: &[Column<AlertSummary>] = &[
    integer("id", |alert| Some(alert.id)),
    text("state", |alert| {
        let state = match alert.state {
            AlertState::Open => "open",
            AlertState::Held => "held",
            AlertState::Over => "over",
        };
        Some(state.to_owned())
    }),
    text("kind", |alert| word(Some(alert.kind))),
    integer("flows", |alert| Some(alert.flows.into())),
    integer("sweep", |alert| Some(alert.sweep)),
    time("opened", |alert| Some(alert.opened_at)),
    time("resolved", |alert| alert.resolved_at),
    text("told", |alert| Some(deliveries(&alert.notices))),
    text("summary", |alert| Some(alert.summary.clone())),
];

/// `operators sent; mail failed (it answered 503)`: of each channel its newest notice, and any that failed.
fn deliveries(notices: &[NoticeSummary]) -> String {
    let mut told: Vec<String> = Vec::new();
    for (place, notice) in notices.iter().enumerate() {
        let is_newest = !notices.iter().take(place).any(|newer| newer.channel == notice.channel);
        let error = notice.error.as_deref().unwrap_or("no reason");
        match notice.state {
            NoticeState::Failed => told.push(format!("{} failed ({error})", notice.channel)),
            NoticeState::Sent if is_newest => told.push(format!("{} sent", notice.channel)),
            NoticeState::Waiting if is_newest && notice.attempts > 0 => {
                told.push(format!("{} waiting after {} attempts ({error})", notice.channel, notice.attempts));
            }
            NoticeState::Waiting if is_newest => told.push(format!("{} waiting", notice.channel)),
            NoticeState::Sent | NoticeState::Waiting => {}
        }
    }
    if told.is_empty() { "nobody".to_owned() } else { told.join("; ") }
}

async fn test(client: &Client, channel: String) -> anyhow::Result<Exit> {
    let doing = format!("test channel {channel}");
    let request = ChannelTest { channel: channel.clone() };
    let asked: NoticeSummary = client.post(&doing, &["alerts", "test"], &request).await?;
    let (key, began) = (asked.key.to_string(), Instant::now());
    while began.elapsed() < PATIENCE {
        let notice: NoticeSummary = client.get(&doing, &["alerts", "notices", &key], &[]).await?;
        match notice.state {
            NoticeState::Sent => {
                output::text(&format!("channel {channel}: delivered, key {key}\n"))?;
                return Ok(Exit::Fine);
            }
            NoticeState::Failed => {
                let why = notice.error.unwrap_or_default();
                return Err(anyhow!("channel {channel} did not take the test: {why}"));
            }
            NoticeState::Waiting => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(anyhow!(
        "channel {channel}: nothing is known of the test after {} s; is a controller with this channel running?",
        PATIENCE.as_secs()
    ))
}
