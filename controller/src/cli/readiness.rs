//! `sekisho readiness`.

use std::fmt::Write;

use clap::{Args, builder::PossibleValuesParser};
use sekisho_domain::readiness::{Certainty, Finding, Readiness, Severity, Verdict, WindowsError};
use sekisho_model::table;

use super::{
    Exit,
    client::Client,
    connection::Global,
    diff::{headline, or},
    output::{self, FormatArg, Rows},
};
use crate::service::SweepReadiness;

/// Tell whether computers can join from a vantage, what Windows will answer, why, and what to do.
#[derive(Debug, Args)]
#[command(
    after_help = "Verdicts:\n  ready    a computer can join: every domain controller and every check is well\n  at-risk  it may: a domain controller fails, or something is not as it should be\n  blocked  it cannot: no domain controller serves what a join requires, or names are missing\n  unknown  what was not tested decides\n\nExit status, as the gate of a roll-out: 0 all are ready, 2 one is blocked or at risk (--allow at-risk lets the latter pass),\n3 none is, and one is unknown.\n\nExamples:\n  sekisho readiness\n  sekisho readiness --vantage vlan20 --domain corp.example --allow at-risk\n  sekisho readiness --lang ja\n  sekisho readiness --format json | jq -r '.[] | select(.verdict == \"blocked\") | .vantage'"
)]
pub(super) struct ReadinessArgs {
    /// Only this domain.
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// Only this vantage.
    #[arg(long, value_name = "V")]
    vantage: Option<String>,
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// End with 0 where this is the worst verdict.
    #[arg(long, value_name = "VERDICT", value_parser = ["at-risk"])]
    allow: Option<String>,
    /// Language of the findings: en or ja. As LANG says when absent.
    #[arg(long, value_name = "LANG", value_parser = PossibleValuesParser::new(["en", "ja"]))]
    lang: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(args: ReadinessArgs, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    let doing = format!("show the readiness by sweep {}", args.sweep);
    let lang = args.lang.as_deref().unwrap_or_else(|| output::language());
    let mut query = vec![("sweep", args.sweep.as_str()), ("lang", lang)];
    query.extend(args.vantage.as_deref().map(|vantage| ("vantage", vantage)));
    query.extend(args.domain.as_deref().map(|domain| ("domain", domain)));
    let found: SweepReadiness = client.get(&doing, &["readiness"], &query).await?;
    output::print(args.format.format, &found.readiness, || rows(&found.readiness), || report(&found))?;
    Ok(end(&found.readiness, args.allow.is_some()))
}

fn end(all: &[Readiness], allows_risk: bool) -> Exit {
    let has = |verdict| all.iter().any(|one| one.verdict == verdict);
    if has(Verdict::Blocked) || (has(Verdict::AtRisk) && !allows_risk) {
        Exit::Found
    } else if has(Verdict::Unknown) || all.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Fine
    }
}

/// One line for each finding.
fn rows(all: &[Readiness]) -> Rows {
    let row = |one: &Readiness, finding: &Finding| {
        vec![
            one.vantage.clone(),
            one.domain.clone(),
            one.verdict.to_string(),
            errors(&one.errors),
            finding.severity.word().to_owned(),
            finding.slug.clone(),
            finding.target.clone().unwrap_or_default(),
            or(finding.service, ""),
            finding.title.clone(),
            finding.action.clone(),
            or(one.checked_at, ""),
        ]
    };
    let none = |one: &Readiness| {
        let mut row = vec![String::new(); HEADER.len()];
        let known = [&one.vantage, &one.domain, one.verdict.word(), &errors(&one.errors)].map(str::to_owned);
        row.splice(..known.len(), known);
        if let Some(last) = row.last_mut() {
            *last = or(one.checked_at, "");
        }
        row
    };
    let of_one = |one: &Readiness| -> Vec<Vec<String>> {
        if one.findings.is_empty() {
            return vec![none(one)];
        }
        one.findings.iter().map(|finding| row(one, finding)).collect()
    };
    Rows { header: HEADER.to_vec(), rows: all.iter().flat_map(of_one).collect() }
}

const HEADER: [&str; 11] = [
    "vantage",
    "domain",
    "verdict",
    "errors",
    "severity",
    "slug",
    "target",
    "service",
    "title",
    "action",
    "checked_at",
];

/// `58 ERROR_BAD_NET_RESP; 53 ERROR_BAD_NETPATH (likely)`
fn errors(errors: &[WindowsError]) -> String {
    let words = |error: &WindowsError| {
        let hedge = if error.certainty == Certainty::Likely { " (likely)" } else { "" };
        format!("{} {}{hedge}", error.code, error.name)
    };
    errors.iter().map(words).collect::<Vec<_>>().join("; ")
}

fn report(found: &SweepReadiness) -> String {
    let mut out = format!("{}\n\n", headline(&found.sweep));
    let row = |one: &Readiness| {
        let expected = if one.errors.is_empty() { "-".to_owned() } else { errors(&one.errors) };
        let checked = output::maybe_time(one.checked_at);
        vec![one.vantage.clone(), one.domain.clone(), one.verdict.to_string(), checked, expected]
    };
    let summary = Rows {
        header: vec!["vantage", "domain", "verdict", "checked", "windows answers"],
        rows: found.readiness.iter().map(row).collect(),
    };
    out.push_str(&output::columns(&summary, "the sweep was asked for no vantage and no domain"));
    for one in &found.readiness {
        // What is good to know keeps nobody from joining, and stands in JSON and CSV.
        let findings: Vec<&Finding> = one.findings.iter().filter(|f| f.severity != Severity::Info).collect();
        if findings.is_empty() {
            continue;
        }
        let place = format!("{}, {}: {}", one.vantage, one.domain, one.verdict);
        _ = writeln!(out, "\n{}", table::plain(&place));
        for (place, finding) in findings.iter().enumerate() {
            _ = writeln!(out, "  {:<7}  {}", finding.severity.word(), table::plain(&finding.title));
            // What several findings ask for stands under the last of them.
            if findings.get(place.saturating_add(1)).is_none_or(|next| next.action != finding.action) {
                _ = writeln!(out, "           {}", table::plain(&finding.action));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(verdict: &str, severity: &str) -> Readiness {
        serde_json::from_value(serde_json::json!({
            "vantage": "vlan20", "domain": "corp.example", "verdict": verdict,
            "errors": [
                { "code": 58, "name": "ERROR_BAD_NET_RESP", "certainty": "documented" },
                { "code": 53, "name": "ERROR_BAD_NETPATH", "certainty": "likely" },
            ],
            "findings": [{
                "slug": "path-filter", "severity": severity, "target": "dc1", "service": "ldap",
                "title": "something blocks ldap", "action": "Permit it.", "evidence": {},
            }],
            "checked_at": "2026-11-20T02:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn the_worst_verdict_is_the_exit_status() {
        let of = |verdicts: &[&str]| verdicts.iter().map(|verdict| one(verdict, "info")).collect::<Vec<_>>();
        for (verdicts, allows_risk, exit) in [
            (&["ready", "ready"][..], false, Exit::Fine),
            (&["ready", "at-risk"], false, Exit::Found),
            (&["ready", "at-risk"], true, Exit::Fine),
            (&["blocked", "unknown"], true, Exit::Found),
            (&["unknown", "ready"], false, Exit::Incomplete),
            (&["unknown", "at-risk"], true, Exit::Incomplete),
            (&["unknown", "at-risk"], false, Exit::Found),
            (&[], false, Exit::Incomplete),
        ] {
            assert_eq!(end(&of(verdicts), allows_risk), exit, "{verdicts:?} {allows_risk}");
        }
    }

    #[test]
    fn the_report_tells_verdict_errors_findings_and_actions() {
        let sweep = serde_json::json!({
            "id": 3, "state": "complete", "profile": "domain-join", "started_at": "2026-11-20T02:00:00Z",
            "finished_at": "2026-11-20T02:01:00Z", "planned": 9, "observed": 9, "missed": 0,
        });
        let readiness = vec![one("blocked", "blocker"), one("ready", "info")];
        let found = SweepReadiness { sweep: serde_json::from_value(sweep).unwrap(), readiness };
        let expected = "\
sweep 3 complete, profile domain-join, started 2026-11-20 02:00:00Z: 9 flows planned, 9 observed, 0 missed

VANTAGE  DOMAIN        VERDICT  CHECKED               WINDOWS ANSWERS
vlan20   corp.example  blocked  2026-11-20 02:00:00Z  58 ERROR_BAD_NET_RESP; 53 ERROR_BAD_NETPATH (likely)
vlan20   corp.example  ready    2026-11-20 02:00:00Z  58 ERROR_BAD_NET_RESP; 53 ERROR_BAD_NETPATH (likely)

vlan20, corp.example: blocked
  blocker  something blocks ldap
           Permit it.
";
        assert_eq!(report(&found), expected);
    }

    #[test]
    fn rows_have_the_columns_of_their_header() {
        let mut bare = one("unknown", "info");
        bare.findings.clear();
        let rows = rows(&[one("blocked", "blocker"), bare]);
        assert!(rows.rows.iter().all(|row| row.len() == rows.header.len()));
        assert_eq!(
            (rows.rows[1][2].as_str(), rows.rows[1][10].as_str()),
            ("unknown", "2026-11-20T02:00:00Z")
        );
    }
}
