//! From TCP connections to finished TLS connections, for the gRPC server.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::AbortHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};

use super::crowd::{Client, Crowd, Place};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes in progress; when there are as many, a new connection takes the place of the oldest of them.
const HANDSHAKES: usize = 512;
/// Open connections of one controller; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 20_000;
/// Finished connections that the gRPC server has not taken yet.
const READY: usize = 64;
/// Pause when the system has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Finished connections, one after another.
pub type Incoming = ReceiverStream<io::Result<Connection>>;

/// A connection whose handshake is done. Counts against the limits until it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    place: Place,
    _permit: OwnedSemaphorePermit,
}

/// Handshakes in progress, from the oldest to the newest. Whoever opens connections and says nothing pushes out his own:
/// an honest handshake is done long before it is the oldest.
#[derive(Default)]
struct Handshakes(VecDeque<AbortHandle>);

impl Handshakes {
    fn add(&mut self, handshake: AbortHandle) {
        if self.0.len() >= HANDSHAKES {
            self.0.retain(|other| !other.is_finished());
        }
        while self.0.len() >= HANDSHAKES {
            if let Some(oldest) = self.0.pop_front() {
                oldest.abort();
            }
        }
        self.0.push_back(handshake);
    }
}

/// Accepts connections until `shutdown` turns true. Each handshake runs on its own, so none holds up another.
#[must_use]
pub fn incoming(listener: TcpListener, tls: TlsAcceptor, mut shutdown: watch::Receiver<bool>) -> Incoming {
    let (ready, finished) = mpsc::channel(READY);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let crowd = Arc::new(Crowd::default());
    let mut handshakes = Handshakes::default();
    tokio::spawn(async move {
        loop {
            let (stream, permit) = tokio::select! {
                _ = shutdown.wait_for(|end| *end) => return,
                next = next(&listener, &connections) => next,
            };
            let (tls, crowd, ready) = (tls.clone(), crowd.clone(), ready.clone());
            let mut shutdown = shutdown.clone();
            let handshake = tokio::spawn(async move {
                tokio::select! {
                    _ = shutdown.wait_for(|end| *end) => {}
                    () = shake_hands(stream, tls, permit, crowd, ready) => {}
                }
            });
            handshakes.add(handshake.abort_handle());
        }
    });
    ReceiverStream::new(finished)
}

async fn next(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = acquire(connections).await;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of a probe");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match semaphore.clone().acquire_owned().await {
        Ok(permit) => permit,
        // Nobody closes these semaphores.
        Err(_) => std::future::pending().await,
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: TlsAcceptor,
    permit: OwnedSemaphorePermit,
    crowd: Arc<Crowd>,
    ready: mpsc::Sender<io::Result<Connection>>,
) {
    let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(%peer, %error, "cannot set TCP keepalive");
    }
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let place = crowd.enter(client(&stream));
            if ready.send(Ok(Connection { stream, place, _permit: permit })).await.is_err() {
                tracing::debug!(%peer, "the listener closed during the handshake");
            }
        }
        Ok(Err(error)) if is_certificate(&error) => {
            tracing::warn!(%peer, %error, "refused a connection: its certificate is not accepted");
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

/// Lets the kernel find out that a peer is gone. Of thousands of connections it costs nothing here, as questions of our own would; a
/// session notices by missing heartbeats, and sooner.
fn keep_alive(stream: &TcpStream) -> nix::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &60)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &20)?;
    setsockopt(stream, sockopt::TcpKeepCount, &3)
}

fn client(stream: &TlsStream<TcpStream>) -> Client {
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let Some(leaf) = certificates.first() else { return Client::Strangers };
    // A certificate that was verified can be read; if not, the whole of it stands for its owner.
    let subject = x509_parser::parse_x509_certificate(leaf).map(|(_, leaf)| leaf.subject().as_raw().to_vec());
    Client::Probe(subject.unwrap_or_else(|_| leaf.to_vec()))
}

fn is_certificate(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

impl Connection {
    /// Fails once the connection has to end, whether it waits to read or to write.
    fn stays(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.place.is_over(context) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Connected for Connection {
    type ConnectInfo = TlsConnectInfo<TcpConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stays(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stays(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stays(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stays(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
