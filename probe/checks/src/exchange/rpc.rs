//! RPC interfaces: which port the endpoint mapper tells, and a bind to the interface there.

use sekisho_model::{Fact, Facts, RpcInterface};

use super::carrier::{Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, MAPPER, Progress};
use crate::wire::Error;
use crate::wire::rpc::{
    self, BindReply, DRSUAPI, ENDPOINT_MAPPER, Interface, LSARPC, MAX_TOWERS, Mapping, NETLOGON, SAMR, Tower,
};

/// Call number of the bind; the question to the mapper has the next one.
const CALL: u32 = 1;
const QUESTION: u32 = 2;
/// EPT_S_NOT_REGISTERED, C706 appendix E.
const NOT_REGISTERED: u32 = 0x16c9_a0d6;
/// `provider_rejection` and `abstract_syntax_not_supported`, C706 12.6.3.1: the server does not know the interface.
const UNKNOWN_INTERFACE: (u16, u16) = (2, 1);

const FRAMING: Framing = Framing { measure: rpc::measure, header: 0 };

/// The endpoint mapper itself: bind to it, and be answered.
pub(super) fn mapper() -> Box<dyn Exchange> {
    Box::new(Stream::new(rpc::bind(CALL, ENDPOINT_MAPPER), FRAMING, Mapper))
}

/// An interface: on the mapper's port ask for its ports, on another bind to it.
pub(super) fn interface(interface: RpcInterface, port: u16) -> Box<dyn Exchange> {
    let interface = match interface {
        RpcInterface::Netlogon => NETLOGON,
        RpcInterface::Lsa => LSARPC,
        RpcInterface::Samr => SAMR,
        RpcInterface::Drs => DRSUAPI,
    };
    if port == MAPPER {
        let asking = Question { interface, asked: false, request: Vec::new() };
        Box::new(Stream::new(rpc::bind(CALL, ENDPOINT_MAPPER), FRAMING, asking))
    } else {
        Box::new(Stream::new(rpc::bind(CALL, interface), FRAMING, Bound { port }))
    }
}

/// The ports of the fact `mapped-ports` on which the interface can be asked for, in its order. Bounded as the answer of the
/// mapper is. What is no port is passed over, and so is the mapper's own: there the mapper would answer, and prove nothing
/// of the interface.
#[must_use]
pub fn mapped_ports(facts: &Facts) -> Vec<u16> {
    let Some(Fact::Text(ports)) = facts.get("mapped-ports") else { return Vec::new() };
    let ports =
        ports.split(',').filter_map(|port| port.parse().ok()).filter(|port| ![0, MAPPER].contains(port));
    ports.take(usize::try_from(MAX_TOWERS).unwrap_or(0)).collect()
}

/// What came of a bind.
fn bind(reply: &BindReply) -> Report {
    let report = Report::default();
    match reply {
        BindReply::Ack { result: 0, .. } => report.fact("bind", "accepted"),
        BindReply::Ack { result, reason, .. } => report
            .fact("bind", "rejected")
            .fact("bind-result", i64::from(*result))
            .fact("bind-reason", i64::from(*reason)),
        BindReply::Nak(reason) => report.fact("bind", "nak").fact("bind-reason", i64::from(*reason)),
        BindReply::Fault(code) => status(report.fact("bind", "fault"), *code),
    }
}

fn status(report: Report, status: u32) -> Report {
    report.fact("status", format!("0x{status:08x}"))
}

struct Mapper;

impl Dialogue for Mapper {
    const PROTOCOL: &'static str = "rpc";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        Ok(bind(&rpc::decode_bind(message, CALL)?).proven())
    }
}

/// Bind to the mapper, and ask on the same connection. A refusal is an answer of the mapper to anonymous callers, and
/// no device's.
struct Question {
    interface: Interface,
    asked: bool,
    request: Vec<u8>,
}

impl Dialogue for Question {
    const PROTOCOL: &'static str = "rpc";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        if self.asked {
            let mapping = rpc::decode_map(message, QUESTION)?;
            return Ok(mapped(&mapping, self.interface).proven());
        }
        let reply = rpc::decode_bind(message, CALL)?;
        if !matches!(reply, BindReply::Ack { result: 0, .. }) {
            return Ok(bind(&reply).fact("mapping", "refused").proven());
        }
        self.asked = true;
        self.request = rpc::map_request(QUESTION, self.interface);
        Ok(Progress::Waiting)
    }

    fn answer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.request)
    }
}

fn mapped(mapping: &Mapping, interface: Interface) -> Report {
    let (towers, code) = match mapping {
        Mapping::Fault(code) => return status(Report::default().fact("mapping", "refused"), *code),
        Mapping::Towers { towers, status } => (towers, *status),
    };
    let towers = || towers.iter().filter(|tower| tower.uuid == interface.uuid);
    let mut ports: Vec<u16> = Vec::new();
    for port in towers().filter_map(|tower| tower.port) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let word = match (ports.is_empty(), code) {
        (false, _) => "mapped",
        (true, 0 | NOT_REGISTERED) => "not-registered",
        (true, _) => "refused",
    };
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let report = status(Report::default().fact("mapping", word), code).text("mapped-ports", &ports.join(","));
    let address = towers().filter_map(named_address).next();
    report.text("mapped-address", &address.unwrap_or_default())
}

/// The address in a tower. Samba writes 0.0.0.0: the one that was asked.
fn named_address(tower: &Tower) -> Option<String> {
    let address = tower.address.filter(|address| *address != [0; 4])?;
    Some(std::net::Ipv4Addr::from(address).to_string())
}

/// Bind to the interface on its own port.
struct Bound {
    port: u16,
}

impl Dialogue for Bound {
    const PROTOCOL: &'static str = "rpc";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let reply = rpc::decode_bind(message, CALL)?;
        let report = bind(&reply).fact("port", i64::from(self.port));
        Ok(match reply {
            BindReply::Ack { result, reason, .. } if (result, reason) == UNKNOWN_INTERFACE => {
                report.wrong("another-interface")
            }
            BindReply::Ack { .. } | BindReply::Nak(_) | BindReply::Fault(_) => report.proven(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_back_from_facts() {
        let ports = |text: &str| mapped_ports(&[("mapped-ports".to_owned(), Fact::from(text))].into());
        assert_eq!(ports("49671,49664"), [49671, 49664]);
        assert_eq!(ports("1,0,65536,,x,135,2,3,4,5"), [1, 2, 3, 4]);
        assert_eq!(ports(""), []);
        assert_eq!(mapped_ports(&Facts::new()), []);
    }
}
