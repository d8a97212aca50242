//! What was found against what is true.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use sekisho_lab::Expectation;
use sekisho_model::{Cell, Service};

/// A flow that was judged wrongly.
#[derive(Debug)]
pub struct Difference(String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares the cells of a vantage with the truth: outcome, and the device that refuses where it is known.
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
    }
    if found.len() != truth.len() {
        differences.push(Difference(format!("{} cells for {} flows", found.len(), truth.len())));
    }
    differences
}
