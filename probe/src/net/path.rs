//! What the kernel knows of a path, and how large it lets packets be: ip(7), ipv6(7), tcp(7).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    libc,
    sys::socket::{ControlMessageOwned, getsockopt, sockopt},
};

use super::{errors, info::Info};

/// ICMP "fragmentation needed", RFC 792: type and code.
const FRAGMENTATION_NEEDED: (u8, u8) = (3, 4);
/// ICMPv6 "packet too big", RFC 4443 section 3.2: type.
const PACKET_TOO_BIG: u8 = 2;

/// What becomes of datagrams that a link on the path cannot carry whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizing {
    /// They are cut into fragments, here and on the way.
    Fragments,
    /// They carry "don't fragment", and may be as large as the first link allows, whatever the kernel learned before.
    Whole,
}

/// A packet was larger than a link on its path carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooBig {
    /// What the link carries, octets with the IP header; 0 where the device does not tell.
    pub(crate) mtu: u32,
    /// The device that said so; `None`: this host.
    pub(crate) by: Option<IpAddr>,
}

/// What the kernel knows of a connection. Sizes are octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpPath {
    /// Handed to the kernel and not acknowledged by the peer.
    pub(crate) outstanding: u32,
    /// Largest packet that is sent, with its headers.
    pub(crate) largest_sent: u32,
    /// What the route to the peer carries, as far as the kernel has learned.
    pub(crate) route_mtu: u32,
    /// Largest segment that this host told the peer to send, without headers.
    pub(crate) advertised_mss: u32,
}

/// Decides about datagrams that are too large.
pub(crate) fn set_sizing(socket: &impl AsRawFd, to: IpAddr, sizing: Sizing) -> io::Result<()> {
    let (level, name, value) = match (to, sizing) {
        (IpAddr::V4(_), Sizing::Fragments) => {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
        }
        (IpAddr::V4(_), Sizing::Whole) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        (IpAddr::V6(_), Sizing::Fragments) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)
        }
        (IpAddr::V6(_), Sizing::Whole) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
        }
    };
    #[allow(unsafe_code, reason = "no library of this project sets this option")]
    // SAFETY: the kernel reads one `c_int` from `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the route of a connected IPv4 socket carries, as far as the kernel has learned.
pub(crate) fn route_mtu(socket: &impl AsFd) -> Option<u32> {
    u32::try_from(getsockopt(socket, sockopt::IpMtu).ok()?).ok()
}

/// Takes entries off the socket's error queue up to the first that says that a packet was too large.
pub(crate) fn too_big(socket: &impl AsRawFd) -> Option<TooBig> {
    errors::first_queued(socket, |control, _| from_control(control))
}

fn from_control(control: &ControlMessageOwned) -> Option<TooBig> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other control message is of no interest")]
    let (error, by) = match control {
        ControlMessageOwned::Ipv4RecvErr(error, offender) => {
            (error, offender.map(|o| Ipv4Addr::from(u32::from_be(o.sin_addr.s_addr)).into()))
        }
        ControlMessageOwned::Ipv6RecvErr(error, offender) => {
            (error, offender.map(|o| Ipv6Addr::from(o.sin6_addr.s6_addr).into()))
        }
        _ => return None,
    };
    let code = (error.ee_type, error.ee_code);
    match error.ee_origin {
        libc::SO_EE_ORIGIN_LOCAL if error.ee_errno == libc::EMSGSIZE.unsigned_abs() => {
            Some(TooBig { mtu: error.ee_info, by: None })
        }
        libc::SO_EE_ORIGIN_ICMP if code == FRAGMENTATION_NEEDED => Some(TooBig { mtu: error.ee_info, by }),
        libc::SO_EE_ORIGIN_ICMP6 if code.0 == PACKET_TOO_BIG => Some(TooBig { mtu: error.ee_info, by }),
        _ => None,
    }
}

/// What the kernel knows of a connection.
pub(crate) fn tcp_path(stream: &impl AsRawFd, peer: IpAddr) -> Option<TcpPath> {
    let info = Info::of(stream)?;
    let ip_header = if peer.is_ipv4() { 20 } else { 40 };
    // Timestamps (RFC 7323 section 3.2) with their padding are the one option that every segment may carry.
    let options = if info.timestamps { 12 } else { 0 };
    Some(TcpPath {
        outstanding: outstanding(stream)?,
        largest_sent: info.sent_mss.saturating_add(options).saturating_add(ip_header + TCP_HEADER),
        route_mtu: info.route_mtu,
        advertised_mss: info.advertised_mss,
    })
}

/// A TCP header without options.
const TCP_HEADER: u32 = 20;

/// SIOCOUTQ, tcp(7).
fn outstanding(stream: &impl AsRawFd) -> Option<u32> {
    let mut octets: libc::c_int = 0;
    #[allow(unsafe_code, reason = "no library of this project asks for SIOCOUTQ")]
    // SAFETY: the kernel writes one `c_int` into `octets`, which outlives the call.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result == 0 { u32::try_from(octets).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    const HOME: &str = "127.0.0.1:0";

    #[test]
    fn what_is_not_acknowledged_is_counted() {
        let listener = TcpListener::bind(HOME).unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let home = stream.peer_addr().unwrap().ip();
        let idle = tcp_path(&stream, home).unwrap();
        assert_eq!(idle.outstanding, 0);
        assert!(idle.largest_sent > 40 && idle.largest_sent <= idle.route_mtu, "{idle:?}");
        assert!(idle.advertised_mss > 0, "{idle:?}");
        // Nobody reads, so that the peer's window closes.
        stream.set_nonblocking(true).unwrap();
        while io::Write::write(&mut stream, &[0; 65_536]).is_ok() {}
        assert!(tcp_path(&stream, home).unwrap().outstanding > 0);
    }

    #[test]
    fn nothing_is_too_big_for_the_loopback() {
        let socket = UdpSocket::bind(HOME).unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        let home = socket.local_addr().unwrap().ip();
        nix::sys::socket::setsockopt(&socket, sockopt::Ipv4RecvErr, &true).unwrap();
        set_sizing(&socket, home, Sizing::Whole).unwrap();
        assert!(route_mtu(&socket).is_some_and(|mtu| mtu >= 1_500));
        socket.send(&[0; 1_400]).unwrap();
        assert_eq!(too_big(&socket), None);
    }
}
