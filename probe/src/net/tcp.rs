//! TCP attempts: handshake, and the exchange after it.

use std::{io, net::TcpStream as StdStream, time::Instant};

use nix::errno::Errno;
use sekisho_checks::{
    exchange::{Exchange, Progress},
    flow::{Ending, Signal},
};
use sekisho_model::Facts;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Aim, Told, Watch, errors};

/// Bytes read at once.
const READ: usize = 8_192;

pub(super) async fn attempt(aim: Aim, exchange: Option<Box<dyn Exchange>>, watch: &mut dyn Watch) -> Told {
    let began = Instant::now();
    let stream = match begin(aim) {
        Ok(stream) => stream,
        Err(error) => {
            return Told { signal: errors::signal(&error, None, "connect"), rtt: None, source: None };
        }
    };
    let source = stream.local_addr().ok();
    if let Some(source) = source {
        watch.bound(source);
    }
    // A failed wait says no more than the socket's own error, which is read next.
    let waited = stream.writable().await;
    let rtt = began.elapsed();
    // Taking an entry off the error queue may clear the socket's own error, so the connection itself is asked as well.
    let icmp = errors::icmp_error(&stream);
    let error = waited.err().or_else(|| stream.take_error().unwrap_or_else(Some));
    let connected = error.is_none() && stream.peer_addr().is_ok();
    if !connected {
        let signal = match (icmp, error) {
            (Some(icmp), _) => Some(Signal::Icmp(icmp)),
            (None, Some(error)) => errors::signal(&error, None, "connect"),
            (None, None) => None,
        };
        return Told { signal, rtt: Some(rtt), source };
    }
    let Some(exchange) = exchange else {
        return Told { signal: Some(Signal::Proven(Facts::new())), rtt: Some(rtt), source };
    };
    watch.connected(rtt);
    Told { signal: converse(stream, exchange).await, rtt: Some(rtt), source }
}

/// Begins a connection without waiting for it.
fn begin(aim: Aim) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(aim.socket()), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    errors::want_icmp_errors(&socket, aim.address)?;
    errors::set_ttl(&socket, aim.address, aim.ttl)?;
    match socket.connect(&aim.socket().into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    TcpStream::from_std(StdStream::from(socket))
}

async fn converse(mut stream: TcpStream, mut exchange: Box<dyn Exchange>) -> Option<Signal> {
    let mut buffer = vec![0; READ];
    loop {
        let output = exchange.output();
        if !output.is_empty()
            && let Err(error) = stream.write_all(&output).await
        {
            return ended(&stream, &error);
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return Some(Signal::Ended(Ending::Eof)),
            Ok(count) => match exchange.input(buffer.get(..count).unwrap_or_default()) {
                Progress::Waiting => {}
                Progress::Proven(facts) => return Some(Signal::Proven(facts)),
                Progress::Wrong(facts) => return Some(Signal::Wrong(facts)),
            },
            Err(error) => return ended(&stream, &error),
        }
    }
}

/// An error on a connection that was accepted.
fn ended(stream: &TcpStream, error: &io::Error) -> Option<Signal> {
    if let Some(icmp) = errors::icmp_error(stream) {
        return Some(Signal::Icmp(icmp));
    }
    let ending = if error.kind() == io::ErrorKind::TimedOut { Ending::Silence } else { Ending::Reset };
    Some(Signal::Ended(ending))
}
