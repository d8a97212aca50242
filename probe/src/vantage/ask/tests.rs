use std::collections::BTreeSet;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

use super::*;
use crate::{
    net::IcmpAccess,
    runner::{Engine, Gate, Rates},
    scope::Scope,
};

fn means(gate: Gate) -> Means {
    Means { engine: Engine::new(Rates::default(), IcmpAccess::None), gate }
}

fn question(to: SocketAddr, carrier: Carrier) -> Question {
    Question { address: to.ip(), port: to.port(), carrier, request: b"ask".to_vec() }
}

/// A length octet and what it counts.
const TOY: Carrier = Carrier::Stream {
    measure: |bytes| match bytes.first() {
        Some(0xff) => Err(wire::Error::Malformed("toy")),
        first => Ok(first.map(|length| usize::from(*length) + 1)),
    },
    header: 1,
};

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok().filter(|text| text != "not this")
}

/// A TCP server that does with each connection, by its number, what it is told.
async fn server(reply: fn(usize) -> Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 3];
            stream.read_exact(&mut request).await.unwrap();
            match reply(number) {
                Some(reply) => stream.write_all(reply).await.unwrap(),
                None => stream.set_zero_linger().unwrap(),
            }
        }
    });
    address
}

#[tokio::test]
async fn lost_datagrams_are_sent_again_from_other_ports() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut buffer = [0; 64];
        let mut ports = BTreeSet::new();
        loop {
            let (count, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..count], b"ask");
            ports.insert(from.port());
            if ports.len() == 3 {
                server.send_to(b"not this", from).await.unwrap();
                server.send_to(b"answer", from).await.unwrap();
                return ports.len();
            }
        }
    });
    let answer = ask(&means(Gate::open()), &question(to, Carrier::Datagram), text).await.unwrap();
    assert_eq!(answer.value, "answer");
    // Of the third try, not of all three.
    assert!(answer.took < PATIENCE[0] + PATIENCE[1], "{:?}", answer.took);
    assert_eq!(heard.await.unwrap(), 3);
}

#[tokio::test]
async fn silence_is_the_trouble_of_nobody_who_answers() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let question = question(server.local_addr().unwrap(), Carrier::Sized(Sizing::Whole));
    let patience = [Duration::from_millis(20); 3];
    let began = Instant::now();
    let asked = ask_for(&means(Gate::open()), &question, &patience, text).await;
    assert_eq!(asked.unwrap_err(), Trouble::Silent);
    assert!(began.elapsed() >= Duration::from_millis(60));
    let mut buffer = [0; 64];
    for _ in patience {
        server.recv_from(&mut buffer).await.unwrap();
    }
}

#[tokio::test]
async fn silence_ends_also_where_one_attempt_at_a_time_is_allowed() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let question = question(server.local_addr().unwrap(), Carrier::Datagram);
    let engine = Engine::new(Rates { concurrency: 1, ..Rates::default() }, IcmpAccess::None);
    let means = Means { engine, gate: Gate::open() };
    let patience = [Duration::from_millis(20); 3];
    let asked = async {
        tokio::join!(ask_for(&means, &question, &patience, text), ask_for(&means, &question, &patience, text),)
    };
    let (one, other) = timeout(Duration::from_secs(10), asked).await.expect("it ends");
    assert_eq!((one.unwrap_err(), other.unwrap_err()), (Trouble::Silent, Trouble::Silent));
}

#[tokio::test]
async fn a_closed_port_is_asked_twice_and_at_once() {
    for carrier in [Carrier::Datagram, TOY] {
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let began = Instant::now();
        let asked = ask(&means(Gate::open()), &question(free, carrier), text).await;
        assert_eq!(asked.unwrap_err(), Trouble::Refused);
        assert!(began.elapsed() < PATIENCE[0], "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn one_reset_is_not_believed() {
    let to = server(|number| if number == 0 { None } else { Some(b"\x06answer and more") }).await;
    let answer = ask(&means(Gate::open()), &question(to, TOY), text).await.unwrap();
    assert_eq!(answer.value, "answer");
    let to = server(|_| None).await;
    assert_eq!(ask(&means(Gate::open()), &question(to, TOY), text).await.unwrap_err(), Trouble::Reset);
}

#[tokio::test]
async fn another_protocol_and_a_close_are_told_apart() {
    let asked = async |to| ask(&means(Gate::open()), &question(to, TOY), text).await.unwrap_err();
    assert_eq!(asked(server(|_| Some(b"\xffrest")).await).await, Trouble::Strange);
    assert_eq!(asked(server(|_| Some(b"\x08not this")).await).await, Trouble::Strange);
    assert_eq!(asked(server(|_| Some(b"\x09part")).await).await, Trouble::Closed);
}

#[tokio::test]
async fn nothing_is_sent_that_the_scope_does_not_allow() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let empty = tempfile::tempdir().unwrap();
    let means = means(Gate::of(Scope::read(empty.path())));
    let asked = ask(&means, &question(server.local_addr().unwrap(), Carrier::Datagram), text).await;
    assert_eq!(asked.unwrap_err(), Trouble::OutOfScope);
    // What comes first is what this test sends.
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    other.send_to(b"other", server.local_addr().unwrap()).await.unwrap();
    let mut buffer = [0; 64];
    let (count, _) = server.recv_from(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"other");
}

#[tokio::test]
async fn the_other_way_is_tried_where_the_preferred_one_fails() {
    let answer = |value| std::future::ready(Ok::<_, Trouble>(value));
    let fails = |trouble| std::future::ready(Err::<u32, _>(trouble));
    assert_eq!(either(answer(1), answer(2)).await, Ok(1));
    assert_eq!(either(fails(Trouble::Refused), answer(2)).await, Ok(2));
    assert_eq!(either(fails(Trouble::Refused), fails(Trouble::Silent)).await, Err(Trouble::Refused));
    let never = std::future::pending::<Result<u32, Trouble>>;
    assert_eq!(either(never(), answer(2)).await, Ok(2));
    let late = async { tokio::time::timeout(PREFERENCE * 2, never()).await.unwrap_or(Err(Trouble::Silent)) };
    assert_eq!(either(late, fails(Trouble::Refused)).await, Err(Trouble::Silent));
}
