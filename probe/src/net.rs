//! Sockets: one attempt at a time, and what the kernel tells of it.
//!
//! Everything here works for an unprivileged user on Linux: `IP_RECVERR` puts ICMP errors, with the address of the
//! device that sent them, on the socket's error queue (ip(7)). Attempts do not time out by themselves: the runner drops
//! them.

mod datagram;
mod errors;
mod icmp;
mod tcp;
mod udp;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sekisho_checks::{exchange::Exchange, flow::Signal};
use sekisho_model::Transport;

pub(crate) use datagram::{Failure, Received, converse};
pub use icmp::IcmpAccess;
pub(crate) use tcp::Conversation;

/// Where an attempt goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) transport: Transport,
    pub(crate) address: IpAddr,
    /// 0 for ICMP.
    pub(crate) port: u16,
    /// IP time to live, where not the system's default.
    pub(crate) ttl: Option<u8>,
    pub(crate) icmp: IcmpAccess,
}

impl Aim {
    const fn socket(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
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
}

impl Told {
    const fn signal(signal: Option<Signal>) -> Self {
        Self { signal, rtt: None }
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
            return icmp::begin(aim).map(|s| Begun { source: s.source(), socket: Socket::Icmp(s) });
        }
    };
    match begun {
        Ok((source, socket)) => Ok(Begun { source, socket }),
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
