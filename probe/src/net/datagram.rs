//! One request from a fresh port, and the datagrams that come back: with the time they took and the IP time to live they
//! arrived with, which tells apart two devices that answer for one address.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4RecvTtl, Ipv6RecvHopLimit},
};
use sekisho_checks::classify::IcmpError;
use sekisho_model::Outcome;
use tokio::{io::Interest, net::UdpSocket, time::Instant};

use super::{errors, udp};

/// Largest datagram taken, octets. A longer one is cut, and then not understood.
const DATAGRAM: usize = 16_384;
/// Datagrams of one attempt that may be something else than the reply. With the last of them the attempt ends: somebody
/// floods.
const STRANGE: usize = 64;
/// Octets for control messages: the time to live, with room.
const CONTROL: usize = 128;

/// A reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received<T> {
    /// What was made of it.
    pub(crate) reply: T,
    /// From sending to receiving. This process's own delays are in it.
    pub(crate) took: Duration,
    /// IP time to live (hop limit) that it arrived with.
    pub(crate) ttl: Option<u8>,
}

/// Why no reply came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing came at all.
    Silent,
    /// The host says itself that nobody listens: a port unreachable from its own address, or a RST to a connection.
    Closed,
    /// A connection was accepted and ended before a reply was whole.
    Ended,
    /// Somebody sent an ICMP error.
    Icmp(IcmpError),
    /// Something came, and it is no reply.
    Garbage,
    /// No way leads there, says a device of the path or this machine.
    NoRoute(String),
    /// This machine could not send; what the system says.
    Local(String),
}

impl Failure {
    /// One word for facts.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Ended => "ended",
            Self::Icmp(_) => "icmp",
            Self::Garbage => "garbage",
            Self::NoRoute(_) => "unreachable",
            Self::Local(_) => "local",
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "every other outcome is somebody else's refusal")]
    fn of_icmp(icmp: IcmpError, address: IpAddr, local: Option<IpAddr>) -> Option<Self> {
        match icmp.outcome(address, local)? {
            Outcome::Closed => Some(Self::Closed),
            Outcome::Failed => Some(Self::Local(format!("{} from this machine itself", icmp.describe()))),
            _ => Some(Self::Icmp(icmp)),
        }
    }

    /// What the error of a socket says by itself.
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other error is this machine's own trouble")]
    pub(crate) fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Closed,
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                Self::Ended
            }
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::NoRoute(error.to_string())
            }
            _ => Self::Local(error.to_string()),
        }
    }

    /// What an error of a socket that was to reach `address` says, together with its error queue; `None`: nothing.
    pub(crate) fn of(
        error: &io::Error,
        socket: &impl AsRawFd,
        address: IpAddr,
        local: Option<IpAddr>,
    ) -> Option<Self> {
        match errors::icmp_error(socket) {
            Some(icmp) => Self::of_icmp(icmp, address, local),
            None => Some(Self::of_error(error)),
        }
    }
}

/// Sends a request and gives every datagram from the peer to `take`, until that makes a reply of one. Waits without end.
///
/// # Errors
/// Anything but [`Failure::Silent`].
pub(crate) async fn converse<T>(
    server: SocketAddr,
    request: &[u8],
    mut take: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Received<T>, Failure> {
    let own = |error: io::Error| Failure::Local(error.to_string());
    let socket = udp::socket(server, None).map_err(own)?;
    want_ttl(&socket, server.ip()).map_err(own)?;
    let local = socket.local_addr().ok().map(|local| local.ip());
    let began = Instant::now();
    if let Err(error) = socket.send(request).await {
        return Err(Failure::of(&error, &socket, server.ip(), local).unwrap_or(Failure::Silent));
    }
    let mut buffer = vec![0; DATAGRAM];
    for _ in 0..STRANGE {
        match socket.async_io(Interest::READABLE | Interest::ERROR, || receive(&socket, &mut buffer)).await {
            Ok((count, ttl)) => {
                if let Some(reply) = take(buffer.get(..count).unwrap_or_default()) {
                    return Ok(Received { reply, took: began.elapsed(), ttl });
                }
            }
            Err(error) => {
                if let Some(failure) = Failure::of(&error, &socket, server.ip(), local) {
                    return Err(failure);
                }
            }
        }
    }
    Err(Failure::Garbage)
}

fn want_ttl(socket: &UdpSocket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => setsockopt(socket, Ipv4RecvTtl, &true)?,
        IpAddr::V6(_) => setsockopt(socket, Ipv6RecvHopLimit, &true)?,
    }
    Ok(())
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    let mut control = [0; CONTROL];
    let mut buffers = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut buffers,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    #[allow(clippy::wildcard_enum_match_arm, reason = "no other control message was asked for")]
    let ttl = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => u8::try_from(ttl).ok(),
        _ => None,
    });
    Ok((message.bytes, ttl))
}
