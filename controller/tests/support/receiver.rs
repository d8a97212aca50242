//! A place that notices are sent to, and that behaves badly when it is told to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers 200.
    Fine,
    /// Answers 200, late.
    Slow,
    /// Answers 503.
    Broken,
    /// Ends the connection with a RST.
    Reset,
    /// Takes the notice and ends the connection without an answer.
    Mute,
    /// Takes the notice and never answers.
    Hang,
    /// Sends the client elsewhere.
    Redirect,
}

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) behaviour: Behaviour,
}

impl Received {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn key(&self) -> String {
        self.json()["key"].as_str().unwrap().to_owned()
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    plan: Arc<Mutex<Vec<Behaviour>>>,
    next: Arc<AtomicUsize>,
}

impl Receiver {
    /// Behaves as the plan says, request by request, over and over.
    pub(crate) async fn new(plan: &[Behaviour]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            plan: Arc::new(Mutex::new(plan.to_vec())),
            next: Arc::default(),
        };
        let serving = receiver.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().answer(stream));
            }
        });
        receiver
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn behave(&self, plan: &[Behaviour]) {
        *self.plan.lock().unwrap() = plan.to_vec();
    }

    async fn answer(self, mut stream: TcpStream) {
        let Some((path, headers, body)) = request(&mut stream).await else { return };
        let plan = self.plan.lock().unwrap().clone();
        let behaviour = plan[self.next.fetch_add(1, Ordering::Relaxed) % plan.len()];
        self.received.lock().unwrap().push(Received { path, headers, body, behaviour });
        let said = match behaviour {
            Behaviour::Fine => "200 OK\r\n",
            Behaviour::Slow => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "200 OK\r\n"
            }
            Behaviour::Broken => "503 Service Unavailable\r\n",
            Behaviour::Redirect => "302 Found\r\nlocation: http://127.0.0.1:9/elsewhere\r\n",
            Behaviour::Reset => {
                let socket = nix::sys::socket::sockopt::Linger;
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                nix::sys::socket::setsockopt(&stream, socket, &linger).unwrap();
                return;
            }
            Behaviour::Mute => return,
            Behaviour::Hang => std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 {said}content-length: 7\r\nconnection: close\r\n\r\n<&said>");
        // Who does not read the answer any more has what it wanted.
        stream.write_all(answer.as_bytes()).await.ok();
    }
}

async fn request(stream: &mut TcpStream) -> Option<(String, BTreeMap<String, String>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(head + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((path, headers, body))
}
