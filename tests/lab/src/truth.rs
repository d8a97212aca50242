//! What is true in the lab, as data: `truth.toml`.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::LazyLock};

use sekisho_model::{Outcome, Service};
use serde::{Deserialize, Serialize};

use crate::{Signal, WantedFacts, topology::topology};

/// What one flow comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// Name of the vantage.
    pub vantage: String,
    /// First label of the target's host name.
    pub target: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The service.
    pub service: Service,
    /// The outcome.
    pub outcome: Outcome,
    /// The device that refuses, where it is not the target.
    pub by: Option<Ipv4Addr>,
    /// What comes back on the wire.
    pub signal: Signal,
    /// The facts that must be found.
    pub facts: WantedFacts,
}

impl Expectation {
    /// Whether what it says can be true at once.
    #[cfg(test)]
    pub(crate) fn is_sound(&self) -> bool {
        let nobody = self.by.is_none();
        match self.outcome {
            Outcome::Open => matches!(self.signal, Signal::Reply | Signal::Handshake) && nobody,
            Outcome::Closed => matches!(self.signal, Signal::Rst | Signal::Icmp(3, 3)) && nobody,
            Outcome::Filtered => self.signal == Signal::Silence && nobody,
            Outcome::Rejected => matches!(self.signal, Signal::Rst | Signal::Icmp(3, _)) && !nobody,
            Outcome::Unreachable => matches!(self.signal, Signal::Icmp(3, 0 | 1)) && !nobody,
            Outcome::Mute => self.signal == Signal::Handshake,
            Outcome::Wrong => self.signal == Signal::Reply,
            Outcome::Failed => {
                matches!(self.signal, Signal::Unasked | Signal::Silence) && self.facts.contains_key("reason")
            }
            Outcome::Missed => false,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    services: Vec<Service>,
    mapped: BTreeMap<Service, u16>,
    targets: BTreeMap<String, Ipv4Addr>,
    flows: Vec<Flows>,
    farm: FarmFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FarmFile {
    services: Vec<Service>,
    flows: Vec<Flows>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flows {
    vantage: String,
    target: String,
    default: Verdict,
    #[serde(default)]
    except: Vec<Verdict>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    /// Empty in a default: there it is all that no exception names.
    #[serde(default)]
    services: Vec<Service>,
    outcome: Outcome,
    signal: Signal,
    by: Option<Ipv4Addr>,
    #[serde(default)]
    facts: WantedFacts,
}

impl Flows {
    fn verdict(&self, service: Service) -> &Verdict {
        self.except.iter().find(|verdict| verdict.services.contains(&service)).unwrap_or(&self.default)
    }

    fn expand(&self, target: &str, address: Ipv4Addr, services: &[Service]) -> Vec<Expectation> {
        let one = |service: &Service| {
            let verdict = self.verdict(*service);
            Expectation {
                vantage: self.vantage.clone(),
                target: target.to_owned(),
                address,
                service: *service,
                outcome: verdict.outcome,
                by: verdict.by,
                signal: verdict.signal,
                facts: verdict.facts.clone(),
            }
        };
        services.iter().map(one).collect()
    }
}

#[expect(clippy::expect_used, reason = "the file is compiled in, and a test parses it")]
fn file() -> &'static File {
    static FILE: LazyLock<File> =
        LazyLock::new(|| toml::from_str(include_str!("../truth.toml")).expect("truth.toml is valid"));
    &FILE
}

/// What every flow of the lab comes to: vantages x targets x services.
#[must_use]
pub fn truth() -> Vec<Expectation> {
    let file = file();
    file.flows
        .iter()
        .filter_map(|flows| Some((flows, *file.targets.get(&flows.target)?)))
        .flat_map(|(flows, address)| flows.expand(&flows.target, address, &file.services))
        .collect()
}

/// Address of a target of the lab.
pub(crate) fn target(name: &str) -> Option<Ipv4Addr> {
    file().targets.get(name).copied()
}

/// The port of a service on the domain controllers; for an RPC interface the one that the endpoint mapper tells.
pub(crate) fn port(service: Service) -> Option<u16> {
    service.port().or_else(|| file().mapped.get(&service).copied())
}

/// The same for a farm of that many hosts.
#[must_use]
pub fn farm_truth(hosts: u8) -> Vec<Expectation> {
    let farm = &file().farm;
    let addresses = topology().farm.network.hosts().take(usize::from(hosts));
    addresses
        .enumerate()
        .flat_map(|(index, address)| {
            let name = format!("farm{}", index + 1);
            farm.flows.iter().flat_map(move |flows| flows.expand(&name, address, &farm.services))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sekisho_model::{BuiltIn, Protocol};

    use super::*;

    #[test]
    fn every_vantage_target_and_service_is_there_once() {
        let truth = truth();
        let flows: BTreeSet<_> =
            truth.iter().map(|e| (e.vantage.clone(), e.target.clone(), e.service.to_string())).collect();
        assert_eq!(flows.len(), truth.len());
        assert_eq!(truth.len(), 3 * 3 * 26);
        for vantage in topology().vantages() {
            for target in file().targets.keys() {
                for service in BuiltIn::Full.services() {
                    assert!(
                        flows.contains(&(vantage.name.clone(), target.clone(), service.to_string())),
                        "{} {target} {service}",
                        vantage.name
                    );
                }
            }
        }
    }

    #[test]
    fn exceptions_name_services_that_are_tested_and_only_once() {
        let file = file();
        let all = [(&file.flows, &file.services), (&file.farm.flows, &file.farm.services)];
        for (flows, services) in all {
            for flows in flows {
                let named: Vec<_> = flows.except.iter().flat_map(|exception| &exception.services).collect();
                let distinct: BTreeSet<_> = named.iter().collect();
                assert_eq!(named.len(), distinct.len(), "{} {}", flows.vantage, flows.target);
                assert!(flows.default.services.is_empty(), "{} {}", flows.vantage, flows.target);
                assert!(
                    named.iter().all(|service| services.contains(service)),
                    "{} {}",
                    flows.vantage,
                    flows.target
                );
            }
        }
    }

    #[test]
    fn outcome_signal_and_culprit_agree() {
        for e in truth().into_iter().chain(farm_truth(1)) {
            assert!(e.is_sound(), "{e:?}");
        }
    }

    /// What is said of interfaces behind the endpoint mapper follows from what is said of the mapper.
    #[test]
    fn interfaces_are_unasked_where_the_mapper_does_not_answer() {
        let truth = truth();
        let mapper = |e: &Expectation| {
            let same = |m: &&Expectation| (&m.vantage, &m.target) == (&e.vantage, &e.target);
            truth
                .iter()
                .filter(same)
                .find(|m| m.service.protocol() == Protocol::EndpointMapper)
                .unwrap()
                .outcome
        };
        for e in truth.iter().filter(|e| matches!(e.service.protocol(), Protocol::Rpc(_))) {
            assert!(port(e.service).is_some(), "{e:?}");
            let reason = e.facts.get("reason").map(ToString::to_string);
            let mapper = mapper(e);
            if mapper == Outcome::Open {
                assert_ne!(e.signal, Signal::Unasked, "{e:?}");
            } else {
                assert_eq!(reason, Some(format!("mapper-{mapper}")), "{e:?}");
            }
        }
    }

    #[test]
    fn the_farm_blocks_four_of_twelve_ports_for_the_restricted_vlan() {
        let flows = farm_truth(200);
        assert_eq!(flows.len(), 2 * 200 * 12);
        let blocked = flows.iter().filter(|e| e.vantage == "vlan20" && e.outcome != Outcome::Open).count();
        assert_eq!(blocked, 200 * 4);
        assert_eq!(flows.last().map(|e| e.address), Some(Ipv4Addr::new(10, 77, 2, 200)));
    }
}
