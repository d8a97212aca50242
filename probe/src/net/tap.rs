//! Packets as they come and go on this machine, for those who may see them (CAP_NET_RAW): packet(7).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket as StdUdpSocket},
    time::SystemTime,
};

use sekisho_model::Transport;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// ETH_P_ALL of linux/if_ether.h: every protocol, in both directions.
const EVERYTHING: u16 = 0x0003;
/// Longest packet that is seen whole.
const LONGEST: usize = 65_535;
/// Bytes that the kernel keeps while nobody reads. What comes beyond is lost.
const BUFFER: usize = 8 << 20;

/// One packet, from its IP header on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// When it was read.
    pub(crate) at: SystemTime,
    pub(crate) bytes: Vec<u8>,
}

/// A listener on all interfaces of the network namespace.
#[derive(Debug)]
pub(crate) struct Tap {
    /// Of the packet family; the runtime asks only that it can be polled and read.
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Tap {
    /// Begins to listen.
    ///
    /// # Errors
    /// Mostly that it is not permitted.
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(EVERYTHING.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(protocol))?;
        socket.set_recv_buffer_size(BUFFER)?;
        let socket = UdpSocket::from_std(StdUdpSocket::from(socket))?;
        Ok(Self { socket, buffer: vec![0; LONGEST] })
    }

    /// Waits for the next packet.
    pub(crate) async fn next(&mut self) -> io::Result<Packet> {
        let count = self.socket.recv(&mut self.buffer).await?;
        let bytes = self.buffer.get(..count).unwrap_or_default().to_vec();
        Ok(Packet { at: SystemTime::now(), bytes })
    }
}

/// What the headers of a packet say, as far as it is of interest here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    /// IP time to live as it was on arrival.
    pub(crate) ttl: u8,
    pub(crate) next: Next,
}

/// What is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// TCP segment: ports and flags.
    Tcp { from: u16, to: u16, flags: u8 },
    /// UDP datagram: ports.
    Udp { from: u16, to: u16 },
    /// ICMP or ICMPv6 message. An error quotes the packet that it is about.
    Icmp { identifier: u16, quoted: Option<Quoted> },
    /// A later fragment, or another protocol.
    Other,
}

/// The packet that an ICMP error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    /// Transport and ports; `None` of an echo, and of other protocols.
    pub(crate) ports: Option<(Transport, u16, u16)>,
}

impl Quoted {
    /// Reads an IP header and what is there of the next: at least 8 octets of it (RFC 792).
    fn of(packet: &[u8]) -> Option<Self> {
        let (from, to, _, protocol, rest) = addresses(packet)?;
        let transport = match protocol {
            TCP => Some(Transport::Tcp),
            UDP => Some(Transport::Udp),
            _ => None,
        };
        let ports = transport
            .zip(rest)
            .and_then(|(transport, rest)| Some((transport, word(rest, 0)?, word(rest, 2)?)));
        Some(Self { from, to, ports })
    }
}

/// Flags of RFC 9293 section 3.1.
pub(crate) const RST: u8 = 0x04;
/// SYN and ACK.
pub(crate) const SYN_ACK: u8 = 0x12;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;

impl Header {
    /// Reads an IPv4 (RFC 791) or IPv6 (RFC 8200) packet; `None` for anything else. Extension headers of IPv6 are not
    /// followed.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let (from, to, ttl, protocol, rest) = addresses(packet)?;
        let next = match (protocol, rest) {
            (TCP, Some(rest)) => {
                Next::Tcp { from: word(rest, 0)?, to: word(rest, 2)?, flags: *rest.get(13)? }
            }
            (UDP, Some(rest)) => Next::Udp { from: word(rest, 0)?, to: word(rest, 2)? },
            (ICMP | ICMP_V6, Some(rest)) => {
                let quoted = rest.get(8..).and_then(Quoted::of);
                let is_error = if protocol == ICMP {
                    matches!(rest.first(), Some(3 | 4 | 5 | 11 | 12))
                } else {
                    matches!(rest.first(), Some(0..=127))
                };
                Next::Icmp { identifier: word(rest, 4)?, quoted: quoted.filter(|_| is_error) }
            }
            (_, _) => Next::Other,
        };
        Some(Self { from, to, ttl, next })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// See [`addresses`].
type Addressed<'a> = (IpAddr, IpAddr, u8, u8, Option<&'a [u8]>);

/// Addresses, time to live, protocol, and what follows the header; `None` for what follows in a later fragment.
fn addresses(packet: &[u8]) -> Option<Addressed<'_>> {
    match packet.first()? >> 4 {
        4 => {
            let length = usize::from(packet.first()? & 0x0f) * 4;
            let address = |at: usize| {
                let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                Some(IpAddr::from(Ipv4Addr::from(octets)))
            };
            let is_later = word(packet, 6)? & 0x1fff != 0;
            let rest = packet.get(length.max(20)..).filter(|_| !is_later);
            Some((address(12)?, address(16)?, *packet.get(8)?, *packet.get(9)?, rest))
        }
        6 => {
            let address = |at: usize| {
                let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                Some(IpAddr::from(Ipv6Addr::from(octets)))
            };
            Some((address(8)?, address(24)?, *packet.get(7)?, *packet.get(6)?, packet.get(40..)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet with this protocol, fragment field and contents.
    fn packet(protocol: u8, fragment: u16, contents: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0];
        packet.extend(fragment.to_be_bytes());
        packet.extend([62, protocol, 0, 0, 10, 77, 1, 10, 10, 77, 20, 20]);
        packet.extend(contents);
        packet
    }

    #[test]
    fn ports_flags_and_time_to_live_are_read() {
        let segment = [0x01, 0xbd, 0xc0, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, RST, 0, 0, 0, 0, 0, 0];
        let header = Header::of(&packet(TCP, 0x4000, &segment)).unwrap();
        assert_eq!(header.from, "10.77.1.10".parse::<IpAddr>().unwrap());
        assert_eq!((header.ttl, header.next), (62, Next::Tcp { from: 445, to: 49_152, flags: RST }));
        let datagram = [0, 53, 0xc0, 0, 0, 8, 0, 0];
        let header = Header::of(&packet(UDP, 0, &datagram)).unwrap();
        assert_eq!(header.next, Next::Udp { from: 53, to: 49_152 });
    }

    #[test]
    fn an_icmp_error_quotes_addresses_and_a_later_fragment_has_no_ports() {
        let quoted = packet(UDP, 0, &[0, 53, 0, 99, 0, 8, 0, 0]);
        let error = [&[3, 13, 0, 0, 0, 0, 0, 0], quoted.as_slice()].concat();
        let Next::Icmp { quoted: Some(quoted), .. } = Header::of(&packet(ICMP, 0, &error)).unwrap().next
        else {
            panic!("no quoted packet")
        };
        assert_eq!(quoted.from, "10.77.1.10".parse::<IpAddr>().unwrap());
        assert_eq!(quoted.ports, Some((Transport::Udp, 53, 99)));
        assert_eq!(Header::of(&packet(UDP, 0x00b9, &[0; 8])).unwrap().next, Next::Other);
    }

    #[test]
    fn cut_packets_are_no_packets() {
        let whole = packet(TCP, 0, &[0; 20]);
        for length in 0..34 {
            assert_eq!(Header::of(&whole[..length]), None, "{length}");
        }
        assert_eq!(Header::of(&[0x15; 40]), None);
    }
}
