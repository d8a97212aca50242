//! UDP attempts: one request, and the datagrams that come back.

use std::{io, net::SocketAddr};

use sekisho_checks::{
    exchange::{Exchange, Progress},
    flow::Signal,
};
use sekisho_model::Transport;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, time::Instant};

use super::{Aim, RoundTrip, Told, Traffic, bind, errors, sockets};

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
    let socket = bound(aim.socket(), aim.ttl, aim.source)?;
    let source = socket.local_addr()?;
    Ok(Ready { socket, source })
}

/// A socket to a port of a target, from a port of its own, that is told of ICMP errors.
pub(crate) fn socket(to: SocketAddr, ttl: Option<u8>) -> io::Result<UdpSocket> {
    let socket = bound(to, ttl, None)?;
    sockets::note(Transport::Udp, socket.local_addr().ok(), to);
    Ok(socket)
}

/// The same from a port that is wished for.
fn bound(to: SocketAddr, ttl: Option<u8>, source: Option<u16>) -> io::Result<UdpSocket> {
    loop {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        errors::want_icmp_errors(&socket, to.ip())?;
        errors::set_ttl(&socket, to.ip(), ttl)?;
        bind(&socket, to.ip(), source)?;
        socket.connect(&to.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        // A port that was wished for would come again and again.
        if source.is_some() || !IGNORED_BY_KDC.contains(&socket.local_addr()?.port()) {
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
        let mut traffic = Traffic::default();
        let signal = converse(&self.socket, exchange.as_mut(), &mut traffic).await;
        Told { signal, rtt: Some(RoundTrip::Process(began.elapsed())), traffic }
    }
}

async fn converse(socket: &UdpSocket, exchange: &mut dyn Exchange, traffic: &mut Traffic) -> Option<Signal> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let output = exchange.output();
        traffic.sent(output.len());
        if !output.is_empty()
            && let Err(error) = socket.send(&output).await
        {
            return errors::signal(&error, errors::icmp_error(socket), "send");
        }
        match socket.recv(&mut buffer).await {
            Ok(count) => {
                traffic.received(count);
                match exchange.input(buffer.get(..count).unwrap_or_default()) {
                    Progress::Waiting => {}
                    Progress::Proven(facts) => return Some(Signal::Proven(facts)),
                    Progress::Wrong(facts) => return Some(Signal::Wrong(facts)),
                }
            }
            Err(error) => return errors::signal(&error, errors::icmp_error(socket), "receive"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_wished_for_is_taken() {
        let to = (std::net::Ipv4Addr::LOCALHOST, 9).into();
        let port = IGNORED_BY_KDC[2];
        assert_eq!(bound(to, None, Some(port)).unwrap().local_addr().unwrap().port(), port);
    }
}
