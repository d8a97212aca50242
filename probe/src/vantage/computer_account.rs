//! Asks domain controllers for the account of a computer, without credentials: the same anonymous questions that a join
//! begins with.

use std::net::IpAddr;

use futures_util::future::join_all;
use sekisho_checks::{
    vantage::computer_account::{self, ComputerName, Kdc, Told, kind},
    wire::{
        cldap::{self, Answer, Ping},
        kerberos::Reply,
    },
};

use super::{
    Means, Request, Verdict,
    ask::{Carrier, Question, as_exchange, ask, realm},
};
use crate::runner::Target;

/// Domain controllers that are asked. Of more the first are: they replicate, and each is asked four questions.
const ASKED: usize = 4;

pub(super) async fn check(means: &Means, request: &Request) -> Verdict {
    let Some(computer) = &request.computer else {
        return Verdict::unknown("no-name", "no computer is named whose account to look for");
    };
    let name = match ComputerName::new(computer) {
        Ok(name) => name,
        Err(bad) => return computer_account::bad(computer, bad).into(),
    };
    let asked = request.targets.iter().take(ASKED).map(|target| async {
        let told = Box::pin(told(means, target, &request.domain, &name)).await;
        (target.name(), told)
    });
    computer_account::judge(&name, &join_all(asked).await).into()
}

/// What one domain controller tells. What it does not answer stays open.
async fn told(means: &Means, target: &Target, domain: &str, name: &ComputerName) -> Told {
    let domain = target.domain.as_deref().unwrap_or(domain);
    let netlogon = |kind| netlogon(means, target.address, domain, name, kind);
    let (computer, domain_controller, other, kdc) = tokio::join!(
        netlogon(kind::COMPUTER),
        netlogon(kind::DOMAIN_CONTROLLER),
        netlogon(kind::OTHER),
        kdc(means, target.address, domain, name),
    );
    Told { computer, domain_controller, other, kdc }
}

/// Whether an enabled account of this kind has the name.
async fn netlogon(
    means: &Means,
    address: IpAddr,
    domain: &str,
    name: &ComputerName,
    kind: u32,
) -> Option<bool> {
    // LDAP message ids are 1 to 2^31 - 1.
    let id = u32::try_from(uuid::Uuid::new_v4().as_u64_pair().0 >> 33).unwrap_or(0).max(1);
    let account = name.account();
    let ping = Ping {
        id,
        domain: Some(domain).filter(|domain| !domain.is_empty()),
        host: name.host(),
        account: Some((&account, kind)),
        nt_version: cldap::NT_VERSION,
    };
    let question =
        Question { address, port: 389, carrier: Carrier::Datagram, request: cldap::request(&ping) };
    let reply = |bytes: &[u8]| cldap::decode(bytes).ok().filter(|reply| reply.id == i64::from(id));
    let answer = ask(means, &question, reply).await.ok()?.value.answer?;
    let opcode = match answer {
        Answer::Extended(extended) => {
            let serves = extended.domain.trim_end_matches('.');
            Some(extended.opcode).filter(|_| domain.is_empty() || serves.eq_ignore_ascii_case(domain))
        }
        Answer::Nt4(nt4) => Some(nt4.opcode),
    };
    match opcode? {
        19 | 23 => Some(true),
        21 | 25 => Some(false),
        // Netlogon is paused.
        _ => None,
    }
}

async fn kdc(means: &Means, address: IpAddr, domain: &str, name: &ComputerName) -> Option<Kdc> {
    if domain.is_empty() {
        return None;
    }
    match as_exchange(means, address, &name.account(), &realm(domain)).await.ok()?.value {
        Reply::Ticket { .. } => Some(Kdc::Exists),
        Reply::Error(error) => Some(Kdc::of_error(error.code)),
    }
}
