// What is done with strange bytes: every decoder and every exchange, with what must hold whatever the bytes.
//
// The fuzzer, the corpus test, the property tests and the hammer share this file. Each target says whether the bytes
// were accepted, so that a run can show that it got past the first check.

use sekisho_checks::exchange::{Exchange, Expected, MAPPER, Progress, begin_at};
use sekisho_checks::flow::Ending;
use sekisho_checks::wire::ber::Decoder;
use sekisho_checks::wire::cldap::{Answer, MAX_NAME};
use sekisho_checks::wire::ldap::{MAX_ATTRIBUTES, Operation};
use sekisho_checks::wire::rpc::{MAX_TOWERS, Mapping};
use sekisho_checks::wire::time::Moment;
use sekisho_checks::wire::{ber, cldap, dns, kerberos, ldap, rpc, smb};
use sekisho_model::{Fact, Facts, Service, Transport};

#[path = "services.rs"]
mod services;

/// Takes bytes, says whether they were accepted, panics if something does not hold.
pub(crate) type Target = fn(&[u8]) -> bool;

/// The decoders, and all exchanges in one.
pub(crate) const TARGETS: [(&str, Target); 18] = [
    ("ber", ber),
    ("certificate", services::certificate),
    ("cldap", cldap),
    ("dns", dns),
    ("exchanges", exchanges),
    ("http", services::http),
    ("kerberos", kerberos),
    ("kpasswd", services::kpasswd),
    ("ldap", ldap),
    ("netbios", services::netbios),
    ("netlogon", netlogon),
    ("nmf", services::nmf),
    ("ntlm", services::ntlm),
    ("ntp", services::ntp),
    ("rpc", rpc),
    ("smb", smb),
    ("spnego", services::spnego),
    ("time", time),
];

/// The exchanges, by service. The first octet is for [`exchange`]. New ones go to the end: the corpus counts them.
pub(crate) const EXCHANGES: [(&str, Target); 23] = [
    ("dns-udp", |bytes| exchange("dns-udp", bytes)),
    ("dns-tcp", |bytes| exchange("dns-tcp", bytes)),
    ("kerberos-udp", |bytes| exchange("kerberos-udp", bytes)),
    ("kerberos-tcp", |bytes| exchange("kerberos-tcp", bytes)),
    ("rpc-epm", |bytes| exchange("rpc-epm", bytes)),
    ("ldap", |bytes| exchange("ldap", bytes)),
    ("cldap", |bytes| exchange("cldap", bytes)),
    ("smb", |bytes| exchange("smb", bytes)),
    ("ldaps", |bytes| exchange("ldaps", bytes)),
    ("gc", |bytes| exchange("gc", bytes)),
    ("ntp", |bytes| exchange("ntp", bytes)),
    ("kpasswd-udp", |bytes| exchange("kpasswd-udp", bytes)),
    ("kpasswd-tcp", |bytes| exchange("kpasswd-tcp", bytes)),
    ("rpc-netlogon", |bytes| exchange("rpc-netlogon", bytes)),
    ("rpc-lsa", |bytes| exchange("rpc-lsa", bytes)),
    ("rpc-samr", |bytes| exchange("rpc-samr", bytes)),
    ("rpc-drs", |bytes| exchange("rpc-drs", bytes)),
    ("adws", |bytes| exchange("adws", bytes)),
    ("winrm", |bytes| exchange("winrm", bytes)),
    ("winrm-tls", |bytes| exchange("winrm-tls", bytes)),
    ("netbios-ns", |bytes| exchange("netbios-ns", bytes)),
    ("netbios-dgm", |bytes| exchange("netbios-dgm", bytes)),
    ("netbios-ssn", |bytes| exchange("netbios-ssn", bytes)),
];

/// All exchanges in one: the first octet chooses.
fn exchanges(bytes: &[u8]) -> bool {
    let Some((choice, rest)) = bytes.split_first() else { return false };
    EXCHANGES.get(usize::from(*choice)).is_some_and(|(_, target)| target(rest))
}

/// Walks through all elements, as deep as they go.
fn ber(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(bytes, "fuzz");
    walk(&mut decoder)
}

fn walk(decoder: &mut Decoder<'_>) -> bool {
    while !decoder.is_empty() {
        let Ok((tag, contents)) = decoder.element() else { return false };
        let mut again = ber::Writer::new();
        again.primitive(tag, contents);
        let again = again.finish();
        assert_eq!(ber::measure(&again, usize::MAX, "fuzz"), Ok(Some(again.len())));
        assert_eq!(Decoder::new(&again, "fuzz").element(), Ok((tag, contents)));
        if let (ber::INTEGER, Some(number)) = (tag, ber::integer(contents)) {
            let mut again = ber::Writer::new();
            again.integer(ber::INTEGER, number);
            let again = again.finish();
            assert_eq!(Decoder::new(&again, "fuzz").integer(ber::INTEGER), Ok(number));
        }
        if tag & 0x20 != 0
            && let Ok(mut inner) = decoder.inside(contents)
        {
            walk(&mut inner);
        }
    }
    true
}

/// Messages of a stream and messages of a datagram.
fn ldap(bytes: &[u8]) -> bool {
    if let Ok(Some(total)) = ldap::measure(bytes) {
        assert!((2..=ldap::MAX_MESSAGE).contains(&total));
    }
    let Ok(messages) = ldap::decode_all(bytes) else { return false };
    for message in &messages {
        if let Operation::Entry(entry) = &message.operation {
            assert!(entry.attributes.len() <= MAX_ATTRIBUTES);
            for value in entry.values("defaultNamingContext") {
                let text = String::from_utf8_lossy(value);
                assert!(
                    ldap::domain_of(&text)
                        .is_none_or(|domain| !domain.is_empty() && domain.len() <= text.len())
                );
            }
        }
    }
    !messages.is_empty()
}

/// A datagram.
fn cldap(bytes: &[u8]) -> bool {
    cldap::decode(bytes).is_ok_and(|reply| {
        reply.answer.iter().for_each(names_are_bounded);
        true
    })
}

/// The value of the attribute `Netlogon`.
fn netlogon(bytes: &[u8]) -> bool {
    cldap::decode_answer(bytes).is_ok_and(|answer| {
        names_are_bounded(&answer);
        true
    })
}

fn names_are_bounded(answer: &Answer) {
    let names: Vec<&String> = match answer {
        Answer::Extended(answer) => {
            vec![
                &answer.forest,
                &answer.domain,
                &answer.host,
                &answer.user,
                &answer.dc_site,
                &answer.client_site,
            ]
        }
        Answer::Nt4(answer) => vec![&answer.logon_server, &answer.user, &answer.netbios_domain],
    };
    // An invalid octet becomes three.
    assert!(names.iter().all(|name| name.len() <= 3 * MAX_NAME));
}

/// With and without framing.
fn kerberos(bytes: &[u8]) -> bool {
    if let Ok(Some(total)) = kerberos::measure(bytes) {
        assert!((5..=kerberos::MAX_MESSAGE + 4).contains(&total));
    }
    let reply = kerberos::decode(bytes).or_else(|_| kerberos::decode(bytes.get(4..).unwrap_or_default()));
    if let Ok(kerberos::Reply::Error(error)) = &reply {
        assert_eq!(error.server_time.rfc3339_micros().len(), 27);
        assert!(!kerberos::error_name(error.code).is_empty());
        assert!(error.padata.len() <= kerberos::MAX_PADATA);
    }
    reply.is_ok()
}

/// With and without framing.
fn smb(bytes: &[u8]) -> bool {
    if let Ok(Some(total)) = smb::measure(bytes) {
        assert!((4..=smb::MAX_MESSAGE + 4).contains(&total));
    }
    let reply = smb::decode(bytes).or_else(|_| smb::decode(bytes.get(4..).unwrap_or_default()));
    if let Ok(smb::Reply::Negotiated(negotiated)) = &reply {
        assert_eq!(smb::guid_text(&negotiated.server_guid).len(), 36);
        assert!(negotiated.dialect_text().len() <= 12);
    }
    reply.is_ok()
}

/// The call number is what the message says, so that the check of it does not stop the rest.
fn rpc(bytes: &[u8]) -> bool {
    if let Ok(Some(total)) = rpc::measure(bytes) {
        assert!((16..=rpc::MAX_MESSAGE).contains(&total));
    }
    let call = bytes.get(12..16).and_then(|octets| octets.try_into().ok()).map_or(1, u32::from_le_bytes);
    let bound = rpc::decode_bind(bytes, call);
    let mapped = rpc::decode_map(bytes, call);
    if let Ok(Mapping::Towers { towers, .. }) = &mapped {
        assert!(towers.len() <= MAX_TOWERS as usize);
    }
    bound.is_ok() || mapped.is_ok()
}

/// The id is what the message says, so that the check of it does not stop the rest.
fn dns(bytes: &[u8]) -> bool {
    let id = bytes.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
    if let Ok(Some(total)) = dns::measure(bytes) {
        assert!(total >= 14);
    }
    let Ok(question) = dns::Question::new("_ldap._tcp.dc._msdcs.corp.example", dns::Kind::Srv) else {
        return false;
    };
    let Ok(Some(response)) = dns::decode(bytes, id, &question) else { return false };
    assert!(!dns::rcode_name(response.rcode).is_empty());
    true
}

/// All forms of times.
fn time(bytes: &[u8]) -> bool {
    let number = bytes.first_chunk().copied().unwrap_or_default();
    let moments = [
        Moment::from_generalized(bytes),
        Moment::from_filetime(u64::from_le_bytes(number)),
        Moment::from_unix_micros(i64::from_le_bytes(number)),
    ];
    for moment in moments.into_iter().flatten() {
        let text = moment.rfc3339_seconds();
        assert_eq!(text.len(), 20);
        let again = Moment::from_generalized(text.replace(['-', ':', 'T'], "").as_bytes());
        assert_eq!(again.map(Moment::rfc3339_seconds), Some(text));
    }
    moments.iter().any(Option::is_some)
}

/// A conversation. The first octet says whether a domain is expected and into which pieces the rest is cut; whole and
/// in pieces the verdict must be the same, and its facts short and printable.
fn exchange(service: &str, bytes: &[u8]) -> bool {
    let Some((options, bytes)) = bytes.split_first() else { return false };
    let service: Service = service.parse().unwrap_or_else(|_| unreachable!("a service of the catalogue"));
    let domain = (options & 1 == 0).then(|| "corp.example".to_owned());
    let whole = end(start(service, domain.clone()), &[bytes]);
    if let Progress::Proven(facts) | Progress::Wrong(facts) = &whole {
        assert!(facts.len() <= 48, "{service}: {} facts", facts.len());
        facts.values().for_each(fact_is_safe);
    }
    // A datagram is not cut, and TLS draws keys for every start.
    if service.transport() != Transport::Udp
        && !service.name().contains("ldaps")
        && !service.name().contains("tls")
    {
        let size = usize::from(options >> 1).max(1);
        let pieces = end(start(service, domain), &bytes.chunks(size).collect::<Vec<_>>());
        assert_eq!(without_reply(pieces), without_reply(whole.clone()), "{service} in pieces of {size}");
    }
    matches!(whole, Progress::Proven(_))
}

/// Hands over the pieces and then resets the connection. What is proven stays proven, and nothing is proved by a reset.
fn end(mut exchange: Box<dyn Exchange>, pieces: &[&[u8]]) -> Progress {
    let mut progress = Progress::Waiting;
    for piece in pieces {
        progress = exchange.input(piece);
        let _sent = exchange.output();
    }
    if progress == Progress::Waiting {
        let proven = exchange.is_proven();
        let ended = exchange.ended(Ending::Reset);
        assert_eq!(matches!(ended, Some(Progress::Proven(_))), proven);
        return ended.unwrap_or(Progress::Waiting);
    }
    progress
}

fn start(service: Service, domain: Option<String>) -> Box<dyn Exchange> {
    // The ids of the vectors: 0xabcd for DNS, 1 for CLDAP.
    let nonce = if service.name().starts_with("dns") { 0xabcd << 48 } else { 1 << 32 };
    // Two of the RPC interfaces are bound to on their own port, two are asked for.
    let own = ["rpc-samr", "rpc-drs"].contains(&service.name().as_str());
    let port = service.port().unwrap_or(if own { 49_664 } else { MAPPER });
    let expected = Expected { domain, host: Some("dc1.corp.example".to_owned()), now: Some(0) };
    let mut exchange = begin_at(service, port, &expected, nonce)
        .unwrap_or_else(|| unreachable!("a service with an exchange"));
    assert!(!exchange.output().is_empty());
    exchange
}

fn fact_is_safe(fact: &Fact) {
    if let Fact::Text(text) = fact {
        assert!(text.len() <= 1024 && !text.chars().any(char::is_control), "{text:?}");
    }
}

/// The fact `reply` shows what there was to see, so it depends on how the stream was cut.
fn without_reply(progress: Progress) -> Option<(bool, Facts)> {
    let (proven, mut facts) = match progress {
        Progress::Waiting => return None,
        Progress::Proven(facts) => (true, facts),
        Progress::Wrong(facts) => (false, facts),
    };
    facts.remove("reply");
    Some((proven, facts))
}
