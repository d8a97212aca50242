//! `sekisho history`.

use clap::Args;

use super::{
    Exit,
    client::{Client, ClientError},
    connection::Global,
    output::{self, FormatArg, time},
    table::{self, Column, address, integer, text, word},
};
use crate::service::{FlowName, HistorySpan};

/// Show since when a flow is as it is, and what it was before.
#[derive(Debug, Args)]
#[command(
    after_help = "A span is a run of sweeps with the same outcome, refused by the same device. Sweeps that could not test the\nflow (failed, missed) neither end a span nor count in it.\n\nExamples:\n  sekisho history --vantage vlan20 --target dc1.corp.example --service smb\n  sekisho history --vantage vlan20 --target 10.77.1.10 --service tcp/8443 --format csv\n  sekisho history --vantage vlan20 --target dc1.corp.example --service ldap --format json | jq '.[0].first_seen'"
)]
pub(super) struct HistoryArgs {
    /// Name of the vantage.
    #[arg(long, value_name = "V")]
    vantage: String,
    /// Host name or address of the target.
    #[arg(long, value_name = "T")]
    target: String,
    /// Name of the service.
    #[arg(long, value_name = "S")]
    service: String,
    /// At most this many spans, the newest.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(args: HistoryArgs, global: &Global) -> anyhow::Result<Exit> {
    let HistoryArgs { vantage, target, service, limit, format } = args;
    let name = FlowName { vantage, target, service };
    let spans = fetch(&Client::new(global)?, "show the history", &name, limit).await?;
    let rows = spans.iter().map(|span| FlowSpan { flow: name.clone(), span: span.clone() });
    output::print(format.format, &spans, (SPANS, rows), || drawn(&name, &spans))?;
    if spans.len() >= usize::try_from(limit)? {
        output::note(&format!("these are the newest {limit} spans; --limit shows more"));
    }
    Ok(Exit::Fine)
}

/// The newest spans of a flow, newest first.
pub(super) async fn fetch(
    client: &Client,
    doing: &str,
    FlowName { vantage, target, service }: &FlowName,
    limit: u32,
) -> Result<Vec<HistorySpan>, ClientError> {
    let most = limit.to_string();
    let query = [("vantage", &**vantage), ("target", &**target), ("service", &**service), ("limit", &*most)];
    client.get(doing, &["history"], &query).await
}

/// A sentence, and the spans that it is taken from.
fn drawn(name: &FlowName, spans: &[HistorySpan]) -> String {
    let flow = format!("{} of {} from {}", name.service, name.target, name.vantage);
    let Some(sentence) = sentence(spans) else {
        return format!("{flow}: never tested\n");
    };
    let rows = spans.iter().map(|span| FlowSpan { flow: name.clone(), span: span.clone() });
    format!("{flow}: {sentence}\n\n{}", output::columns(SPANS, rows, ""))
}

/// `open since 2026-11-01 02:00:07Z, 24 sweeps; before that rejected by 10.77.20.1`
fn sentence(spans: &[HistorySpan]) -> Option<String> {
    let newest = spans.first()?;
    let count = newest.sweeps;
    let sweeps = if count == 1 { "sweep" } else { "sweeps" };
    let since = format!("{} since {}, {count} {sweeps}", words(newest), time(newest.first_seen));
    let before = spans.get(1).map(|span| format!("; before that {}", words(span)));
    Some(since + &before.unwrap_or_default())
}

fn words(span: &HistorySpan) -> String {
    let by = span.by.map(|by| format!(" by {by}"));
    format!("{}{}", span.outcome, by.unwrap_or_default())
}

/// A span, and the flow that it is of.
pub(super) struct FlowSpan {
    pub(super) flow: FlowName,
    pub(super) span: HistorySpan,
}

/// Spans of any flow, as rows.
pub(super) const FLOW_SPANS: &[Column<FlowSpan>] = &[
    text("vantage", |row| Some(row.flow.vantage.clone())),
    text("target", |row| Some(row.flow.target.clone())),
    text("service", |row| Some(row.flow.service.clone())),
    text("outcome", |row| word(Some(row.span.outcome))),
    address("by", |row| word(row.span.by)),
    table::time("first_seen", |row| Some(row.span.first_seen)),
    table::time("last_seen", |row| Some(row.span.last_seen)),
    integer("sweeps", |row| Some(row.span.sweeps)),
];

/// The same without the flow, for those who named one.
const SPANS: &[Column<FlowSpan>] = FLOW_SPANS.split_at(3).1;

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(json: serde_json::Value) -> Vec<HistorySpan> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_sentence_says_since_when_and_what_was_before() {
        let spans = spans(serde_json::json!([
            {"outcome": "open", "by": null, "first_seen": "2026-11-01T02:00:07Z", "last_seen": "2026-11-24T02:00:09Z", "sweeps": 24},
            {"outcome": "rejected", "by": "10.77.20.1", "first_seen": "2026-10-01T02:00:07Z", "last_seen": "2026-10-31T02:00:05Z", "sweeps": 1},
        ]));
        let name = FlowName { vantage: "vlan20".into(), target: "dc1".into(), service: "smb".into() };
        let text = drawn(&name, &spans);
        let said = "smb of dc1 from vlan20: open since 2026-11-01 02:00:07Z, 24 sweeps; before that rejected by 10.77.20.1\n\n";
        assert!(text.starts_with(said), "{text}");
        assert_eq!(text.lines().count(), 5, "{text}");
        let only = sentence(&spans[1..]).unwrap();
        assert_eq!(only, "rejected by 10.77.20.1 since 2026-10-01 02:00:07Z, 1 sweep");
        assert_eq!(drawn(&name, &[]), "smb of dc1 from vlan20: never tested\n");
        let csv =
            output::csv(SPANS, spans.iter().map(|span| FlowSpan { flow: name.clone(), span: span.clone() }));
        let newest =
            "outcome,by,first_seen,last_seen,sweeps\nopen,,2026-11-01T02:00:07Z,2026-11-24T02:00:09Z,24\n";
        assert!(csv.starts_with(newest), "{csv}");
    }
}
