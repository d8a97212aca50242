//! What was found against what is true.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use anyhow::Context;
use sekisho_lab::{Expectation, ExpectedCheck, WantedFacts, unmet};
use sekisho_model::{Cell, Check, Facts, Service};

/// A flow that was judged wrongly.
#[derive(Debug)]
pub struct Difference(String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares the cells of a vantage with the truth: outcome, the device that refuses where it is known, and facts.
#[must_use]
pub fn compare(truth: &[Expectation], cells: &[Cell]) -> Vec<Difference> {
    let found: BTreeMap<(IpAddr, Service), &Cell> =
        cells.iter().map(|cell| ((cell.address, cell.service), cell)).collect();
    let mut differences = Vec::new();
    for row in truth {
        let flow = format!("{} → {} {}", row.vantage, row.target, row.service);
        let Some(cell) = found.get(&(row.address.into(), row.service)) else {
            differences.push(Difference(format!("{flow}: no cell")));
            continue;
        };
        let by = row.by.map(IpAddr::from);
        if cell.outcome != row.outcome || (by.is_some() && cell.by != by) {
            differences.push(Difference(format!(
                "{flow}: true is {} by {by:?}, found {} by {:?}; facts {:?}; evidence {:?}",
                row.outcome, cell.outcome, cell.by, cell.facts, cell.evidence
            )));
        }
        differences.extend(facts(&flow, &row.facts, &cell.facts));
    }
    if found.len() != truth.len() {
        differences.push(Difference(format!("{} cells for {} flows", found.len(), truth.len())));
    }
    differences
}

/// Compares the checks of a vantage with the truth: status and facts. `found` is what concerns one target.
#[must_use]
pub fn compare_checks(truth: &[ExpectedCheck], found: &[Check]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for row in truth {
        let what = format!("{} → {} {}", row.vantage, row.target.as_deref().unwrap_or("-"), row.check);
        let Some(check) = found.iter().find(|check| check.check == row.check) else {
            differences.push(Difference(format!("{what}: not done")));
            continue;
        };
        if check.status != row.status {
            let text =
                format!("{what}: true is {}, found {}; facts {:?}", row.status, check.status, check.facts);
            differences.push(Difference(text));
        }
        differences.extend(facts(&what, &row.facts, &check.facts));
    }
    differences
}

/// How often a truth is checked: `SEKISHO_TRUTH_RUNS`, or 20 times.
///
/// # Errors
/// It is not a number.
pub fn runs() -> anyhow::Result<u32> {
    std::env::var("SEKISHO_TRUTH_RUNS")
        .map_or(Ok(20), |runs| runs.parse().context("SEKISHO_TRUTH_RUNS is not a number"))
}

/// The facts that are not as they must be.
fn facts(what: &str, wanted: &WantedFacts, found: &Facts) -> Vec<Difference> {
    unmet(wanted, found)
        .map(|(name, wanted, is)| {
            let is = is.map_or_else(|| "missing".to_owned(), ToString::to_string);
            Difference(format!("{what}: fact {name} must be {wanted} and is {is}; facts {found:?}"))
        })
        .collect()
}
