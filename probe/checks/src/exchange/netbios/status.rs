//! Node status: ask for all names.

use super::number;
use crate::exchange::carrier::{Datagrams, Dialogue};
use crate::exchange::report::Report;
use crate::exchange::{Exchange, Progress};
use crate::wire::Error;
use crate::wire::netbios::status::{self, Name, Reply, Status};

/// Name suffixes: a workstation or the domain, and the domain controllers of a domain.
const WORKSTATION: u8 = 0x00;
const DOMAIN_CONTROLLERS: u8 = 0x1c;

struct NodeStatus {
    id: u16,
}

/// Over UDP.
pub(in crate::exchange) fn over_datagrams(nonce: u64) -> Box<dyn Exchange> {
    let id = number(nonce);
    Box::new(Datagrams::new(status::request(id), NodeStatus { id }))
}

impl Dialogue for NodeStatus {
    const PROTOCOL: &'static str = "netbios";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        Ok(match status::decode(message, self.id)? {
            // Late or forged: the right one may still come.
            None => Progress::Waiting,
            Some(Reply::Refused(code)) => Report::default().fact("result-code", i64::from(code)).proven(),
            Some(Reply::Status(status)) => facts(&status).proven(),
        })
    }
}

fn facts(status: &Status) -> Report {
    let find = |suffix: u8, group: bool| {
        let found = |name: &&Name| (name.suffix, name.group) == (suffix, group);
        status.names.iter().find(found).map(|name| name.text.as_bytes())
    };
    let names = status.names.iter().map(|name| format!("{}<{:02X}>", name.text, name.suffix));
    let report = Report::default()
        .list("netbios-names", names)
        .octets("netbios-host", find(WORKSTATION, false))
        .octets("netbios-domain", find(WORKSTATION, true))
        .fact("domain-controller", find(DOMAIN_CONTROLLERS, true).is_some());
    match status.unit.filter(|unit| *unit != [0; 6]) {
        Some(unit) => {
            let octets: Vec<String> = unit.iter().map(|octet| format!("{octet:02x}")).collect();
            report.fact("hardware-address", octets.join(":"))
        }
        None => report,
    }
}
