//! Socket errors to signals, with the error queue for the device behind an ICMP error.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
};
use sekisho_checks::{classify::IcmpError, flow::Signal};

/// Entries read from the error queue for one error.
const QUEUE_READS: usize = 8;

/// Asks for ICMP errors on the socket's error queue.
pub(super) fn want_icmp_errors(socket: &impl AsFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
    }
    Ok(())
}

/// Sets the IP time to live of what the socket sends.
pub(super) fn set_ttl(socket: &socket2::Socket, address: IpAddr, ttl: Option<u8>) -> io::Result<()> {
    match (ttl, address) {
        (None, _) => Ok(()),
        (Some(ttl), IpAddr::V4(_)) => socket.set_ttl_v4(ttl.into()),
        (Some(ttl), IpAddr::V6(_)) => socket.set_unicast_hops_v6(ttl.into()),
    }
}

/// Takes the first ICMP error off the socket's error queue.
pub(super) fn icmp_error(socket: &impl AsRawFd) -> Option<IcmpError> {
    icmp_error_about(socket, |_| true)
}

/// Takes ICMP errors off the socket's error queue up to the first that is about a packet of ours: raw sockets are told of
/// everybody's. The packet is what the error message quotes of it, without its IP header.
pub(super) fn icmp_error_about(socket: &impl AsRawFd, ours: impl Fn(&[u8]) -> bool) -> Option<IcmpError> {
    first_queued(socket, |control, quoted| from_control(control).filter(|_| ours(quoted)))
}

/// Takes entries off the socket's error queue (ip(7)) up to the first of which `take` makes something: of its control
/// messages, and of the packet that it quotes.
pub(super) fn first_queued<T>(
    socket: &impl AsRawFd,
    take: impl Fn(&ControlMessageOwned, &[u8]) -> Option<T>,
) -> Option<T> {
    for _ in 0..QUEUE_READS {
        let mut data = [0_u8; 256];
        let mut control = vec![0_u8; 256];
        let mut buffers = [io::IoSliceMut::new(&mut data)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut buffers,
            Some(&mut control),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )
        .ok()?;
        let controls: Vec<ControlMessageOwned> = message.cmsgs().ok()?.collect();
        let length = message.bytes;
        let quoted = data.get(..length).unwrap_or_default();
        let found = controls.iter().find_map(|control| take(control, quoted));
        if found.is_some() {
            return found;
        }
    }
    None
}

fn from_control(control: &ControlMessageOwned) -> Option<IcmpError> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other control message is of no interest")]
    match control {
        ControlMessageOwned::Ipv4RecvErr(error, Some(offender))
            if error.ee_origin == libc::SO_EE_ORIGIN_ICMP =>
        {
            let offender = Ipv4Addr::from(u32::from_be(offender.sin_addr.s_addr)).into();
            Some(IcmpError { kind: error.ee_type, code: error.ee_code, offender })
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(offender))
            if error.ee_origin == libc::SO_EE_ORIGIN_ICMP6 =>
        {
            let offender = Ipv6Addr::from(offender.sin6_addr.s6_addr).into();
            Some(IcmpError { kind: error.ee_type, code: error.ee_code, offender })
        }
        _ => None,
    }
}

/// What an error of a socket says about the flow; `None` when it says nothing.
///
/// `icmp` is what the error queue held when the error came.
pub(super) fn signal(error: &io::Error, icmp: Option<IcmpError>, what: &str) -> Option<Signal> {
    if let Some(icmp) = icmp {
        return Some(Signal::Icmp(icmp));
    }
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other error is this machine's own trouble")]
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ECONNREFUSED) => Some(Signal::Reset),
        Some(Errno::ETIMEDOUT) => None,
        Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH) => Some(Signal::NoRoute(format!("{what}: {error}"))),
        Some(Errno::EPERM | Errno::EACCES) => Some(Signal::Local(format!(
            "{what}: {error} (this machine's own firewall, or a missing permission)"
        ))),
        _ => Some(Signal::Local(format!("{what}: {error}"))),
    }
}
