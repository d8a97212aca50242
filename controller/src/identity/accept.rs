//! From TCP connections to finished TLS connections, for the gRPC server.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes in progress; further connections wait in the kernel's queue.
const HANDSHAKES: usize = 512;
/// Open connections of one controller; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 20_000;
/// Finished connections that the gRPC server has not taken yet.
const READY: usize = 64;
/// Pause when the system has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Finished connections, one after another.
pub type Incoming = ReceiverStream<io::Result<Connection>>;

/// A connection whose handshake is done. Counts against the limit until it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    _place: OwnedSemaphorePermit,
}

/// Accepts connections until `shutdown` turns true. Each handshake runs on its own, so none holds up another.
#[must_use]
pub fn incoming(listener: TcpListener, tls: TlsAcceptor, mut shutdown: watch::Receiver<bool>) -> Incoming {
    let (ready, finished) = mpsc::channel(READY);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let next = next(&listener, &handshakes, &connections);
            let (stream, handshake, place) = tokio::select! {
                _ = shutdown.wait_for(|end| *end) => return,
                next = next => next,
            };
            let (tls, ready, mut shutdown) = (tls.clone(), ready.clone(), shutdown.clone());
            tokio::spawn(async move {
                tokio::select! {
                    _ = shutdown.wait_for(|end| *end) => {}
                    () = shake_hands(stream, tls, handshake, place, ready) => {}
                }
            });
        }
    });
    ReceiverStream::new(finished)
}

async fn next(
    listener: &TcpListener,
    handshakes: &Arc<Semaphore>,
    connections: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit, OwnedSemaphorePermit) {
    let place = acquire(connections).await;
    let handshake = acquire(handshakes).await;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, handshake, place),
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
    handshake: OwnedSemaphorePermit,
    place: OwnedSemaphorePermit,
    ready: mpsc::Sender<io::Result<Connection>>,
) {
    let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            drop(handshake);
            if ready.send(Ok(Connection { stream, _place: place })).await.is_err() {
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

fn is_certificate(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
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
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
