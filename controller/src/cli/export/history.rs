//! `sekisho export history`.

use clap::Args;
use jiff::Timestamp;

use super::destination::Output;
use crate::cli::{
    Exit,
    client::Client,
    connection::Global,
    history::{FLOW_SPANS, FlowSpan, fetch},
    output,
};
use crate::service::FlowName;

/// Most spans that a controller tells of one flow.
const MOST: u32 = 10_000;

#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    /// Name of the vantage.
    #[arg(long, value_name = "V")]
    vantage: String,
    /// Host name or address of the target.
    #[arg(long, value_name = "T")]
    target: String,
    /// Name of the service.
    #[arg(long, value_name = "S")]
    service: String,
    /// Only spans that were seen at this time or later, such as 2026-11-01T00:00:00+09:00.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    #[command(flatten)]
    pub(super) to: Output,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!(
            "\"{text}\" is no time with its offset; write 2026-11-01T00:00:00Z or 2026-11-01T00:00:00+09:00"
        )
    })
}

pub(super) async fn run(args: &HistoryArgs, global: &Global) -> anyhow::Result<Exit> {
    let HistoryArgs { vantage, target, service, since, to } = args;
    let flow = FlowName { vantage: vantage.clone(), target: target.clone(), service: service.clone() };
    let client = Client::new(global)?;
    let mut sheet = to.sheet(FLOW_SPANS)?;
    let spans = fetch(&client, "export the history", &flow, MOST).await?;
    let is_all = spans.len() < usize::try_from(MOST)?;
    for span in spans.into_iter().filter(|span| since.is_none_or(|since| span.last_seen >= since)) {
        sheet.row(&FlowSpan { flow: flow.clone(), span })?;
    }
    sheet.finish()?.finish()?;
    if !is_all {
        output::note(&format!("these are the newest {MOST} spans; there may be older ones"));
    }
    Ok(Exit::Fine)
}
