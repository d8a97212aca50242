//! Asks a domain controller for its time in every way it has, all at once.

use std::net::IpAddr;

use sekisho_checks::{
    vantage::clock::{self, Reading, Sample, Source},
    wire::{kerberos, ldap, ntp, smb, time::Moment},
};

use super::{
    Means, Request, Verdict,
    ask::{Answer, Carrier, Question, Trouble, as_exchange, ask, either, nobody, realm},
};

/// LDAP message id of the request.
const ID: u32 = 1;

pub(super) async fn check(means: &Means, request: &Request) -> Verdict {
    let Some(target) = &request.target else {
        return Verdict::unknown("no-target", "the clock is that of a domain controller, and none is named");
    };
    let address = target.address;
    let domain = target.domain.as_deref().unwrap_or(&request.domain);
    let realm = realm(domain);
    let (kerberos, smb, ldap, ntp) = tokio::join!(
        Box::pin(kerberos(means, address, &realm)),
        Box::pin(smb(means, address)),
        Box::pin(ldap(means, address)),
        Box::pin(ntp(means, address)),
    );
    let readings =
        [(Source::Kerberos, kerberos), (Source::Smb, smb), (Source::Ldap, ldap), (Source::Ntp, ntp)];
    clock::judge(&readings).into()
}

fn reading(asked: Result<Answer<Moment>, Trouble>) -> Reading {
    let answer = asked.map_err(|trouble| trouble.word())?;
    Ok(Sample::told(answer.value, answer.sent.as_microsecond(), answer.took))
}

/// Asks for an account that cannot exist by chance: the refusal holds the time.
async fn kerberos(means: &Means, address: IpAddr, realm: &str) -> Reading {
    let answer = as_exchange(means, address, &nobody(), realm).await.map_err(|trouble| trouble.word())?;
    match answer.value {
        kerberos::Reply::Error(error) => {
            Ok(Sample::told(error.server_time, answer.sent.as_microsecond(), answer.took))
        }
        // A ticket for such a name: a time is in it, unreadable without a password.
        kerberos::Reply::Ticket { .. } => Err("no-time"),
    }
}

async fn smb(means: &Means, address: IpAddr) -> Reading {
    let (guid, salt) = (uuid::Uuid::new_v4(), [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()]);
    let mut octets = [0; 32];
    octets.copy_from_slice(&salt.map(uuid::Uuid::into_bytes).concat());
    let request = smb::negotiate_request(guid.into_bytes(), Some(octets));
    let question = Question { address, port: 445, carrier: Carrier::SMB, request };
    let time = |message: &[u8]| match smb::decode(message).ok()? {
        smb::Reply::Negotiated(negotiated) => negotiated.system_time,
        smb::Reply::Refused(_) => None,
    };
    reading(ask(means, &question, time).await)
}

/// The same request over TCP, or else over UDP.
async fn ldap(means: &Means, address: IpAddr) -> Reading {
    let request = ldap::root_dse_request(ID, &["currentTime"]);
    let question = |carrier| Question { address, port: 389, carrier, request: request.clone() };
    let (stream, datagram) = (question(Carrier::LDAP), question(Carrier::Datagram));
    reading(either(ask(means, &stream, current_time), ask(means, &datagram, current_time)).await)
}

async fn ntp(means: &Means, address: IpAddr) -> Reading {
    let (nonce, _) = uuid::Uuid::new_v4().as_u64_pair();
    let question = Question { address, port: 123, carrier: Carrier::Datagram, request: ntp::request(nonce) };
    let reply = |bytes: &[u8]| ntp::decode(bytes, nonce).ok().flatten();
    let answer = ask(means, &question, reply).await.map_err(|trouble| trouble.word())?;
    match (answer.value.receive, answer.value.transmit) {
        // Stratum 0 tells why no time is told (RFC 5905 7.4).
        (Some(receive), Some(transmit)) if answer.value.stratum > 0 => {
            Ok(Sample::exchanged(receive, transmit, answer.sent.as_microsecond(), answer.took))
        }
        _ => Err("no-time"),
    }
}

fn current_time(bytes: &[u8]) -> Option<Moment> {
    let messages = ldap::decode_all(bytes).ok()?;
    messages.into_iter().find_map(|message| match message.operation {
        ldap::Operation::Entry(entry) if message.id == i64::from(ID) => {
            Moment::from_generalized(entry.value("currentTime")?)
        }
        ldap::Operation::Entry(_)
        | ldap::Operation::Done(_)
        | ldap::Operation::Extended(_)
        | ldap::Operation::Other(_) => None,
    })
}
