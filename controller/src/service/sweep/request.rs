//! What a sweep is asked to do.

use std::collections::BTreeSet;

use sekisho_domain::{Capture, profile::Contents};
use sekisho_model::{CheckKind, ComputerName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::service::{Error, Result};

/// Most computers that a sweep is asked to look for besides those of the inventory. More are refused.
const COMPUTERS: usize = 64;
/// Most flows whose packets a sweep is asked to keep. More are refused.
const CAPTURES: usize = 16;

/// What to sweep. What is not named means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SweepRequest {
    /// Only this domain.
    pub domain: Option<String>,
    /// Name of the profile; `domain-join` when absent.
    pub profile: Option<String>,
    /// Only these vantages.
    pub vantages: Vec<String>,
    /// Look for the accounts of these computers too, besides those of the inventory: names without domain. At most 64.
    pub computers: Vec<String>,
    /// Keep the packets of these flows in a file on each probe's own host: `TARGET/SERVICE`, such as
    /// `dc1.corp.example/smb`. At most 16.
    pub captures: Vec<String>,
}

/// The names of computers to look for, as accounts have them, each once.
pub(super) fn computers(names: &[String], profile: &str, contents: &Contents) -> Result<Vec<String>> {
    at_most("computers", names.len(), COMPUTERS)?;
    if !names.is_empty() && !contents.checks.contains(&CheckKind::ComputerAccount) {
        return Err(Error::Invalid(format!(
            "profile {profile} looks for no computer; profiles domain-join and full do"
        )));
    }
    let names = names.iter().map(|name| name.parse::<ComputerName>());
    let names: BTreeSet<_> =
        names.collect::<std::result::Result<_, _>>().map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(names.iter().map(ToString::to_string).collect())
}

/// The flows whose packets are to be kept.
pub(super) fn captures(flows: &[String], profile: &str, contents: &Contents) -> Result<Vec<String>> {
    at_most("captures", flows.len(), CAPTURES)?;
    let parsed = |flow: &String| {
        let capture: Capture = flow.parse().map_err(Error::Invalid)?;
        let service = capture.service();
        if !contents.services.contains(&service) {
            return Err(Error::Invalid(format!("profile {profile} does not test {service}")));
        }
        Ok(capture.to_string())
    };
    flows.iter().map(parsed).collect()
}

fn at_most(what: &str, count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(Error::Invalid(format!("{count} {what}; a sweep has at most {most}")));
    }
    Ok(())
}
