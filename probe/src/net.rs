//! Sockets: one attempt at a time, and what the kernel tells of it.
//!
//! Everything here works for an unprivileged user on Linux: `IP_RECVERR` puts ICMP errors, with the address of the
//! device that sent them, on the socket's error queue (ip(7)). Attempts do not time out by themselves: the runner drops
//! them.

mod datagram;
mod errors;
mod icmp;
mod info;
pub(crate) mod path;
pub(crate) mod sockets;
pub(crate) mod tap;
mod tcp;
mod udp;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use sekisho_checks::{exchange::Exchange, flow::Signal};
use sekisho_model::Transport;

pub(crate) use datagram::{Failure, Received, converse};
pub use icmp::IcmpAccess;
pub(crate) use tcp::Conversation;
pub(crate) use tcp::connect;
pub(crate) use udp::socket as datagrams;

/// Where an attempt goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) transport: Transport,
    pub(crate) address: IpAddr,
    /// 0 for ICMP.
    pub(crate) port: u16,
    /// IP time to live, where not the system's default.
    pub(crate) ttl: Option<u8>,
    /// Local port, where it matters: packets of one pair of ports take one path. Otherwise a fresh one.
    pub(crate) source: Option<u16>,
    pub(crate) icmp: IcmpAccess,
}

impl Aim {
    const fn socket(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Gives a socket the local port that is wished for.
fn bind(socket: &socket2::Socket, to: IpAddr, port: Option<u16>) -> io::Result<()> {
    let Some(port) = port else { return Ok(()) };
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(any, port).into())
}

/// A measured round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoundTrip {
    /// By the kernel, from the handshake.
    Kernel(Duration),
    /// By this process: its own delays are in it.
    Process(Duration),
}

impl RoundTrip {
    pub(crate) const fn duration(self) -> Duration {
        match self {
            Self::Kernel(rtt) | Self::Process(rtt) => rtt,
        }
    }
}

/// What an attempt told.
#[derive(Debug)]
pub(crate) struct Told {
    /// `None`: nothing, or an error that says nothing about the flow; the attempt counts as silent.
    pub(crate) signal: Option<Signal>,
    /// Round trip of handshake, datagram or echo.
    pub(crate) rtt: Option<RoundTrip>,
    pub(crate) traffic: Traffic,
}

/// Bytes of the protocol, without headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u32,
    pub(crate) received: u32,
}

impl Traffic {
    fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}

impl Told {
    /// Nothing was heard.
    pub(crate) fn silent() -> Self {
        Self::signal(None)
    }

    fn signal(signal: Option<Signal>) -> Self {
        Self { signal, rtt: None, traffic: Traffic::default() }
    }
}

/// An attempt whose first packet is on its way.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Where it comes from.
    pub(crate) source: Option<SocketAddr>,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(tcp::Connecting),
    Udp(udp::Ready),
    Icmp(icmp::Ready),
}

/// What an attempt comes to.
pub(crate) enum Step {
    /// The handshake completed, and a reply is awaited.
    Connected(Option<RoundTrip>, Conversation),
    /// The end.
    Told(Told),
}

/// Begins an attempt.
///
/// # Errors
/// This machine cannot send; the signal says why.
pub(crate) fn begin(aim: Aim) -> Result<Begun, Signal> {
    let begun = match aim.transport {
        Transport::Tcp => tcp::begin(aim).map(|s| (s.source(), Socket::Tcp(s))),
        Transport::Udp => udp::begin(aim).map(|s| (s.source(), Socket::Udp(s))),
        Transport::Icmp => {
            sockets::note(aim.transport, None, aim.socket());
            return icmp::begin(aim).map(|s| Begun { source: s.source(), socket: Socket::Icmp(s) });
        }
    };
    match begun {
        Ok((source, socket)) => {
            sockets::note(aim.transport, source, aim.socket());
            Ok(Begun { source, socket })
        }
        Err(error) => Err(errors::signal(&error, None, "connect")
            .unwrap_or_else(|| Signal::Local(format!("connect: {error}")))),
    }
}

impl Begun {
    /// Waits for what comes first. Does not time out.
    pub(crate) async fn first(self, exchange: Option<Box<dyn Exchange>>) -> Step {
        match self.socket {
            Socket::Tcp(connecting) => connecting.first(exchange).await,
            Socket::Udp(ready) => Step::Told(ready.converse(exchange).await),
            Socket::Icmp(ready) => Step::Told(ready.echo().await),
        }
    }
}
