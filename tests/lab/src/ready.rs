//! Asks services whether they are there, from the namespace that the caller is in.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use sekisho_model::Transport;

use crate::{namespace, scene::Port};

const TIMEOUT: Duration = Duration::from_millis(500);

/// How long a server may take to listen. On an idle machine it needs a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ports on which a domain controller listens.
const PORTS: [u16; 9] = [53, 88, 135, 389, 445, 464, 636, 3268, 3269];

/// An anonymous search of the rootDSE for `dnsHostName`.
pub(crate) const ROOT_DSE: &[u8] =
    b"\x30\x32\x02\x01\x01\x63\x2d\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\
    \x87\x0bobjectClass\x30\x0d\x04\x0bdnsHostName";

/// Whether a domain controller answers: ports, rootDSE, SRV records, time. The error says what is missing.
pub(crate) fn domain_controller(address: Ipv4Addr, domain: &str) -> anyhow::Result<()> {
    for port in PORTS {
        tcp(address, port)?;
    }
    root_dse(address).context("the rootDSE does not answer")?;
    service_record(address, domain).context("the SRV record of the domain does not resolve")?;
    time(address).context("the time server does not answer")
}

/// Whether something listens.
pub(crate) fn tcp(address: Ipv4Addr, port: u16) -> anyhow::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(IpAddr::V4(address), port), TIMEOUT)
        .with_context(|| format!("{address} does not accept TCP {port}"))
}

/// Waits until every port of a host of a namespace accepts.
pub(crate) fn wait_for_ports(namespace: &str, address: Ipv4Addr, ports: &[u16]) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    namespace::within(namespace, || {
        for port in ports {
            while let Err(error) = tcp(address, *port) {
                if Instant::now() > deadline {
                    return Err(error.context(format!(
                        "the server of {namespace} did not start within {} s",
                        PATIENCE.as_secs()
                    )));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    })
}

/// Waits until programs of a namespace listen on every port.
pub(crate) fn wait_for_listeners(namespace: &str, ports: &[Port]) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    namespace::within(namespace, || {
        for port in ports {
            while !listens(*port)? {
                ensure!(Instant::now() < deadline, "nothing listens on {port:?} in {namespace}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    })
}

/// Whether the kernel has such a socket: the local port in hexadecimal, and for TCP state 0A (listening). See proc(5).
fn listens(Port(transport, port): Port) -> anyhow::Result<bool> {
    let path = format!("/proc/thread-self/net/{transport}");
    let table = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(table.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let local = words.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
        local && (transport == Transport::Udp || words.get(3) == Some(&"0A"))
    }))
}

fn root_dse(address: Ipv4Addr) -> anyhow::Result<()> {
    let mut stream = tcp(address, 389)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(ROOT_DSE)?;
    let mut reply = [0; 512];
    let length = stream.read(&mut reply)?;
    let reply = reply.get(..length).unwrap_or_default();
    ensure!(reply.windows(11).any(|window| window == b"dnsHostName"), "a reply without dnsHostName");
    Ok(())
}

fn service_record(address: Ipv4Addr, domain: &str) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((address, 53))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.send(&question(&format!("_ldap._tcp.dc._msdcs.{domain}"))?)?;
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply)?;
    match reply.get(..length) {
        Some([0x5e, 0x15, _, flags, _, _, high, low, ..]) => {
            ensure!(flags & 0x0f == 0, "response code {}", flags & 0x0f);
            ensure!((*high, *low) != (0, 0), "no answer in the response");
            Ok(())
        }
        _ => anyhow::bail!("not a response to the question"),
    }
}

/// Client request and server reply are told apart by the mode, the low three bits (RFC 5905, section 7.3).
fn time(address: Ipv4Addr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((address, 123))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let mut packet = [0; 48];
    packet[0] = 0x23;
    socket.send(&packet)?;
    socket.recv(&mut packet)?;
    ensure!(packet[0] & 7 == 4, "a packet of mode {}", packet[0] & 7);
    Ok(())
}

/// A DNS query for SRV records.
fn question(name: &str) -> anyhow::Result<Vec<u8>> {
    let mut query = b"\x5e\x15\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).context("a label of more than 255 bytes")?);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(b"\x00\x00\x21\x00\x01");
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_the_search_are_right() {
        assert_eq!(usize::from(ROOT_DSE[1]), ROOT_DSE.len() - 2);
        assert_eq!(usize::from(ROOT_DSE[6]), ROOT_DSE.len() - 7);
    }

    #[test]
    fn a_question_is_labels_type_and_class() {
        let query = question("a.bc").unwrap();
        assert_eq!(query.get(12..), Some(&b"\x01a\x02bc\x00\x00\x21\x00\x01"[..]));
    }
}
