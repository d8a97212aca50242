//! Sockets: one attempt at a time, and what the kernel tells of it.
//!
//! Everything here works for an unprivileged user on Linux: `IP_RECVERR` puts ICMP errors, with the address of the
//! device that sent them, on the socket's error queue (ip(7)). Attempts do not time out by themselves: the runner drops
//! them when the flow is decided.

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

pub use icmp::IcmpAccess;

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

/// What an attempt told.
#[derive(Debug)]
pub(crate) struct Told {
    /// `None`: an error that says nothing about the flow; the attempt counts as silent.
    pub(crate) signal: Option<Signal>,
    /// Round trip of handshake, datagram or echo.
    pub(crate) rtt: Option<Duration>,
    pub(crate) source: Option<SocketAddr>,
}

/// What happens while an attempt is under way.
pub(crate) trait Watch: Send {
    /// The socket is bound.
    fn bound(&mut self, source: SocketAddr);
    /// The handshake completed; a reply is awaited.
    fn connected(&mut self, rtt: Duration);
}

/// Makes one attempt.
pub(crate) async fn attempt(aim: Aim, exchange: Option<Box<dyn Exchange>>, watch: &mut dyn Watch) -> Told {
    match aim.transport {
        Transport::Tcp => tcp::attempt(aim, exchange, watch).await,
        Transport::Udp => udp::attempt(aim, exchange, watch).await,
        Transport::Icmp => icmp::attempt(aim, watch).await,
    }
}
