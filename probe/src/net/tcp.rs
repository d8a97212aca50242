//! TCP attempts: handshake, and the exchange after it.

use std::{io, net::SocketAddr, net::TcpStream as StdStream, os::fd::AsRawFd, time::Duration};

use nix::{errno::Errno, libc};
use sekisho_checks::{
    exchange::{Exchange, Progress},
    flow::{Ending, Signal},
};
use sekisho_model::Facts;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{Aim, RoundTrip, Step, Told, errors};

/// Bytes read at once.
const READ: usize = 8_192;
/// The kernel sends a SYN again after a second: a round trip of that length may belong to either.
const FIRST_SYN: Duration = Duration::from_millis(950);

/// The part of `struct tcp_info` (linux/tcp.h) that every kernel has, and where the smoothed round trip stands in it.
const INFO: usize = 104;
const INFO_RTT: std::ops::Range<usize> = 68..72;

/// A connection under way.
#[derive(Debug)]
pub(super) struct Connecting {
    stream: TcpStream,
    began: Instant,
}

/// A connection on which a reply is awaited.
pub(crate) struct Conversation {
    stream: TcpStream,
    exchange: Box<dyn Exchange>,
    rtt: Option<RoundTrip>,
}

/// Begins a connection without waiting for it.
pub(super) fn begin(aim: Aim) -> io::Result<Connecting> {
    let socket =
        Socket::new(Domain::for_address(aim.socket()), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    errors::want_icmp_errors(&socket, aim.address)?;
    errors::set_ttl(&socket, aim.address, aim.ttl)?;
    match socket.connect(&aim.socket().into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    Ok(Connecting { stream: TcpStream::from_std(StdStream::from(socket))?, began: Instant::now() })
}

impl Connecting {
    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    pub(super) async fn first(self, exchange: Option<Box<dyn Exchange>>) -> Step {
        // A failed wait says no more than the socket's own error, which is read next.
        let waited = self.stream.writable().await;
        let elapsed = Some(self.began.elapsed()).filter(|rtt| *rtt < FIRST_SYN).map(RoundTrip::Process);
        let error = waited.err().or_else(|| self.stream.take_error().unwrap_or_else(Some));
        // Without an error the connection itself is asked: reading an entry of the error queue clears the error.
        if error.is_some() || self.stream.peer_addr().is_err() {
            let signal = match (errors::icmp_error(&self.stream), error) {
                (Some(icmp), _) => Some(Signal::Icmp(icmp)),
                (None, Some(error)) => errors::signal(&error, None, "connect"),
                (None, None) => None,
            };
            return Step::Told(Told { signal, rtt: elapsed });
        }
        let rtt = kernel_rtt(&self.stream);
        match exchange {
            None => Step::Told(Told { signal: Some(Signal::Proven(Facts::new())), rtt }),
            Some(exchange) => Step::Connected(rtt, Conversation { stream: self.stream, exchange, rtt }),
        }
    }
}

/// Round trip of the handshake as the kernel measured it: neither this process's delays nor repeated SYNs are in it.
fn kernel_rtt(stream: &TcpStream) -> Option<RoundTrip> {
    let mut info = [0_u8; INFO];
    let mut length = libc::socklen_t::try_from(INFO).ok()?;
    #[allow(unsafe_code, reason = "no library of this project reads TCP_INFO")]
    // SAFETY: the kernel writes at most `length` bytes into `info`, which is that long; both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let rtt = u32::from_ne_bytes(info.get(INFO_RTT)?.try_into().ok()?);
    (result == 0 && rtt > 0).then(|| RoundTrip::Kernel(Duration::from_micros(rtt.into())))
}

impl Conversation {
    /// Speaks until something is proved or the connection ends. Does not time out.
    pub(crate) async fn finish(self) -> Told {
        let rtt = self.rtt;
        Told { signal: converse(self.stream, self.exchange).await, rtt }
    }
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
