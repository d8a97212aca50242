//! A second opinion: the truth against what nmap and ping see, without any code of the product's probe.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::Ipv4Addr,
    time::Duration,
};

use anyhow::Context;
use sekisho_model::{Outcome, Protocol, Transport};

use crate::{Expectation, Lab, Signal, namespace, ready, tool, topology::topology, truth};

/// UDP ports with a payload that is answered. nmap has none for Kerberos (an AS-REQ for a user that does not exist), for a
/// change of password (one that holds neither ticket nor password), and for NetBIOS datagrams (a netlogon ping to the
/// mailslot of the domain, MS-ADTS 6.3.5; the answer goes to the address and port that are written in it). With its own for
/// LDAP the answer is too large for paths on which fragments are lost: this one asks the rootDSE for `dnsHostName` alone.
const PAYLOADS: [(u16, &str); 4] = [
    (88, AS_REQ),
    (464, "0010000100056e033001007503300100"),
    (
        389,
        "3032020101632d04000a01000a0100020100020100010100870b6f626a656374436c617373300d040b646e73486f73744e616d65",
    ),
    (138, NETLOGON_PING),
];

/// From where these are sent.
const SOURCE_PORT: &str = "37990";

/// With the address of the sender in place of SOURCE. Behind it stands the port, [`SOURCE_PORT`].
const NETLOGON_PING: &str = "100adff5SOURCE946600e80000204644454c4644444a4442444844434546444844474445434143414341434141410020\
    454445504643464143414341434143414341434143414341434143414341424d00ff534d4225000000000000000000000000000000000000\
    00000000000000000011000048000000000000000000e8030000000000005c0048005c0003000100010002005f005c4d41494c534c4f545c\
    4e45545c4e45544c4f474f4e001200000053004b00530039003100370032004500370036003400000000005c4d41494c534c4f545c4e4554\
    5c534b5339313732453736340000000000000000000b000000ffffffff";

const AS_REQ: &str = "6a8184308181a103020105a20302010aa4753073a00703050040000000a1133011a003020101a10a30081b066e6f626f6479\
    a20e1b0c434f52502e4558414d504c45a321301fa003020102a11830161b066b72627467741b0c434f52502e4558414d504c\
    45a511180f32303337303931333032343830355aa70302014da8083006020112020111";

/// TTL of what the hosts behind the core send, as a vantage receives it: 64 less two routers.
const TARGET_TTL: u8 = 62;

/// What came back of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    signal: Signal,
    /// Who sent it, where that was not the target.
    by: Option<Ipv4Addr>,
    ttl: Option<u8>,
}

type Key = (Transport, Option<u16>);

/// Compares; each difference is a line.
pub(crate) fn verify(lab: &Lab, truth: &[Expectation]) -> anyhow::Result<Vec<String>> {
    tool::command("nmap")?;
    tool::command("ping")?;
    let mut pairs: BTreeMap<(String, Ipv4Addr), Vec<Expectation>> = BTreeMap::new();
    for expectation in truth {
        let pair = (expectation.vantage.clone(), expectation.address);
        pairs.entry(pair).or_default().push(expectation.clone());
    }
    std::thread::scope(|scope| {
        let work: Vec<_> = pairs.values().map(|flows| scope.spawn(|| pair(lab, flows))).collect();
        let mut differences = Vec::new();
        for thread in work {
            differences.extend(thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))?);
        }
        Ok(differences)
    })
}

/// All flows of one vantage and target.
fn pair(lab: &Lab, flows: &[Expectation]) -> anyhow::Result<Vec<String>> {
    let Some(first) = flows.first() else { return Ok(Vec::new()) };
    let seen = look(lab, &first.vantage, first.address, flows)?;
    let mut differences = Vec::new();
    for flow in flows.iter().filter(|flow| flow.signal != Signal::Unasked) {
        let key = (flow.service.transport(), truth::port(flow.service));
        let complaint = match seen.get(&key) {
            None => Some("nothing was seen".to_owned()),
            Some(seen) => compare(flow, seen),
        };
        let complaint = match (complaint, flow.outcome) {
            // What else is wrong with an answer is not for nmap to say.
            (None, Outcome::Mute | Outcome::Wrong) if says_nothing_or_http(flow) => {
                after_handshake(lab, flow).err().map(|error| format!("{error:#}"))
            }
            (complaint, _) => complaint,
        };
        if let Some(complaint) = complaint {
            differences.push(format!("{} {} {}: {complaint}", flow.vantage, flow.target, flow.service));
        }
    }
    Ok(differences)
}

fn compare(flow: &Expectation, seen: &Seen) -> Option<String> {
    // To nmap a handshake is an answer.
    let expected = if flow.signal == Signal::Handshake { Signal::Reply } else { flow.signal };
    if seen.signal != expected {
        return Some(format!("expected {expected}, seen {}", seen.signal));
    }
    let forged = seen.signal == Signal::Rst && seen.ttl != Some(TARGET_TTL);
    match (flow.by, flow.outcome) {
        (None, Outcome::Closed) if forged => Some(format!("the RST is not the target's: {seen:?}")),
        (Some(_), Outcome::Rejected) if seen.signal == Signal::Rst && !forged => {
            Some(format!("the RST is the target's own: {seen:?}"))
        }
        (by, _) if seen.signal != Signal::Rst && by != seen.by => {
            Some(format!("expected it from {by:?}, seen {seen:?}"))
        }
        _ => None,
    }
}

fn look(
    lab: &Lab,
    vantage: &str,
    address: Ipv4Addr,
    flows: &[Expectation],
) -> anyhow::Result<BTreeMap<Key, Seen>> {
    let list = |transport: Transport| {
        let asked = flows.iter().filter(|flow| flow.signal != Signal::Unasked).map(|flow| flow.service);
        let ports: BTreeSet<u16> =
            asked.filter(|service| service.transport() == transport).filter_map(truth::port).collect();
        let own = |port: &u16| transport == Transport::Tcp || PAYLOADS.iter().all(|(known, _)| known != port);
        ports.iter().filter(|port| own(port)).map(u16::to_string).collect::<Vec<_>>().join(",")
    };
    let target = address.to_string();
    let common = ["nmap", "-n", "-Pn", "-T4", "--max-retries", "3", "-oX", "-", &target];
    let mut seen = BTreeMap::new();
    for (transport, scan) in [(Transport::Tcp, "-sS"), (Transport::Udp, "-sU")] {
        let ports = list(transport);
        if !ports.is_empty() {
            seen.extend(nmap(lab, vantage, &[&common[..], &[scan, "-p", &ports]].concat(), address)?);
        }
    }
    let source = topology().address(vantage).with_context(|| format!("{vantage} has no address"))?;
    let source: String = source.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    let asked = |port: &u16| flows.iter().any(|flow| truth::port(flow.service) == Some(*port));
    for (port, payload) in PAYLOADS.into_iter().filter(|(port, _)| asked(port)) {
        let port = port.to_string();
        let payload = payload.replace("SOURCE", &source);
        let argv = [&common[..], &["-sU", "-g", SOURCE_PORT, "-p", &port, "--data", &payload]].concat();
        seen.extend(nmap(lab, vantage, &argv, address)?);
    }
    // Its exit code only says whether an answer came.
    let mut ping = lab.exec(vantage, ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", &target])?;
    let output = ping.output().context("start ping")?;
    seen.insert((Transport::Icmp, None), echo(&String::from_utf8_lossy(&output.stdout)));
    Ok(seen)
}

fn nmap(lab: &Lab, vantage: &str, argv: &[&str], target: Ipv4Addr) -> anyhow::Result<BTreeMap<Key, Seen>> {
    let xml = tool::run(&lab.exec(vantage, argv)?)?;
    Ok(xml.split("<port ").skip(1).filter_map(|port| parse_port(port, target)).collect())
}

/// One port of nmap's XML.
fn parse_port(xml: &str, target: Ipv4Addr) -> Option<(Key, Seen)> {
    let attribute = |name: &str| Some(xml.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0);
    let transport = if xml.starts_with("protocol=\"tcp\"") { Transport::Tcp } else { Transport::Udp };
    let signal = match attribute("reason")? {
        "syn-ack" | "udp-response" => Signal::Reply,
        "no-response" => Signal::Silence,
        "reset" => Signal::Rst,
        "net-unreach" => Signal::Icmp(3, 0),
        "host-unreach" => Signal::Icmp(3, 1),
        "port-unreach" => Signal::Icmp(3, 3),
        "net-prohibited" => Signal::Icmp(3, 9),
        "host-prohibited" => Signal::Icmp(3, 10),
        "admin-prohibited" => Signal::Icmp(3, 13),
        _ => return None,
    };
    let by = attribute("reason_ip").and_then(|by| by.parse().ok()).filter(|by| *by != target);
    let ttl = attribute("reason_ttl").and_then(|ttl| ttl.parse().ok());
    Some(((transport, Some(attribute("portid")?.parse().ok()?)), Seen { signal, by, ttl }))
}

/// The output of ping.
fn echo(text: &str) -> Seen {
    let refusal = text.lines().find_map(|line| {
        let (from, rest) = line.strip_prefix("From ")?.split_once(' ')?;
        let signal = if rest.contains("Host Unreachable") { Signal::Icmp(3, 1) } else { Signal::Icmp(3, 13) };
        Some(Seen { signal, by: from.trim_end_matches(':').parse().ok(), ttl: None })
    });
    let plain = |signal| Seen { signal, by: None, ttl: None };
    refusal
        .unwrap_or_else(|| plain(if text.contains("bytes from") { Signal::Reply } else { Signal::Silence }))
}

/// Whether [`after_handshake`] can tell.
fn says_nothing_or_http(flow: &Expectation) -> bool {
    flow.outcome == Outcome::Mute || flow.service.protocol() == Protocol::Ldap
}

/// What comes when an LDAP search is sent: nothing, or something that is not LDAP.
fn after_handshake(lab: &Lab, flow: &Expectation) -> anyhow::Result<()> {
    let port = truth::port(flow.service).context("a service without a port")?;
    namespace::within(&lab.namespace(&flow.vantage), || {
        let mut stream = ready::tcp(flow.address, port)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(ready::ROOT_DSE)?;
        let mut reply = [0; 64];
        let answer = stream.read(&mut reply).map(|length| reply.get(..length).unwrap_or_default());
        match (flow.outcome, answer) {
            (Outcome::Wrong, Ok(bytes)) if !bytes.is_empty() && !bytes.starts_with(b"\x30") => Ok(()),
            (Outcome::Mute, Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            (expected, answer) => anyhow::bail!("expected {expected} after the handshake, seen {answer:?}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 10);

    #[test]
    fn a_port_of_nmap_is_read() {
        let xml = r#"protocol="tcp" portid="636"><state state="filtered" reason="admin-prohibited" reason_ttl="64" reason_ip="10.77.20.1"/><service name="x"/></port>"#;
        let (key, seen) = parse_port(xml, TARGET).unwrap();
        assert_eq!(key, (Transport::Tcp, Some(636)));
        assert_eq!(seen.signal, Signal::Icmp(3, 13));
        assert_eq!(seen.by, Some(Ipv4Addr::new(10, 77, 20, 1)));
    }

    #[test]
    fn a_forged_rst_differs_from_the_targets_own() {
        let flow =
            |outcome| truth().into_iter().find(|e| e.outcome == outcome && e.signal == Signal::Rst).unwrap();
        let own = Seen { signal: Signal::Rst, by: None, ttl: Some(TARGET_TTL) };
        let forged = Seen { ttl: Some(64), ..own.clone() };
        assert_eq!(compare(&flow(Outcome::Closed), &own), None);
        assert_eq!(compare(&flow(Outcome::Rejected), &forged), None);
        assert!(compare(&flow(Outcome::Closed), &forged).is_some());
        assert!(compare(&flow(Outcome::Rejected), &own).is_some());
    }

    #[test]
    fn ping_tells_replies_refusals_and_silence() {
        assert_eq!(echo("64 bytes from 10.77.1.10: icmp_seq=1 ttl=62").signal, Signal::Reply);
        assert_eq!(echo("PING\n\n3 packets transmitted, 0 received").signal, Signal::Silence);
        let refused = echo("PING\nFrom 10.77.254.2 icmp_seq=1 Destination Host Unreachable");
        assert_eq!((refused.signal, refused.by), (Signal::Icmp(3, 1), Some(Ipv4Addr::new(10, 77, 254, 2))));
    }
}
