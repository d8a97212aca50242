//! UDP attempts: one request, and the datagrams that come back.

use std::{io, net::SocketAddr};

use sekisho_checks::{
    exchange::{Exchange, Progress},
    flow::Signal,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, time::Instant};

use super::{Aim, RoundTrip, Told, errors};

/// Largest datagram taken.
const DATAGRAM: usize = 16_384;
/// Source ports whose requests a Windows KDC ignores (Microsoft Learn, "LDAP and Kerberos Server may not respond to UDP
/// requests or may reset TCP sessions immediately after creation").
const IGNORED_BY_KDC: [u16; 4] = [88, 464, 22_528, 53_249];

/// A socket that is bound; nothing is sent yet.
#[derive(Debug)]
pub(super) struct Ready {
    socket: UdpSocket,
    source: SocketAddr,
}

pub(super) fn begin(aim: Aim) -> io::Result<Ready> {
    let socket = socket(aim.socket(), aim.ttl)?;
    let source = socket.local_addr()?;
    Ok(Ready { socket, source })
}

/// A socket to a port of a target, from a port of its own, that is told of ICMP errors.
pub(crate) fn socket(to: SocketAddr, ttl: Option<u8>) -> io::Result<UdpSocket> {
    loop {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        errors::want_icmp_errors(&socket, to.ip())?;
        errors::set_ttl(&socket, to.ip(), ttl)?;
        socket.connect(&to.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        if !IGNORED_BY_KDC.contains(&socket.local_addr()?.port()) {
            return Ok(socket);
        }
    }
}

impl Ready {
    pub(super) const fn source(&self) -> Option<SocketAddr> {
        Some(self.source)
    }

    pub(super) async fn converse(self, exchange: Option<Box<dyn Exchange>>) -> Told {
        let Some(mut exchange) = exchange else {
            let why = "a bare UDP port cannot be tested: silence proves nothing without a known request";
            return Told::signal(Some(Signal::Local(why.to_owned())));
        };
        exchange.bound(self.source);
        let began = Instant::now();
        let signal = converse(&self.socket, exchange.as_mut()).await;
        Told { signal, rtt: Some(RoundTrip::Process(began.elapsed())) }
    }
}

async fn converse(socket: &UdpSocket, exchange: &mut dyn Exchange) -> Option<Signal> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let output = exchange.output();
        if !output.is_empty()
            && let Err(error) = socket.send(&output).await
        {
            return errors::signal(&error, errors::icmp_error(socket), "send");
        }
        match socket.recv(&mut buffer).await {
            Ok(count) => match exchange.input(buffer.get(..count).unwrap_or_default()) {
                Progress::Waiting => {}
                Progress::Proven(facts) => return Some(Signal::Proven(facts)),
                Progress::Wrong(facts) => return Some(Signal::Wrong(facts)),
            },
            Err(error) => return errors::signal(&error, errors::icmp_error(socket), "receive"),
        }
    }
}
