//! UDP attempts: one request, and the datagrams that come back.

use std::{io, net::SocketAddr};

use sekisho_checks::{
    exchange::{Exchange, Progress},
    flow::Signal,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, time::Instant};

use super::{Aim, RoundTrip, Told, Traffic, errors};

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
    loop {
        let socket =
            Socket::new(Domain::for_address(aim.socket()), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        errors::want_icmp_errors(&socket, aim.address)?;
        errors::set_ttl(&socket, aim.address, aim.ttl)?;
        aim.bind(&socket)?;
        socket.connect(&aim.socket().into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let source = socket.local_addr()?;
        if !IGNORED_BY_KDC.contains(&source.port()) {
            return Ok(Ready { socket, source });
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
