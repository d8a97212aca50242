//! The servers of hosts that are not domain controllers: plain, silent, or speaking HTTP.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    os::fd::AsRawFd,
    time::Duration,
};

use anyhow::Context;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket,
    sockopt::ReuseAddr,
};

/// What a port does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Accepts and closes.
    Plain,
    /// Accepts and says nothing.
    Silent,
    /// Answers whatever it reads with an HTTP error.
    Http,
}

const HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: close\r\n\r\nBad Request\n";

/// Of a client that never says anything, and of one that never goes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that a silent port keeps open; the oldest goes first.
const KEPT: usize = 4096;

/// Listens on every port and serves until the process is killed.
pub(crate) fn serve(ports: &[(u16, Manner)]) -> anyhow::Result<()> {
    let listeners = ports
        .iter()
        .map(|(port, manner)| Ok((listener(*port)?, *manner)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        for (listener, manner) in &listeners {
            scope.spawn(move || match manner {
                Manner::Plain => accept(listener, drop),
                Manner::Silent => silent(listener),
                Manner::Http => accept(listener, |stream| drop(std::thread::spawn(move || http(stream)))),
            });
        }
    });
    Ok(())
}

/// With a queue that holds a burst of a whole sweep.
fn listener(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    let open = || -> nix::Result<TcpListener> {
        let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, ReuseAddr, &true)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(address))?;
        listen(&fd, Backlog::MAXCONN)?;
        Ok(TcpListener::from(fd))
    };
    open().with_context(|| format!("listen on {address}"))
}

fn accept(listener: &TcpListener, mut serve: impl FnMut(TcpStream)) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => serve(stream),
            // The client gave up while it stood in the queue.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            // Out of descriptors or memory: those go when connections end.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn silent(listener: &TcpListener) {
    let mut kept = std::collections::VecDeque::new();
    accept(listener, |stream| {
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(stream);
    });
}

/// A client that goes away in the middle is no concern of a server that only says no.
fn http(mut stream: TcpStream) {
    let mut request = [0; 4096];
    drop(stream.set_read_timeout(Some(PATIENCE)));
    if matches!(stream.read(&mut request), Ok(1..)) {
        drop(stream.write_all(HTTP));
        drop(stream.shutdown(Shutdown::Write));
        // Reading to the end keeps the kernel from a RST that would overtake the answer.
        while matches!(stream.read(&mut request), Ok(1..)) {}
    }
}
