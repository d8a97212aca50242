//! From what was seen of a flow to its observation.

use std::net::IpAddr;

use jiff::Timestamp;
use sekisho_checks::{
    exchange,
    flow::{Ending, Signal},
};
use sekisho_model::{Fact, Facts, Outcome, Protocol};

use super::{
    Observed, Task,
    flow::{Outcome as Seen, Subject},
    origin::Origin,
    proxy::Handshake,
    target::{Refused, Tested},
    trace::Between,
};

/// The outcome of the attempts alone, a RST taken for the target's own.
pub(super) fn outcome_of(seen: &Seen, target: IpAddr) -> Outcome {
    match &seen.decision.signal {
        Some(Signal::Proven(_)) => Outcome::Open,
        Some(Signal::Wrong(_)) => Outcome::Wrong,
        Some(Signal::Ended(_)) => Outcome::Mute,
        Some(Signal::Icmp(error)) => {
            let local = seen.source.map(|source| source.ip());
            error.outcome(target, local).unwrap_or(Outcome::Filtered)
        }
        Some(Signal::Reset) => Outcome::Closed,
        Some(Signal::NoRoute(_)) => Outcome::Unreachable,
        Some(Signal::Local(_)) => Outcome::Failed,
        None => Outcome::Filtered,
    }
}

/// Order in which one of several ports of a service decides: what proves most comes first.
pub(super) fn rank(seen: &Seen, target: IpAddr) -> u8 {
    match outcome_of(seen, target) {
        Outcome::Open => 0,
        Outcome::Wrong => 1,
        Outcome::Mute => 2,
        Outcome::Rejected => 3,
        Outcome::Closed => 4,
        Outcome::Filtered => 5,
        Outcome::Unreachable => 6,
        Outcome::Failed | Outcome::Missed => 7,
    }
}

/// The outcome, with all that was found out besides the attempts.
pub(super) fn outcome(flow: &Tested, target: IpAddr) -> Outcome {
    match (outcome_of(&flow.seen, target), flow.origin) {
        (Outcome::Closed, Some(Origin::Device(_))) => Outcome::Rejected,
        // The handshake is all that there is, and something on the way makes it with everybody.
        (Outcome::Open, _) if is_doubtful(flow) => Outcome::Mute,
        (Outcome::Mute, _) if closes_as_a_sound_server_may(flow) => Outcome::Failed,
        // The service may be there and say nothing: then only a trace that ends on the way proves a filter.
        (Outcome::Filtered, _)
            if exchange::silence_proves_nothing(flow.task.service) && !ends_on_the_way(flow, target) =>
        {
            Outcome::Failed
        }
        (outcome, _) => outcome,
    }
}

/// Whether the flow is traced to an end before a router where another one to the same target goes on. One that may have
/// reached the target, past a last router that answers nobody, does not end on the way.
fn ends_on_the_way(flow: &Tested, target: IpAddr) -> bool {
    flow.between.is_some_and(|between| between.next_hop.is_some_and(|hop| hop != target) && !between.is_end)
}

/// Whether the connection was closed in order, before any of a reply, by a service of which that says nothing.
fn closes_as_a_sound_server_may(flow: &Tested) -> bool {
    let seen = &flow.seen;
    matches!(seen.decision.signal, Some(Signal::Ended(Ending::Eof)))
        && !seen.decision.attempt.is_some_and(|attempt| seen.evidence.has_heard(attempt))
        && exchange::close_proves_nothing(flow.task.service)
        && !is_doubtful(flow)
}

/// Whether the handshake may be somebody else's.
fn is_doubtful(flow: &Tested) -> bool {
    matches!(flow.handshake, Some(Handshake::Proxy(_) | Handshake::Suspect))
}

/// The observation of a flow.
pub(super) fn of(subject: &Subject, flow: Tested) -> Observed {
    let target = subject.target.address;
    let outcome = outcome(&flow, target);
    let by = by(&flow, outcome, target);
    let doubtful = is_doubtful(&flow);
    let mut facts = flow.facts;
    let mut fact = |name: &str, value: Fact| facts.insert(name.to_owned(), value);
    let decision = flow.seen.decision;
    if decision.intermittent || flow.spread.silent > 0 {
        fact("intermittent", true.into());
    }
    if flow.spread.silent > 0 {
        fact("attempts-answered", i64::from(flow.spread.answered).into());
        fact("attempts-silent", i64::from(flow.spread.silent).into());
    } else if decision.silent > 0 && decision.signal.is_some() {
        fact("silent-attempts", i64::from(decision.silent).into());
    }
    if let Some(device) = flow.rationing {
        fact("icmp-rationed-by", device.to_string().into());
    }
    if doubtful {
        fact("syn-proxy", true.into());
    }
    if let Some(origin) = flow.origin {
        fact("rst-origin", origin.word().into());
    }
    if let Some(between) = flow.between {
        located(between, &mut fact);
    }
    match decision.signal {
        Some(Signal::Proven(told) | Signal::Wrong(told)) => facts.extend(told),
        Some(Signal::Ended(ending)) => {
            ended(ending, flow.task.service.protocol(), &mut fact);
            if outcome == Outcome::Failed {
                fact("reason", "close-proves-nothing".into());
                fact(
                    "detail",
                    "the connection was closed without a reply, as a sound server may do, and a proxy".into(),
                );
            }
        }
        Some(Signal::Icmp(error)) => _ = fact("icmp", error.describe().into()),
        Some(Signal::NoRoute(why)) => _ = fact("local-error", why.into()),
        Some(Signal::Local(why)) => {
            fact("reason", "local".into());
            fact("detail", why.into());
        }
        None if outcome == Outcome::Failed => {
            fact("reason", "silence-proves-nothing".into());
            fact("detail", "no answer, and a sound server may give none to a port such as ours".into());
        }
        Some(Signal::Reset) | None => {}
    }
    observed(flow.task, outcome, by, flow.seen.rtt, facts, flow.seen.evidence)
}

/// The observation of a flow that could not be tested.
pub(super) fn of_refused(task: Task, refused: Refused) -> Observed {
    let Refused { outcome, facts, seen } = refused;
    observed(task, outcome, None, None, facts, seen.evidence)
}

fn observed(
    task: Task,
    outcome: Outcome,
    by: Option<IpAddr>,
    rtt: Option<std::time::Duration>,
    facts: Facts,
    evidence: super::evidence::Evidence,
) -> Observed {
    Observed {
        number: task.number,
        outcome,
        by,
        rtt_us: rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX)),
        attempts: evidence.made(),
        confirmed: false,
        facts,
        evidence: evidence.into_attempts(),
        status: None,
        observed_at: Timestamp::now(),
    }
}

/// Who refused.
fn by(flow: &Tested, outcome: Outcome, target: IpAddr) -> Option<IpAddr> {
    let local = flow.seen.source.map(|source| source.ip());
    match (&flow.seen.decision.signal, flow.origin) {
        (Some(Signal::Icmp(error)), _) => {
            Some(error.offender).filter(|o| outcome != Outcome::Closed && Some(*o) != local)
        }
        (Some(Signal::Reset), Some(Origin::Device(device))) => device.filter(|d| *d != target),
        (_, _) => match flow.handshake {
            Some(Handshake::Proxy(device)) => device,
            Some(Handshake::Suspect | Handshake::Genuine) | None => None,
        },
    }
}

/// A connection that was accepted and ended without a reply.
fn ended(ending: Ending, protocol: Protocol, fact: &mut impl FnMut(&str, Fact) -> Option<Fact>) {
    fact("ended", ending.word().into());
    if let Some(data) = ending.data() {
        fact("data", data.into());
    }
    let tls = matches!(protocol, Protocol::Ldaps | Protocol::WinrmTls);
    if tls && matches!(ending, Ending::Reset | Ending::Eof) {
        // A Windows domain controller listens also without a usable certificate, and ends the handshake.
        fact("no-certificate", true.into());
    }
}

/// Where the flow ends.
fn located(between: Between, fact: &mut impl FnMut(&str, Fact) -> Option<Fact>) {
    if let Some(last) = between.last_hop {
        fact("last-hop", last.to_string().into());
    }
    if let Some(next) = between.next_hop {
        fact("next-hop", next.to_string().into());
    }
    if between.is_end {
        fact("filter-at", "last-hop-or-target".into());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use sekisho_checks::{classify::IcmpError, flow::Decision};
    use sekisho_model::Service;

    use super::*;
    use crate::runner::{evidence::Evidence, flow::Endpoint};

    const TARGET: &str = "10.77.1.10";
    const ROUTER: &str = "10.77.20.1";

    /// A flow of a service with one signal.
    pub(in crate::runner) fn tested(service: &str, signal: Option<Signal>) -> Tested {
        let service: Service = service.parse().unwrap();
        let decision = Decision { signal, attempt: Some(0), silent: 0, intermittent: false };
        let seen = Seen { decision, rtt: None, source: None, evidence: Evidence::default() };
        Tested::new(Task { number: 0, service, last: None }, Endpoint::of(service), seen, Facts::new())
    }

    fn router() -> IpAddr {
        ROUTER.parse().unwrap()
    }

    fn judged(flow: &Tested) -> (Outcome, Option<IpAddr>) {
        let target = TARGET.parse().unwrap();
        let outcome = outcome(flow, target);
        (outcome, by(flow, outcome, target))
    }

    #[test]
    fn a_rst_is_the_targets_until_a_device_is_found() {
        let mut flow = tested("smb", Some(Signal::Reset));
        for (origin, expected) in [
            (None, (Outcome::Closed, None)),
            (Some(Origin::Unproven), (Outcome::Closed, None)),
            (Some(Origin::Target), (Outcome::Closed, None)),
            (Some(Origin::TargetOrLastHop), (Outcome::Closed, None)),
            (Some(Origin::Device(None)), (Outcome::Rejected, None)),
            (Some(Origin::Device(Some(router()))), (Outcome::Rejected, Some(router()))),
        ] {
            flow.origin = origin;
            assert_eq!(judged(&flow), expected, "{origin:?}");
        }
    }

    #[test]
    fn a_handshake_that_is_anybodys_opens_no_port() {
        let mut flow = tested("tcp/8443", Some(Signal::Proven(Facts::new())));
        assert_eq!(judged(&flow), (Outcome::Open, None));
        flow.handshake = Some(Handshake::Genuine);
        assert_eq!(judged(&flow), (Outcome::Open, None));
        flow.handshake = Some(Handshake::Suspect);
        assert_eq!(judged(&flow), (Outcome::Mute, None));
        flow.handshake = Some(Handshake::Proxy(Some(router())));
        assert_eq!(judged(&flow), (Outcome::Mute, Some(router())));
    }

    #[test]
    fn silence_is_filtered_only_where_a_sound_server_would_answer() {
        assert_eq!(judged(&tested("smb", None)).0, Outcome::Filtered);
        let mut flow = tested("netbios-dgm", None);
        assert_eq!(judged(&flow).0, Outcome::Failed);
        let on_the_way = Between { last_hop: None, next_hop: Some(router()), is_end: false };
        for (between, expected) in [
            (on_the_way, Outcome::Filtered),
            (Between { is_end: true, ..on_the_way }, Outcome::Failed),
            (Between { next_hop: None, ..on_the_way }, Outcome::Failed),
            // The last router answers nobody: the flow may have reached the target.
            (Between { next_hop: Some(TARGET.parse().unwrap()), ..on_the_way }, Outcome::Failed),
        ] {
            flow.between = Some(between);
            assert_eq!(judged(&flow).0, expected, "{between:?}");
        }
    }

    #[test]
    fn a_close_without_a_reply_is_mute_only_where_a_sound_server_would_reply() {
        let ended = |service, ending| judged(&tested(service, Some(Signal::Ended(ending)))).0;
        assert_eq!(ended("kpasswd-tcp", Ending::Eof), Outcome::Failed);
        assert_eq!(ended("kpasswd-tcp", Ending::Reset), Outcome::Mute);
        assert_eq!(ended("ldap", Ending::Eof), Outcome::Mute);
        let mut flow = tested("kpasswd-tcp", Some(Signal::Ended(Ending::Eof)));
        flow.handshake = Some(Handshake::Suspect);
        assert_eq!(judged(&flow).0, Outcome::Mute);
        let mut half = tested("kpasswd-tcp", Some(Signal::Ended(Ending::Eof)));
        let place = half.seen.evidence.begin(std::time::Duration::ZERO, None);
        half.seen.evidence.traffic(place, crate::net::Traffic { sent: 200, received: 7 });
        assert_eq!(judged(&half).0, Outcome::Mute, "a part of a reply came");
    }

    #[test]
    fn a_device_that_says_no_is_named_and_the_target_is_not() {
        let icmp = |offender: &str, code| {
            Some(Signal::Icmp(IcmpError { kind: 3, code, offender: offender.parse().unwrap() }))
        };
        assert_eq!(judged(&tested("smb", icmp(ROUTER, 13))), (Outcome::Rejected, Some(router())));
        assert_eq!(judged(&tested("dns-udp", icmp(TARGET, 3))), (Outcome::Closed, None));
    }

    #[test]
    fn what_ends_a_connection_is_told() {
        let facts = |service: &str, ending| {
            let mut facts = Facts::new();
            let protocol = service.parse::<Service>().unwrap().protocol();
            ended(ending, protocol, &mut |name, value| facts.insert(name.to_owned(), value));
            facts
        };
        assert_eq!(facts("smb", Ending::Silence)["data"], "acknowledged".into());
        assert_eq!(facts("smb", Ending::Undelivered)["data"], "dropped".into());
        assert_eq!(facts("ldaps", Ending::Reset)["no-certificate"], true.into());
        assert!(!facts("ldap", Ending::Reset).contains_key("no-certificate"));
        assert!(!facts("ldaps", Ending::Silence).contains_key("no-certificate"));
    }
}
