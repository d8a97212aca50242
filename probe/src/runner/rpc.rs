//! RPC interfaces: the endpoint mapper is asked where one listens, and that port is tested at once.
//!
//! The mapper itself is tested once for all interfaces of a target. Where it is not reached, or does not tell, the port of an
//! interface is not known, and the interface is not tested: that is `failed`, never `filtered`.

use std::sync::Arc;

use sekisho_checks::{exchange, flow::Signal};
use sekisho_model::{Fact, Facts, Outcome, Service, Transport};
use tokio::task::JoinSet;

use super::{
    flow::{self, Endpoint, Outcome as Seen, Subject},
    target::Refused,
    verdict,
};

/// What came of an interface: a flow that was tested, or the reason why none could be.
pub(super) type Result = std::result::Result<(Endpoint, Seen, Facts), Refused>;

/// Tests an interface. `mapper` is what came of the endpoint mapper.
pub(super) async fn run(subject: &Arc<Subject>, service: Service, mapper: &Seen) -> Result {
    if !matches!(mapper.decision.signal, Some(Signal::Proven(_))) {
        let outcome = verdict::outcome_of(mapper, subject.target.address);
        return Err(refused(
            Outcome::Failed,
            &format!("mapper-{}", outcome.word()),
            "the endpoint mapper (135/tcp) is not reached, so the port of the interface is not known",
            mapper.clone(),
        ));
    }
    let asked = flow::run(subject.clone(), Endpoint::of(service)).await;
    let Some(Signal::Proven(told)) = &asked.decision.signal else {
        let why = "the endpoint mapper did not tell the port of the interface";
        return Err(refused(Outcome::Failed, "mapper-unanswered", why, asked));
    };
    let ports = exchange::mapped_ports(told);
    if ports.is_empty() {
        return Err(unmapped(told.clone(), asked));
    }
    test(subject, service, &ports, asked).await
}

fn refused(outcome: Outcome, reason: &str, detail: &str, seen: Seen) -> Refused {
    let facts = [("reason".to_owned(), reason.into()), ("detail".to_owned(), detail.into())].into();
    Refused { outcome, facts, seen }
}

/// The mapper answers and names no port that can be tested: the interface is not there, or it tells only those who log on,
/// or what it tells is none of the interface's.
fn unmapped(told: Facts, asked: Seen) -> Refused {
    let (outcome, reason, detail) = match told.get("mapping") {
        Some(Fact::Text(mapping)) if mapping == "not-registered" => {
            (Outcome::Closed, "not-registered", "the endpoint mapper does not know the interface")
        }
        Some(Fact::Text(mapping)) if mapping == "mapped" => {
            let detail = "the endpoint mapper names no port but 0 or its own, so the interface is not tested";
            (Outcome::Failed, "mapped-nowhere", detail)
        }
        Some(_) | None => {
            let detail = "the endpoint mapper refuses to tell anonymous callers the port: no access list, but not tested";
            (Outcome::Failed, "mapping-refused", detail)
        }
    };
    let mut refused = refused(outcome, reason, detail, asked);
    refused.facts.extend(told);
    refused
}

/// Tests every port that the mapper named. The interface is reached if any of them is.
async fn test(subject: &Arc<Subject>, service: Service, ports: &[u16], asked: Seen) -> Result {
    let told = match &asked.decision.signal {
        Some(Signal::Proven(told)) => told.clone(),
        Some(_) | None => Facts::new(),
    };
    let mut tests = JoinSet::new();
    let mut forbidden = None;
    for (place, port) in ports.iter().copied().enumerate() {
        match subject.gate.permit(subject.target.address, Transport::Tcp, Some(port)) {
            Ok(()) => {
                let (subject, endpoint) = (subject.clone(), Endpoint { service, port });
                tests.spawn(async move { (place, endpoint, flow::run(subject, endpoint).await) });
            }
            Err(why) => forbidden = Some(format!("port {port} of {}: {why}", subject.target.address)),
        }
    }
    let mut seen = tests.join_all().await;
    seen.sort_by_key(|(place, _, seen)| (verdict::rank(seen, subject.target.address), *place));
    let others: Vec<String> = seen
        .iter()
        .map(|(_, endpoint, seen)| {
            format!("{} {}", endpoint.port, verdict::outcome_of(seen, subject.target.address))
        })
        .collect();
    let Some((_, endpoint, mut best)) = seen.into_iter().next() else {
        let why = forbidden.unwrap_or_default();
        return Err(refused(Outcome::Failed, "out-of-scope", &why, asked));
    };
    let mut facts = told;
    facts.insert("port".to_owned(), i64::from(endpoint.port).into());
    if others.len() > 1 {
        facts.insert("ports".to_owned(), others.join(", ").into());
    }
    let mut evidence = asked.evidence;
    evidence.append(std::mem::take(&mut best.evidence));
    best.evidence = evidence;
    Ok((endpoint, best, facts))
}
