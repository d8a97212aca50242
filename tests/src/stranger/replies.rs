//! What strangers say: replies that servers really gave, made to fit the request, and what no server says.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use anyhow::Context;
use sekisho_model::{Protocol, Service, Transport};

use super::{Cut, Say, mapper, tls};

/// Replies by service, as they travel, in the order of their names.
static CORPUS: OnceLock<BTreeMap<String, Vec<Vec<u8>>>> = OnceLock::new();
/// The octets that the corpus has before a reply, for the fuzzer.
const CHOICE: usize = 2;
/// For each service a reply that proves it. The others share one of these.
const VALID: [(&str, &str); 14] = [
    ("dns-udp", "dns-udp-two-domain-controllers-as-a-windows-dns-server-answe"),
    ("dns-tcp", "dns-tcp-two-domain-controllers-as-a-windows-dns-server-answe"),
    ("kerberos-udp", "kerberos-udp-pre-authentication-required-as-samba-says-it"),
    ("kerberos-tcp", "kerberos-tcp-pre-authentication-required-as-samba-says-it"),
    ("ntp", "ntp-a-windows-domain-controller-on-its-own-clock"),
    ("ldap", "ldap-a-domain-controller"),
    ("cldap", "cldap-lengths-as-windows-writes-them"),
    ("smb", "smb-a-challenge-as-samba-makes-it"),
    ("kpasswd-udp", "kpasswd-udp-refused-as-samba-says-it"),
    ("kpasswd-tcp", "kpasswd-tcp-refused-as-samba-says-it"),
    ("adws", "adws-upgrade-as-windows-answers"),
    ("winrm", "winrm-credentials-wanted-as-windows-answers"),
    ("netbios-ns", "netbios-ns-a-windows-domain-controller"),
    ("netbios-ssn", "netbios-ssn-accepted"),
];
/// The reply to NetBIOS datagrams.
const DATAGRAM: &str = "netbios-dgm-a-ping-as-samba-answers";

/// Reads the corpus, once.
pub(super) fn prepare() -> anyhow::Result<()> {
    tls::prepare()?;
    if CORPUS.get().is_some() {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../probe/checks/fuzz/corpus/exchanges");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).context("a name of the corpus")?.to_owned();
        files.insert(name, fs::read(&path)?.get(CHOICE..).unwrap_or_default().to_vec());
    }
    let mut corpus: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for service in Service::catalogue() {
        let own = files.iter().filter(|(name, _)| name.starts_with(&format!("{service}-")));
        corpus.insert(service.name(), own.map(|(_, reply)| reply.clone()).collect());
    }
    for (service, name) in VALID.into_iter().chain([("netbios-dgm", DATAGRAM)]) {
        let reply = files.get(name).with_context(|| format!("{name} is not in the corpus"))?;
        corpus.entry(format!("valid {service}")).or_default().push(reply.clone());
    }
    CORPUS.get_or_init(|| corpus);
    Ok(())
}

/// The most replies that the corpus has for one service.
///
/// # Errors
/// The corpus cannot be read.
pub fn corpus_size() -> anyhow::Result<usize> {
    prepare()?;
    Ok(CORPUS.get().context("no corpus")?.values().map(Vec::len).max().unwrap_or(0))
}

fn known(key: &str, number: usize) -> Vec<u8> {
    let replies = CORPUS.get().and_then(|corpus| corpus.get(key)).map_or(&[][..], Vec::as_slice);
    replies.get(number % replies.len().max(1)).cloned().unwrap_or_default()
}

/// The service that is spoken inside TLS, or the one whose words another service uses.
fn spoken(service: Service) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other service has words of its own")]
    match service.protocol() {
        Protocol::Ldaps | Protocol::Ldap => "ldap".to_owned(),
        Protocol::WinrmTls => "winrm".to_owned(),
        _ => service.name(),
    }
}

fn is_rpc(service: Service) -> bool {
    matches!(service.protocol(), Protocol::EndpointMapper | Protocol::Rpc(_))
}

/// What a stranger answers to the first request. `inside` says that this is spoken inside TLS.
pub(super) fn reply(say: Say, service: Service, request: &[u8], inside: bool, seed: u64) -> Vec<u8> {
    let outside_of_tls = !inside && matches!(service.protocol(), Protocol::Ldaps | Protocol::WinrmTls);
    match say {
        Say::Nothing => Vec::new(),
        Say::Valid if outside_of_tls => tls::first_flight(request),
        Say::Valid | Say::StartTls(_) if is_rpc(service) => mapper::bind_ack(request),
        Say::Valid | Say::StartTls(_) => {
            fit(service, known(&format!("valid {}", spoken(service)), 0), request)
        }
        Say::Corpus(number) => fit(service, known(&service.name(), number), request),
        Say::Garbage(octets) => noise(seed, octets),
        Say::Zeros(octets) => vec![0; octets],
        Say::Oversized => oversized(service, outside_of_tls),
        Say::Nested => nested(service, request),
        Say::Ldap => known("valid ldap", 0),
        Say::AnotherId => another_id(service, request),
        Say::Services | Say::LostServices => services(say, service, request),
    }
}

/// The octets of the first message of a reply: without the last of them it is no reply.
pub(super) fn first_message(service: Service, inside: bool, reply: &[u8]) -> usize {
    let number = |range: std::ops::Range<usize>| {
        reply.get(range).unwrap_or_default().iter().fold(0_usize, |sum, octet| sum << 8 | usize::from(*octet))
    };
    let tls = !inside && matches!(service.protocol(), Protocol::Ldaps | Protocol::WinrmTls);
    let length = match (service.protocol(), service.transport()) {
        _ if tls => 5 + number(3..5),
        (_, Transport::Udp | Transport::Icmp) => reply.len(),
        (Protocol::Dns, _) => 2 + number(0..2),
        (Protocol::Kerberos | Protocol::Kpasswd, _) => 4 + number(0..4),
        (Protocol::Smb, _) => 4 + number(1..4),
        (Protocol::Ldap | Protocol::Ldaps, _) if number(1..2) == 0x84 => 6 + number(2..6),
        (Protocol::Ldap | Protocol::Ldaps, _) if number(1..2) == 0x82 => 4 + number(2..4),
        (Protocol::Ldap | Protocol::Ldaps, _) if number(1..2) < 0x80 => 2 + number(1..2),
        _ if is_rpc(service) => number(8..9) + 256 * number(9..10),
        _ => reply.len(),
    };
    length.min(reply.len())
}

/// Cuts before the end of the first message.
pub(super) fn cut(service: Service, inside: bool, mut reply: Vec<u8>, cut: Cut) -> Vec<u8> {
    let most = first_message(service, inside, &reply).saturating_sub(1);
    reply.truncate(match cut {
        Cut::After(octets) => octets.min(most),
        Cut::Half => most / 2,
        Cut::Last => most,
    });
    reply
}

/// Puts in what must repeat the request: ids, nonces, names.
fn fit(service: Service, mut reply: Vec<u8>, request: &[u8]) -> Vec<u8> {
    let copy = |reply: &mut Vec<u8>, from: usize, to: usize, octets: usize| {
        if let (Some(source), Some(place)) =
            (request.get(from..from + octets), reply.get_mut(to..to + octets))
        {
            place.copy_from_slice(source);
        }
    };
    match (service.protocol(), service.transport()) {
        (Protocol::Dns, Transport::Tcp) => copy(&mut reply, 2, 2, 2),
        (Protocol::Dns | Protocol::NetbiosNs, _) => copy(&mut reply, 0, 0, 2),
        (Protocol::Ntp, _) => copy(&mut reply, 40, 24, 8),
        (Protocol::Cldap, _) => return with_message_id(&reply, request),
        (Protocol::NetbiosDgm, _) => return with_name(reply, request),
        _ if is_rpc(service) => copy(&mut reply, 12, 12, 4),
        _ => {}
    }
    reply
}

/// A BER element at the beginning: the octets of its head, and of its contents.
fn element(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let octets = bytes.get(2..2 + (first & 0x7f))?;
    Some((2 + octets.len(), octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet))))
}

/// The messages of LDAP with the message id of the request.
fn with_message_id(mut messages: &[u8], request: &[u8]) -> Vec<u8> {
    let id = || {
        let inside = request.get(element(request)?.0..)?;
        let (head, length) = element(inside)?;
        inside.get(..head + length)
    };
    let mut out = Vec::new();
    while let (Some((head, length)), Some(id)) = (element(messages), id()) {
        let Some(contents) = messages.get(head..head + length) else { break };
        // Their own id is 1, in three octets.
        let rest = contents.get(3..).unwrap_or_default();
        out.extend(headed(0x30, &[id, rest].concat()));
        messages = messages.get(head + length..).unwrap_or_default();
    }
    out
}

/// An element with its length in four octets, as Windows writes it.
fn headed(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u32::try_from(contents.len()).unwrap_or(u32::MAX);
    [&[tag, 0x84][..], &length.to_be_bytes(), contents].concat()
}

/// The answer to a mailslot, with the name of the one in the request.
fn with_name(mut reply: Vec<u8>, request: &[u8]) -> Vec<u8> {
    const NAME: usize = 11;
    let place = |bytes: &[u8]| {
        let name =
            |window: &[u8]| window.starts_with(b"SKS") && window.iter().skip(3).all(u8::is_ascii_hexdigit);
        bytes.windows(NAME).position(name)
    };
    if let (Some(from), Some(to)) = (place(request), place(&reply)) {
        reply[to..to + NAME].copy_from_slice(&request[from..from + NAME]);
    }
    reply
}

/// Octets by chance: xorshift. The first is no whole message of any protocol, as two octets are of ADWS.
pub(super) fn noise(seed: u64, octets: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..octets).map(|place| if place == 0 { next() | 0x20 } else { next() }).collect()
}

/// The beginning of a reply that goes on for as long as the protocol can say.
fn oversized(service: Service, tls: bool) -> Vec<u8> {
    let beginning: &[u8] = match (service.protocol(), service.transport()) {
        _ if tls => b"\x16\x03\x03\xff\xff\x02\xff\xff\xff",
        (Protocol::Dns, Transport::Tcp) => b"\xff\xff\xab\xcd\x85\x80\x00\x01\xff\xff\xff\xff\xff\xff",
        (Protocol::Dns | Protocol::NetbiosNs, _) => b"\xab\xcd\x85\x80\x00\x01\xff\xff\xff\xff\xff\xff",
        (Protocol::Kerberos | Protocol::Kpasswd, Transport::Tcp) => b"\x7f\xff\xff\xff\x7e\x84\x7f\xff\xff\xff",
        (Protocol::Kerberos, _) => b"\x7e\x84\xff\xff\xff\xff\x30\x84\xff\xff\xff\xff",
        (Protocol::Kpasswd, _) => b"\xff\xff\x00\x01\xff\xff\x7e\x84\xff\xff\xff\xff",
        (Protocol::Smb, _) => b"\x00\xff\xff\xff\xfeSMB\x40\x00",
        _ if is_rpc(service) => b"\x05\x00\x0c\x03\x10\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00",
        (Protocol::Adws, _) => b"\x08\xff\xff\xff\xff\x0f",
        (Protocol::Winrm | Protocol::WinrmTls, _) => {
            b"HTTP/1.1 302 Found\r\nLocation: http://127.77.0.1:5985/wsman\r\nContent-Length: 4294967296\r\nX: "
        }
        (Protocol::NetbiosSsn, _) => b"\x82\x01\xff\xff",
        (Protocol::NetbiosDgm, _) => b"\x10\x0a\xff\xff\x7f\x00\x00\x01\x00\x8a\xff\xff\xff\xff",
        (Protocol::Ntp, _) => b"\x1c\x01",
        _ => b"\x30\x84\xff\xff\xff\xff\x02\x01\x01\x64\x84\xff\xff\xff\xff",
    };
    beginning.to_vec()
}

/// What contains itself.
fn nested(service: Service, request: &[u8]) -> Vec<u8> {
    let deep = |tags: &[u8], levels: usize| {
        let mut out = Vec::new();
        for level in 0..levels {
            out = headed(tags[level % tags.len()], &out);
        }
        out
    };
    match (service.protocol(), service.transport()) {
        (Protocol::Dns, transport) => {
            // The question is asked; the owner of the answer is a name that points to itself, and to the one before it.
            let offset = if transport == Transport::Tcp { 2 } else { 0 };
            let id = request.get(offset..offset + 2).unwrap_or(&[0, 0]);
            let mut message = [id, b"\x85\x80\x00\x00\x00\x03\x00\x00\x00\x00"].concat();
            for _ in 0..3 {
                let here = u16::try_from(message.len()).unwrap_or(0) | 0xc000;
                message.extend(here.to_be_bytes());
                message.extend(b"\x00\x21\x00\x01\x00\x00\x02\x58\x00\x08\x00\x00\x00\x64\x01\x85\xc0\x0c");
            }
            framed(transport, message)
        }
        (Protocol::Kerberos | Protocol::Kpasswd, transport) => {
            let message = deep(&[0x30, 0xa0], 2_000);
            let message = headed(0x7e, &message);
            if transport == Transport::Tcp {
                let length = u32::try_from(message.len()).unwrap_or(0);
                [&length.to_be_bytes()[..], &message].concat()
            } else {
                message
            }
        }
        (Protocol::Smb, _) => with_security(known("valid smb", 0), &deep(&[0xa0, 0x30, 0x60], 2_000)),
        (Protocol::Cldap | Protocol::Ldap | Protocol::Ldaps, _) => {
            headed(0x30, &[&[2, 1, 1][..], &headed(0x64, &deep(&[0x30, 0x31, 0xa3], 2_000))].concat())
        }
        _ => deep(&[0x30, 0x60, 0xa0], 1_000),
    }
}

fn framed(transport: Transport, message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    if transport == Transport::Tcp { [&length.to_be_bytes()[..], &message].concat() } else { message }
}

/// The first message of SMB with another security buffer (MS-SMB2 2.2.4: offset at 56 and length at 58 of the body).
fn with_security(negotiated: Vec<u8>, security: &[u8]) -> Vec<u8> {
    let mut message = negotiated.get(4..4 + 128).unwrap_or_default().to_vec();
    let length = u16::try_from(security.len()).unwrap_or(u16::MAX);
    if let Some(place) = message.get_mut(64 + 56..64 + 60) {
        place.copy_from_slice(&[128_u16.to_le_bytes(), length.to_le_bytes()].concat());
    }
    message.extend(security);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &message].concat()
}

/// A valid reply to another request; where requests have no number there is none.
fn another_id(service: Service, request: &[u8]) -> Vec<u8> {
    let mut reply = reply(Say::Valid, service, request, true, 0);
    let place = match (service.protocol(), service.transport()) {
        (Protocol::Dns, Transport::Tcp) => 2,
        (Protocol::Dns | Protocol::NetbiosNs, _) => 0,
        (Protocol::Ntp, _) => 24,
        (Protocol::Cldap, _) => 10,
        (Protocol::Ldap | Protocol::Ldaps, _) => 8,
        _ if is_rpc(service) => 12,
        _ => return Vec::new(),
    };
    if let Some(octet) = reply.get_mut(place) {
        *octet ^= 0x2a;
    }
    reply
}

/// As many services as a message holds, each of which is this host.
fn services(say: Say, service: Service, request: &[u8]) -> Vec<u8> {
    if service.protocol() != Protocol::Dns {
        return reply(Say::Valid, service, request, true, 0);
    }
    let stream = service.transport() == Transport::Tcp;
    let query = request.get(if stream { 2 } else { 0 }..).unwrap_or_default();
    let name = query.get(12..).and_then(|name| name.iter().position(|octet| *octet == 0)).unwrap_or(0);
    let question = query.get(12..12 + name + 5).unwrap_or_default();
    let is_srv = question.ends_with(&[0, 0x21, 0, 1]);
    let head = [query.get(..2).unwrap_or(&[0, 0]), &[0x85, 0x80, 0, 1]].concat();
    let room = if stream { 65_535 } else { 1_200 };
    let (mut records, mut count) = (Vec::new(), 0_u16);
    while is_srv && 12 + question.len() + records.len() + 32 < room {
        let host = format!("h{count:05}");
        records.extend(b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x02\x58\x00\x0e\x00\x00\x00\x64\x01\x85\x06");
        records.extend(host.bytes());
        records.push(0);
        count += 1;
    }
    if !is_srv && say == Say::LostServices {
        return Vec::new();
    }
    if question.ends_with(&[0, 1, 0, 1]) {
        records.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x02\x58\x00\x04\x7f\x4d\x00\x01");
        count = 1;
    }
    let head = [head, count.to_be_bytes().to_vec(), vec![0; 4]].concat();
    // Over UDP it does not fit: the truncation bit asks the client to come again over TCP.
    let mut message = [head, question.to_vec(), records].concat();
    if !stream && is_srv {
        message[2] |= 2;
    }
    framed(service.transport(), message)
}
