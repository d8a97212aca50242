//! `sekisho history`.

use clap::Args;

use super::{
    Exit,
    client::Client,
    connection::Global,
    output::{self, FormatArg, Rows, time},
};
use crate::service::HistorySpan;

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
    let most = limit.to_string();
    let query = [("vantage", &*vantage), ("target", &*target), ("service", &*service), ("limit", &*most)];
    let client = Client::new(global)?;
    let spans: Vec<HistorySpan> = client.get("show the history", &["history"], &query).await?;
    let flow = format!("{service} of {target} from {vantage}");
    output::print(format.format, &spans, || rows(&spans, "", |at| at.to_string()), || table(&flow, &spans))?;
    if spans.len() >= usize::try_from(limit)? {
        output::note(&format!("these are the newest {limit} spans; --limit shows more"));
    }
    Ok(Exit::Fine)
}

/// A sentence, and the spans that it is taken from.
fn table(flow: &str, spans: &[HistorySpan]) -> String {
    let Some(sentence) = sentence(spans) else {
        return format!("{flow}: never tested\n");
    };
    format!("{flow}: {sentence}\n\n{}", output::columns(&rows(spans, "-", time), ""))
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

fn rows(spans: &[HistorySpan], none: &str, show_time: impl Fn(jiff::Timestamp) -> String) -> Rows {
    let row = |span: &HistorySpan| {
        vec![
            span.outcome.to_string(),
            span.by.map_or_else(|| none.to_owned(), |by| by.to_string()),
            show_time(span.first_seen),
            show_time(span.last_seen),
            span.sweeps.to_string(),
        ]
    };
    Rows {
        header: vec!["outcome", "by", "first_seen", "last_seen", "sweeps"],
        rows: spans.iter().map(row).collect(),
    }
}

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
        let text = table("smb of dc1 from vlan20", &spans);
        let said = "smb of dc1 from vlan20: open since 2026-11-01 02:00:07Z, 24 sweeps; before that rejected by 10.77.20.1\n\n";
        assert!(text.starts_with(said), "{text}");
        assert_eq!(text.lines().count(), 5, "{text}");
        let only = sentence(&spans[1..]).unwrap();
        assert_eq!(only, "rejected by 10.77.20.1 since 2026-10-01 02:00:07Z, 1 sweep");
        assert_eq!(table("smb of dc1 from vlan20", &[]), "smb of dc1 from vlan20: never tested\n");
        let rows = rows(&spans, "", |at| at.to_string());
        assert_eq!(rows.rows[0], ["open", "", "2026-11-01T02:00:07Z", "2026-11-24T02:00:09Z", "24"]);
    }
}
