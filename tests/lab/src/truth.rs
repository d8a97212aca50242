//! What is true in the lab, as data: `truth.toml`.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, sync::LazyLock};

use sekisho_model::{Outcome, Service};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::topology::topology;

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
}

/// What comes back on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// An answer of whatever listens.
    Reply,
    /// A TCP handshake and then nothing.
    Handshake,
    /// Nothing.
    Silence,
    /// A RST that bears the target's address.
    Rst,
    /// ICMP type and code.
    Icmp(u8, u8),
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply => f.pad("reply"),
            Self::Handshake => f.pad("handshake"),
            Self::Silence => f.pad("silence"),
            Self::Rst => f.pad("rst"),
            Self::Icmp(kind, code) => f.pad(&format!("icmp {kind}/{code}")),
        }
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let icmp = || {
            let (kind, code) = word.strip_prefix("icmp ")?.split_once('/')?;
            Some(Self::Icmp(kind.parse().ok()?, code.parse().ok()?))
        };
        match word.as_str() {
            "reply" => Ok(Self::Reply),
            "handshake" => Ok(Self::Handshake),
            "silence" => Ok(Self::Silence),
            "rst" => Ok(Self::Rst),
            _ => icmp().ok_or_else(|| D::Error::custom(format!("\"{word}\" is not a signal"))),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    services: Vec<Service>,
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
    except: Vec<Exception>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    outcome: Outcome,
    signal: Signal,
    by: Option<Ipv4Addr>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    services: Vec<Service>,
    outcome: Outcome,
    signal: Signal,
    by: Option<Ipv4Addr>,
}

impl Flows {
    fn verdict(&self, service: Service) -> Verdict {
        self.except
            .iter()
            .find(|exception| exception.services.contains(&service))
            .map_or(self.default, |e| Verdict { outcome: e.outcome, signal: e.signal, by: e.by })
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

    use sekisho_model::BuiltIn;

    use super::*;

    #[test]
    fn every_vantage_target_and_service_is_there_once() {
        let truth = truth();
        let flows: BTreeSet<_> =
            truth.iter().map(|e| (e.vantage.clone(), e.target.clone(), e.service.to_string())).collect();
        assert_eq!(flows.len(), truth.len());
        assert_eq!(truth.len(), 3 * 3 * 13);
        for vantage in topology().vantages() {
            for target in file().targets.keys() {
                for service in BuiltIn::Ports.services() {
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
            let fits = match e.outcome {
                Outcome::Open => matches!(e.signal, Signal::Reply | Signal::Handshake) && e.by.is_none(),
                Outcome::Closed => matches!(e.signal, Signal::Rst | Signal::Icmp(3, 3)) && e.by.is_none(),
                Outcome::Filtered => e.signal == Signal::Silence && e.by.is_none(),
                Outcome::Rejected => matches!(e.signal, Signal::Rst | Signal::Icmp(3, _)) && e.by.is_some(),
                Outcome::Unreachable => matches!(e.signal, Signal::Icmp(3, 0 | 1)) && e.by.is_some(),
                Outcome::Mute => e.signal == Signal::Handshake,
                Outcome::Wrong => e.signal == Signal::Reply,
                Outcome::Failed | Outcome::Missed => false,
            };
            assert!(fits, "{e:?}");
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

    #[test]
    fn signals_round_trip_and_nonsense_is_refused() {
        #[derive(Deserialize)]
        struct Holder {
            signal: Signal,
        }
        for word in ["reply", "handshake", "silence", "rst", "icmp 3/13"] {
            let holder: Holder = toml::from_str(&format!("signal = \"{word}\"")).unwrap();
            assert_eq!(holder.signal.to_string(), word);
        }
        for word in ["", "icmp", "icmp 3", "icmp 3/999", "nak"] {
            assert!(toml::from_str::<Holder>(&format!("signal = \"{word}\"")).is_err(), "{word}");
        }
    }
}
