//! Which flows a sweep would have had: only then their absence says something.

use std::{collections::BTreeSet, net::IpAddr};

use sekisho_model::{Cell, Service};
use serde::{Deserialize, Serialize};

use super::State;

/// What a sweep was asked to test. A flow of something that it was not asked for is untested in it, not gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Whether every flow is decided and every target was found: false while it runs, where it was cancelled before it was
    /// planned, and where a discovery had no answer. Then no absence says anything.
    pub is_whole: bool,
    /// The services that it tests.
    pub services: BTreeSet<Service>,
    /// Vantages that were in the inventory and that it was not asked for.
    pub other_vantages: BTreeSet<String>,
    /// Targets, by name and address, of domains that it was not asked for only.
    pub other_targets: BTreeSet<(String, IpAddr)>,
}

impl Scope {
    /// What the sweep knows of the flow of `like`, a cell of one of the two sides; `cell` is its own.
    pub(super) fn state(&self, cell: Option<&Cell>, like: &Cell) -> State {
        match cell {
            Some(cell) => State::of(cell.outcome),
            None if self.has(like) => State::Absent,
            None => State::Untested,
        }
    }

    fn has(&self, flow: &Cell) -> bool {
        self.is_whole
            && self.services.contains(&flow.service)
            && !self.other_vantages.contains(&flow.vantage)
            && !self.other_targets.contains(&(flow.target.clone(), flow.address))
    }
}
