//! TCP attempts: handshake, and the exchange after it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdStream},
    time::Duration,
};

use nix::errno::Errno;
use sekisho_checks::{
    classify::IcmpError,
    exchange::{Exchange, Progress},
    flow::{Ending, Signal},
};
use sekisho_model::{Facts, Transport};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use super::{Aim, RoundTrip, Step, Told, Traffic, errors, info::Info, sockets};

/// Bytes read at once.
const READ: usize = 8_192;
/// The kernel sends a SYN again after a second: a round trip of that length may belong to either.
const FIRST_SYN: Duration = Duration::from_millis(950);

/// Once a service is proven, this long is waited for what else it tells.
const MORE: Duration = Duration::from_millis(1_200);

/// After the peer has closed, an acknowledgement or a RST for what was sent is waited for this long.
const ACKNOWLEDGEMENT: Duration = Duration::from_millis(500);

/// A connection under way.
#[derive(Debug)]
pub(super) struct Connecting {
    stream: TcpStream,
    began: Instant,
    /// The local port will be used again.
    keeps_port: bool,
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
    super::bind(&socket, aim.address, aim.source)?;
    match socket.connect(&aim.socket().into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    Ok(Connecting {
        stream: TcpStream::from_std(StdStream::from(socket))?,
        began: Instant::now(),
        keeps_port: aim.source.is_some(),
    })
}

/// Connects from a fresh port, and sends what is said at once. `mss` makes both ends send segments of at most so many octets
/// (tcp(7), TCP_MAXSEG). Times out where the life of a SYN is limited.
pub(crate) async fn connect(
    to: SocketAddr,
    mss: Option<u32>,
    life: Option<Duration>,
) -> io::Result<TcpStream> {
    let (socket, any): (_, SocketAddr) = match to {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, 0).into()),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, (Ipv6Addr::UNSPECIFIED, 0).into()),
    };
    socket.bind(any)?;
    sockets::note(Transport::Tcp, socket.local_addr().ok(), to);
    if let Some(mss) = mss {
        SockRef::from(&socket).set_tcp_mss(mss)?;
    }
    let stream = match life {
        Some(life) => timeout(life, socket.connect(to)).await.map_err(|_| io::ErrorKind::TimedOut)??,
        None => socket.connect(to).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
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
        if error.as_ref().is_some_and(was_accepted) {
            // Whose handshake is all that is asked for has it.
            let signal = exchange.map_or(Signal::Proven(Facts::new()), |_| Signal::Ended(Ending::Reset));
            return Step::Told(Told { rtt: elapsed, ..Told::signal(Some(signal)) });
        }
        // Without an error the connection itself is asked: reading an entry of the error queue clears the error.
        if error.is_some() || self.stream.peer_addr().is_err() {
            let signal = match (errors::icmp_error(&self.stream), error) {
                (Some(icmp), _) => Some(Signal::Icmp(icmp)),
                (None, Some(error)) => errors::signal(&error, None, "connect"),
                (None, None) => None,
            };
            return Step::Told(Told { rtt: elapsed, ..Told::signal(signal) });
        }
        let rtt = kernel_rtt(&self.stream);
        match exchange {
            None => {
                if self.keeps_port {
                    // Closed by a RST, the pair of ports can be used again at once.
                    SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).ok();
                }
                Step::Told(Told { rtt, ..Told::signal(Some(Signal::Proven(Facts::new()))) })
            }
            Some(exchange) => Step::Connected(rtt, Conversation { stream: self.stream, exchange, rtt }),
        }
    }
}

/// Whether a connection was there and has already been reset: before the handshake a RST refuses it (tcp(7)).
fn was_accepted(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ECONNRESET | Errno::EPIPE))
}

/// Round trip of the handshake as the kernel measured it: neither this process's delays nor repeated SYNs are in it.
fn kernel_rtt(stream: &TcpStream) -> Option<RoundTrip> {
    let info = Info::of(stream)?;
    (info.rtt_us > 0).then(|| RoundTrip::Kernel(Duration::from_micros(info.rtt_us.into())))
}

impl Conversation {
    /// Speaks until something is proved and nothing more is to be learnt, the connection ends, or `reply` has passed
    /// without a proof.
    pub(crate) async fn finish(self, reply: Duration) -> Told {
        let Self { mut stream, mut exchange, rtt } = self;
        let mut traffic = Traffic::default();
        let signal = match converse(&mut stream, exchange.as_mut(), reply, &mut traffic).await {
            Ok(signal) => signal,
            Err(Broken::Icmp(error)) => Signal::Icmp(error),
            Err(Broken::Ended(ending)) => match exchange.ended(ending) {
                Some(Progress::Proven(facts)) => Signal::Proven(facts),
                Some(Progress::Wrong(facts)) => Signal::Wrong(facts),
                Some(Progress::Waiting) | None => Signal::Ended(ending),
            },
        };
        Told { signal: Some(signal), rtt, traffic }
    }
}

/// Why a conversation is over before its exchange said so.
enum Broken {
    Ended(Ending),
    Icmp(IcmpError),
}

async fn converse(
    stream: &mut TcpStream,
    exchange: &mut dyn Exchange,
    reply: Duration,
    traffic: &mut Traffic,
) -> Result<Signal, Broken> {
    let mut deadline = Instant::now() + reply;
    let mut proven = false;
    let mut buffer = vec![0; READ];
    loop {
        let output = exchange.output();
        traffic.sent(output.len());
        let turn = timeout_at(deadline, turn(stream, &output, &mut buffer)).await;
        let count = match turn {
            Err(_) => return Err(Broken::Ended(silence(stream))),
            Ok(Err(error)) => return Err(broken(stream, &error)),
            Ok(Ok(0)) => return Err(Broken::Ended(closed(stream).await)),
            Ok(Ok(count)) => count,
        };
        traffic.received(count);
        match exchange.input(buffer.get(..count).unwrap_or_default()) {
            Progress::Waiting => {}
            Progress::Proven(facts) => return Ok(Signal::Proven(facts)),
            Progress::Wrong(facts) => return Ok(Signal::Wrong(facts)),
        }
        if exchange.is_proven() && !proven {
            proven = true;
            deadline = Instant::now() + MORE;
        }
    }
}

/// Says what there is to say, and waits for an answer.
async fn turn(stream: &mut TcpStream, output: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
    stream.write_all(output).await?;
    stream.read(buffer).await
}

/// Whether the peer closed the connection knowing what it was asked. One that closed before answers the request with a RST,
/// which may come after the end.
async fn closed(stream: &TcpStream) -> Ending {
    if is_undelivered(stream) {
        // An error that comes is read below; without one the wait was in vain.
        timeout(ACKNOWLEDGEMENT, stream.ready(Interest::ERROR)).await.ok();
    }
    match stream.take_error() {
        Ok(None) if !is_undelivered(stream) => Ending::Eof,
        Ok(_) | Err(_) => Ending::Reset,
    }
}

/// Whether the peer's kernel has at least acknowledged what it did not answer.
fn silence(stream: &TcpStream) -> Ending {
    if is_undelivered(stream) { Ending::Undelivered } else { Ending::Silence }
}

fn is_undelivered(stream: &TcpStream) -> bool {
    Info::of(stream).is_some_and(|info| info.unacked > 0 || info.not_sent > 0)
}

/// An error on a connection that was accepted.
fn broken(stream: &TcpStream, error: &io::Error) -> Broken {
    match errors::icmp_error(stream) {
        Some(icmp) => Broken::Icmp(icmp),
        None if error.kind() == io::ErrorKind::TimedOut => Broken::Ended(Ending::Undelivered),
        None => Broken::Ended(Ending::Reset),
    }
}
