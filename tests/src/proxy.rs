//! The way between a controller and a PostgreSQL: a TCP port that leads to its socket, and that can be cut.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// How a way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severed {
    /// Nothing passes and nobody is told. What was under way arrives after the cut.
    Silent,
    /// Every connection is closed, and so is every new one.
    Closed,
    /// Nothing passes and nobody is told; after the cut the connections from before stay silent, as when a firewall has
    /// forgotten them. New ones pass.
    Forgotten,
}

/// A port on the loopback interface that leads to a Unix socket.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    way: Arc<Way>,
}

#[derive(Debug, Default)]
struct Way {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cut: Option<Severed>,
    connections: Vec<Weak<Connection>>,
    /// Kept open, so that the controller is not told.
    forgotten: Vec<Arc<Connection>>,
    is_gone: bool,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: UnixStream,
    /// Nothing passes any more, and nobody is told.
    is_forgotten: AtomicBool,
}

impl Proxy {
    /// Listens, and leads to that socket.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(socket: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let proxy = Self { address: listener.local_addr()?, way: Arc::default() };
        let (socket, way) = (socket.to_owned(), proxy.way.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if way.state().is_gone {
                    return;
                }
                let (socket, way) = (socket.clone(), way.clone());
                thread::spawn(move || way.connect(client, &socket));
            }
        });
        Ok(proxy)
    }

    /// What a controller connects to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://sekisho@{}/postgres?sslmode=disable", self.address)
    }

    /// Cuts the way.
    pub fn cut(&self, how: Severed) {
        let mut state = self.way.state();
        state.cut = Some(how);
        if how == Severed::Closed {
            state.close();
        }
        self.way.changed.notify_all();
    }

    /// Mends it.
    pub fn mend(&self) {
        let mut state = self.way.state();
        if state.cut.take() == Some(Severed::Forgotten) {
            let of_before: Vec<Arc<Connection>> =
                state.connections.drain(..).filter_map(|one| one.upgrade()).collect();
            for connection in &of_before {
                connection.is_forgotten.store(true, Ordering::Relaxed);
                // The server has noticed; a connection that is over cannot be shut down.
                connection.server.shutdown(Shutdown::Both).ok();
            }
            state.forgotten.extend(of_before);
        }
        self.way.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.way.state();
        state.is_gone = true;
        state.cut = Some(Severed::Closed);
        state.close();
        state.forgotten.clear();
        drop(state);
        self.way.changed.notify_all();
        // It looks around when somebody comes.
        TcpStream::connect(self.address).ok();
    }
}

impl State {
    fn close(&mut self) {
        for connection in self.connections.drain(..).filter_map(|one| one.upgrade()) {
            connection.close();
        }
    }
}

impl Connection {
    /// Closes both sides; one that is closed already is fine.
    fn close(&self) {
        self.client.shutdown(Shutdown::Both).ok();
        self.server.shutdown(Shutdown::Both).ok();
    }
}

impl Way {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while nothing passes. What is closed passes, to its end.
    fn wait(&self) -> MutexGuard<'_, State> {
        let is_silent = |state: &mut State| matches!(state.cut, Some(Severed::Silent | Severed::Forgotten));
        self.changed.wait_while(self.state(), is_silent).unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads a connection of a controller, until it is over.
    fn connect(self: Arc<Self>, client: TcpStream, socket: &Path) {
        if self.wait().cut == Some(Severed::Closed) {
            return;
        }
        // Where no server listens the connection ends.
        let Ok(server) = UnixStream::connect(socket) else { return };
        let connection = Arc::new(Connection { client, server, is_forgotten: AtomicBool::new(false) });
        let mut state = self.state();
        state.connections.retain(|one| one.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
        drop(state);
        let (way, back) = (self.clone(), connection.clone());
        thread::spawn(move || way.lead(&back, &back.server, &back.client));
        self.lead(&connection, &connection.client, &connection.server);
    }

    /// Leads one direction.
    fn lead(&self, connection: &Connection, mut from: impl Read, mut to: impl Write) {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let read = from.read(&mut bytes).unwrap_or(0);
            drop(self.wait());
            if connection.is_forgotten.load(Ordering::Relaxed) {
                return;
            }
            let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) else { break };
            if to.write_all(read).is_err() {
                break;
            }
        }
        connection.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, time::Duration};

    use super::*;

    /// A server that answers each byte with the next one, and a proxy to it.
    fn echo() -> (tempfile::TempDir, Proxy) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut byte = [0];
                    while client.read_exact(&mut byte).is_ok() && client.write_all(&[byte[0] + 1]).is_ok() {}
                });
            }
        });
        let proxy = Proxy::start(&folder.path().join("socket")).unwrap();
        (folder, proxy)
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let client = TcpStream::connect(proxy.address).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        client
    }

    /// What comes back for a byte: another, the end, or silence.
    fn ask(mut client: &TcpStream, byte: u8) -> Result<Option<u8>, io::ErrorKind> {
        let mut answer = [0];
        client.write_all(&[byte]).map_err(|error| error.kind())?;
        client.read(&mut answer).map(|read| (read > 0).then_some(answer[0])).map_err(|error| error.kind())
    }

    #[test]
    fn what_a_silent_cut_holds_back_arrives_after_it() {
        let (_folder, proxy) = echo();
        let client = connect(&proxy);
        assert_eq!(ask(&client, 1), Ok(Some(2)));
        proxy.cut(Severed::Silent);
        assert_eq!(ask(&client, 3), Err(io::ErrorKind::WouldBlock));
        proxy.mend();
        let mut answer = [0];
        (&client).read_exact(&mut answer).unwrap();
        assert_eq!(answer, [4]);
    }

    #[test]
    fn what_is_closed_ends_and_what_is_forgotten_stays_silent() {
        let (_folder, proxy) = echo();
        let client = connect(&proxy);
        assert_eq!(ask(&client, 1), Ok(Some(2)));
        proxy.cut(Severed::Closed);
        assert!(!matches!(ask(&client, 3), Ok(Some(_)) | Err(io::ErrorKind::WouldBlock)));
        assert!(!matches!(ask(&connect(&proxy), 3), Ok(Some(_)) | Err(io::ErrorKind::WouldBlock)));
        proxy.mend();
        let client = connect(&proxy);
        assert_eq!(ask(&client, 5), Ok(Some(6)));
        proxy.cut(Severed::Forgotten);
        proxy.mend();
        assert_eq!(ask(&client, 7), Err(io::ErrorKind::WouldBlock));
        assert_eq!(ask(&connect(&proxy), 7), Ok(Some(8)));
    }
}
