//! `sekisho export history`.

use clap::Args;
use jiff::Timestamp;

use super::destination::Output;
use crate::{
    cli::{
        Exit,
        client::Client,
        connection::Global,
        history::{FLOW_SPANS, FlowSpan},
        matrix::PlaceArgs,
        time,
    },
    service::{FlowName, SpanPage},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only flows to this target: a host name or an address.
    #[arg(long, value_name = "T")]
    target: Option<String>,
    /// Only this service.
    #[arg(long, value_name = "S")]
    service: Option<String>,
    /// Only spans that were seen at this time or later: "2026-11-01 02:00", 2026-11-01 (its beginning), or 2026-11-01T02:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time::parse_since)]
    since: Option<Timestamp>,
    #[command(flatten)]
    pub(super) to: Output,
}

pub(super) async fn run(args: &HistoryArgs, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    let mut sheet = args.to.sheet(FLOW_SPANS)?;
    let since = args.since.map(|since| since.to_string());
    let mut after: Option<String> = None;
    loop {
        // One vantage at a time, so that neither side ever holds the whole history.
        let own = [
            ("target", args.target.as_deref()),
            ("service", args.service.as_deref()),
            ("since", since.as_deref()),
            ("after", after.as_deref()),
        ];
        let own: Vec<(&str, &str)> =
            own.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let page: SpanPage = client.get("export the history", &["spans"], &args.place.with(&own)).await?;
        let Some(vantage) = page.vantage else { break };
        for spanned in page.spans {
            let flow =
                FlowName { vantage: vantage.clone(), target: spanned.target, service: spanned.service };
            sheet.row(&FlowSpan { flow, span: spanned.span })?;
        }
        after = Some(vantage);
    }
    sheet.finish()?.finish()?;
    Ok(Exit::Fine)
}
