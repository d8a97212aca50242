//! ICMP echo, RFC 792 and RFC 4443 section 4, through an unprivileged socket where the system grants one.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

use sekisho_checks::flow::Signal;
use sekisho_model::Facts;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, time::Instant};

use super::{Aim, RoundTrip, Told, errors};

/// How this process may send ICMP echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpAccess {
    /// A datagram socket: `net.ipv4.ping_group_range` covers one of this process's groups.
    Unprivileged,
    /// A raw socket: the process has CAP_NET_RAW.
    Raw,
    /// Neither.
    None,
}

impl IcmpAccess {
    /// Asks the system what it grants.
    #[must_use]
    pub fn detect() -> Self {
        let may = |kind| Socket::new(Domain::IPV4, kind, Some(Protocol::ICMPV4)).is_ok();
        if may(Type::DGRAM) {
            Self::Unprivileged
        } else if may(Type::RAW) {
            Self::Raw
        } else {
            Self::None
        }
    }

    /// The word used in the session with the controller and in facts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unprivileged => "unprivileged",
            Self::Raw => "raw",
            Self::None => "none",
        }
    }
}

/// What a person must do to have ICMP echo tested.
const NOT_PERMITTED: &str = "ICMP echo is not permitted to this process: let net.ipv4.ping_group_range cover its group, \
                             or give it CAP_NET_RAW";

const ECHO_V4: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);

/// A socket that may send echo requests to the target.
#[derive(Debug)]
pub(super) struct Ready {
    socket: UdpSocket,
    aim: Aim,
}

pub(super) fn begin(aim: Aim) -> Result<Ready, Signal> {
    if aim.icmp == IcmpAccess::None {
        return Err(Signal::Local(NOT_PERMITTED.to_owned()));
    }
    match open(aim) {
        Ok(socket) => Ok(Ready { socket, aim }),
        Err(error) => Err(errors::signal(&error, None, "open an ICMP socket")
            .unwrap_or_else(|| Signal::Local(format!("open an ICMP socket: {error}")))),
    }
}

fn open(aim: Aim) -> io::Result<UdpSocket> {
    let kind = if aim.icmp == IcmpAccess::Raw { Type::RAW } else { Type::DGRAM };
    let (domain, protocol) = match aim.address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
    errors::want_icmp_errors(&socket, aim.address)?;
    errors::set_ttl(&socket, aim.address, aim.ttl)?;
    socket.connect(&aim.socket().into())?;
    UdpSocket::from_std(StdUdpSocket::from(socket))
}

impl Ready {
    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok().map(|source| SocketAddr::new(source.ip(), 0))
    }

    pub(super) async fn echo(self) -> Told {
        static SEQUENCE: AtomicU16 = AtomicU16::new(1);
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let (socket, aim) = (self.socket, self.aim);
        let nonce = uuid::Uuid::new_v4();
        let request = echo_request(aim.address, sequence, nonce.as_bytes());
        let began = Instant::now();
        if let Err(error) = socket.send(&request).await {
            return Told::signal(errors::signal(&error, errors::icmp_error(&socket), "send"));
        }
        let mut buffer = vec![0; 2_048];
        loop {
            match socket.recv(&mut buffer).await {
                Ok(count) => {
                    let reply = buffer.get(..count).unwrap_or_default();
                    if is_reply(reply, aim, nonce.as_bytes()) {
                        let rtt = Some(RoundTrip::Process(began.elapsed()));
                        return Told { rtt, ..Told::signal(Some(Signal::Proven(Facts::new()))) };
                    }
                }
                Err(error) => {
                    let icmp = errors::icmp_error_about(&socket, |quoted| is_request(quoted, aim, &request));
                    // A raw socket fails with errors about anybody's packets.
                    if icmp.is_some() || aim.icmp != IcmpAccess::Raw {
                        return Told::signal(errors::signal(&error, icmp, "receive"));
                    }
                }
            }
        }
    }
}

/// Echo request with the nonce as payload. On a datagram socket the kernel sets identifier and checksum itself.
fn echo_request(address: IpAddr, sequence: u16, nonce: &[u8; 16]) -> Vec<u8> {
    let kind = if address.is_ipv4() { ECHO_V4.0 } else { ECHO_V6.0 };
    let [high, low] = sequence.to_be_bytes();
    let mut packet = vec![kind, 0, 0, 0, nonce[0], nonce[1], high, low];
    packet.extend_from_slice(nonce);
    if address.is_ipv4() {
        let sum = checksum(&packet);
        packet.splice(2..4, sum.to_be_bytes());
    }
    packet
}

/// Internet checksum, RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let word =
            u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]);
        sum = sum.wrapping_add(u32::from(word));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Whether the packet is the reply to our request: type and payload. A raw IPv4 socket delivers the IP header too.
fn is_reply(packet: &[u8], aim: Aim, nonce: &[u8; 16]) -> bool {
    let packet = if aim.icmp == IcmpAccess::Raw && aim.address.is_ipv4() {
        let header = usize::from(packet.first().copied().unwrap_or(0) & 0x0f) * 4;
        packet.get(header..).unwrap_or_default()
    } else {
        packet
    };
    let kind = if aim.address.is_ipv4() { ECHO_V4.1 } else { ECHO_V6.1 };
    packet.first() == Some(&kind) && packet.get(8..24) == Some(nonce.as_slice())
}

/// Whether an ICMP error quotes our request: type, identifier and sequence number. An unprivileged socket is told of
/// no others.
fn is_request(quoted: &[u8], aim: Aim, request: &[u8]) -> bool {
    aim.icmp != IcmpAccess::Raw
        || (quoted.first() == request.first() && quoted.get(4..8) == request.get(4..8) && quoted.len() >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_a_whole_packet_is_zero() {
        let packet = echo_request("10.0.0.1".parse().unwrap(), 7, &[9; 16]);
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn only_the_reply_with_our_nonce_counts() {
        let aim = Aim {
            transport: sekisho_model::Transport::Icmp,
            address: "10.0.0.1".parse().unwrap(),
            port: 0,
            ttl: None,
            source: None,
            icmp: IcmpAccess::Raw,
        };
        let mut reply = vec![0x45; 20];
        reply.extend(echo_request(aim.address, 7, &[9; 16]));
        reply[20] = 0;
        assert!(is_reply(&reply, aim, &[9; 16]));
        assert!(!is_reply(&reply, aim, &[8; 16]));
        assert!(!is_reply(&reply[..30], aim, &[9; 16]));
        assert!(!is_reply(&[], aim, &[9; 16]));
    }
}
