//! UDP attempts: one request, and the datagrams that come back.

use std::{io, net::SocketAddr, time::Instant};

use sekisho_checks::{
    exchange::{Exchange, Progress},
    flow::Signal,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Aim, Told, Watch, errors};

/// Largest datagram taken.
const DATAGRAM: usize = 16_384;
/// Source ports whose requests a Windows KDC ignores (Microsoft Learn, "LDAP and Kerberos Server may not respond to UDP
/// requests or may reset TCP sessions immediately after creation").
const IGNORED_BY_KDC: [u16; 4] = [88, 464, 22_528, 53_249];

pub(super) async fn attempt(aim: Aim, exchange: Option<Box<dyn Exchange>>, watch: &mut dyn Watch) -> Told {
    let began = Instant::now();
    let Some(mut exchange) = exchange else {
        let why =
            "a bare UDP port cannot be tested: silence proves nothing without a known request".to_owned();
        return Told { signal: Some(Signal::Local(why)), rtt: None, source: None };
    };
    let (socket, source) = match begin(aim) {
        Ok(socket) => socket,
        Err(error) => {
            return Told { signal: errors::signal(&error, None, "connect"), rtt: None, source: None };
        }
    };
    watch.bound(source);
    let signal = converse(&socket, exchange.as_mut()).await;
    Told { signal, rtt: Some(began.elapsed()), source: Some(source) }
}

fn begin(aim: Aim) -> io::Result<(UdpSocket, SocketAddr)> {
    loop {
        let socket = Socket::new(Domain::for_address(aim.socket()), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        errors::want_icmp_errors(&socket, aim.address)?;
        errors::set_ttl(&socket, aim.address, aim.ttl)?;
        socket.connect(&aim.socket().into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let source = socket.local_addr()?;
        if !IGNORED_BY_KDC.contains(&source.port()) {
            return Ok((socket, source));
        }
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
