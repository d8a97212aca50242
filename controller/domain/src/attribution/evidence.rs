//! What a sweep says about one of its blocked flows.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sekisho_model::{Cell, Fact, Outcome, Service, Transport};

use super::{Between, Control, ControlKind};

/// From so many silent services on a vantage counts as cut off, rather than a service as filtered.
const CUT_OFF: usize = 4;

type Target<'a> = (&'a str, IpAddr);

fn target(cell: &Cell) -> Target<'_> {
    (&cell.target, cell.address)
}

/// What a vantage got back.
#[derive(Default)]
struct Returns {
    /// Something came back, from anybody.
    any: bool,
    services: BTreeSet<Service>,
}

/// The flows of a sweep, by what they have in common.
#[derive(Default)]
pub(super) struct Sweep<'a> {
    open_by_service: BTreeMap<(Target<'a>, Service), Vec<&'a Cell>>,
    open_by_pair: BTreeMap<(&'a str, Target<'a>), Vec<&'a Cell>>,
    open_by_vantage: BTreeMap<&'a str, Vec<&'a Cell>>,
    open_by_target: BTreeMap<Target<'a>, Vec<&'a Cell>>,
    /// Vantages with an outcome.
    outcomes: BTreeMap<(Target<'a>, Service, Outcome), BTreeSet<&'a str>>,
    returns: BTreeMap<&'a str, Returns>,
    answering: BTreeSet<Target<'a>>,
}

impl<'a> Sweep<'a> {
    pub(super) fn of(cells: impl Iterator<Item = &'a Cell>) -> Self {
        let mut sweep = Self::default();
        for cell in cells {
            sweep.note(cell);
        }
        sweep
    }

    fn note(&mut self, cell: &'a Cell) {
        let (vantage, target) = (cell.vantage.as_str(), target(cell));
        if cell.outcome == Outcome::Open {
            self.open_by_service.entry((target, cell.service)).or_default().push(cell);
            self.open_by_pair.entry((vantage, target)).or_default().push(cell);
            self.open_by_vantage.entry(vantage).or_default().push(cell);
            self.open_by_target.entry(target).or_default().push(cell);
        }
        self.outcomes.entry((target, cell.service, cell.outcome)).or_default().insert(vantage);
        if is_of_target(cell) {
            self.answering.insert(target);
        }
        let returns = self.returns.entry(vantage).or_default();
        returns.any |= is_of_target(cell) || cell.outcome == Outcome::Rejected || is_heard(cell);
        if cell.outcome.is_blocked() {
            returns.services.insert(cell.service);
        }
    }

    pub(super) fn evidence(&self, cell: &'a Cell) -> Evidence<'a> {
        let (vantage, target) = (cell.vantage.as_str(), target(cell));
        let elsewhere = |open: &&&Cell| open.vantage != cell.vantage;
        let same_service = self.open_by_service.get(&(target, cell.service));
        let returns = self.returns.get(vantage);
        let agreeing = self.outcomes.get(&(target, cell.service, cell.outcome));
        let text = |name: &str| match cell.facts.get(name) {
            Some(Fact::Text(text)) => text.as_str(),
            Some(Fact::Flag(_) | Fact::Integer(_)) | None => "",
        };
        let flag = |name: &str| cell.facts.get(name) == Some(&Fact::Flag(true));
        let between = between(cell);
        let is_udp = cell.transport == Transport::Udp;
        Evidence {
            outcome: cell.outcome,
            same_service: same_service.and_then(|open| open.iter().find(elsewhere)).copied(),
            other_service: self
                .open_by_pair
                .get(&(vantage, target))
                .and_then(|open| open.iter().find(|open| open.service != cell.service))
                .copied(),
            other_target: self
                .open_by_vantage
                .get(vantage)
                .and_then(|open| open.iter().find(|open| self::target(open) != target))
                .copied(),
            other_vantage: self
                .open_by_target
                .get(&target)
                .and_then(|open| open.iter().find(elsewhere))
                .copied(),
            between,
            place: place(between),
            is_cut_off: returns.is_some_and(|r| !r.any && r.services.len() >= CUT_OFF),
            is_agreed: agreeing.is_some_and(|vantages| vantages.len() > 1) && same_service.is_none(),
            target_answers: self.answering.contains(&target),
            is_from_device: cell.by.is_some(),
            is_from_target: cell.by == Some(cell.address),
            // ICMP, and ICMPv6 "address unreachable".
            is_host_unreachable: ["(3/1)", "(1/3)"].iter().any(|code| text("icmp").ends_with(code)),
            is_own_refusal: text("rst-origin") == "target" || (is_udp && text("rst-origin").is_empty()),
            is_near_refusal: text("rst-origin") == "target-or-last-hop",
            is_proxied: flag("syn-proxy"),
            is_data_dropped: text("data") == "dropped",
            is_without_certificate: flag("no-certificate"),
        }
    }
}

/// Whether an answer came that passes for the target's own.
fn is_of_target(cell: &Cell) -> bool {
    matches!(cell.outcome, Outcome::Open | Outcome::Closed | Outcome::Mute | Outcome::Wrong)
}

/// Whether a device answered, be it about something else.
fn is_heard(cell: &Cell) -> bool {
    cell.by.is_some() || ["last-hop", "next-hop", "icmp"].iter().any(|name| cell.facts.contains_key(*name))
}

/// Where a flow ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Between two devices, before the target.
    OnTheWay,
    /// At the last router, or at the target.
    LastHopOrTarget,
    /// At the target: no router is before it.
    Target,
    /// It is not known, or only how far packets get at least.
    Unlocated,
}

fn between(cell: &Cell) -> Option<Between> {
    let hop = |name: &str| cell.facts.get(name).and_then(|hop| hop.to_string().parse().ok());
    let (last_hop, next_hop) = (hop("last-hop"), hop("next-hop"));
    let is_end = cell.facts.contains_key("filter-at");
    (last_hop.is_some() || next_hop.is_some()).then_some(Between { last_hop, next_hop, is_end })
}

fn place(between: Option<Between>) -> Place {
    match between {
        Some(Between { is_end: true, last_hop: Some(_), .. }) => Place::LastHopOrTarget,
        Some(Between { is_end: true, next_hop: Some(_), .. }) => Place::Target,
        Some(Between { is_end: false, next_hop: Some(_), .. }) => Place::OnTheWay,
        Some(_) | None => Place::Unlocated,
    }
}

/// What is known of one blocked flow.
pub(super) struct Evidence<'a> {
    pub(super) outcome: Outcome,
    same_service: Option<&'a Cell>,
    other_service: Option<&'a Cell>,
    other_target: Option<&'a Cell>,
    other_vantage: Option<&'a Cell>,
    pub(super) between: Option<Between>,
    pub(super) place: Place,
    /// Nothing came back to the vantage in the whole sweep.
    pub(super) is_cut_off: bool,
    /// Another vantage has the same outcome, and none has the service open.
    pub(super) is_agreed: bool,
    /// The target answered some vantage in some way.
    pub(super) target_answers: bool,
    /// A device is known that said so.
    pub(super) is_from_device: bool,
    /// It is the target itself.
    pub(super) is_from_target: bool,
    pub(super) is_host_unreachable: bool,
    /// The refusal is proven to be the target's.
    pub(super) is_own_refusal: bool,
    /// The refusal is the target's or the last hop's.
    pub(super) is_near_refusal: bool,
    pub(super) is_proxied: bool,
    pub(super) is_data_dropped: bool,
    pub(super) is_without_certificate: bool,
}

impl Evidence<'_> {
    pub(super) fn has(&self, kind: ControlKind) -> bool {
        self.open(kind).is_some()
    }

    pub(super) fn control(&self, kind: ControlKind) -> Option<Control> {
        self.open(kind).map(|cell| Control {
            kind,
            vantage: cell.vantage.clone(),
            target: cell.target.clone(),
            address: cell.address,
            service: cell.service,
        })
    }

    fn open(&self, kind: ControlKind) -> Option<&Cell> {
        match kind {
            ControlKind::SameService => self.same_service,
            ControlKind::OtherService => self.other_service,
            ControlKind::OtherTarget => self.other_target,
            ControlKind::OtherVantage => self.other_vantage,
        }
    }
}
