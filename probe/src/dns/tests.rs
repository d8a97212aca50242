//! Strangers on loopback: whatever they send, a question ends in bounded time with what is true.

use std::time::Duration;

use sekisho_checks::wire::dns::Kind;
use tokio::{
    net::{TcpListener, UdpSocket},
    time::timeout,
};

use super::{
    strangers::{LOCALHOST, response, tcp, udp},
    *,
};
use crate::{net::IcmpAccess, runner::Rates};

/// Longer than the tries of a question, with time for a busy machine.
const BOUND: Duration = Duration::from_secs(9);

fn client() -> Client {
    Client::new(Engine::new(Rates::default(), IcmpAccess::None))
}

fn question() -> Question {
    Question::new("corp.example", Kind::A).unwrap()
}

async fn ask_udp(server: SocketAddr) -> Result<Answer, Failure> {
    timeout(BOUND, client().over_udp(server, &question())).await.expect("it ends")
}

async fn ask_tcp(server: SocketAddr) -> Result<Answer, Failure> {
    timeout(BOUND, client().over_tcp(server, &question())).await.expect("it ends")
}

#[tokio::test]
async fn a_reply_is_found_among_garbage_and_forgeries() {
    let server = udp(|query| {
        let mut forged = response(query, 0, 3);
        forged[0] ^= 1;
        let mut cut = response(query, 0, 0);
        cut.truncate(20);
        vec![b"hello".to_vec(), vec![], vec![0xff; 9_000], forged, cut, query.to_vec(), response(query, 4, 0)]
    })
    .await;
    let answer = ask_udp(server).await.unwrap();
    assert!(answer.reply.authoritative && answer.reply.rcode == 0);
    assert_eq!(answer.ttl, Some(64), "what a reply over loopback arrives with");
}

#[tokio::test]
async fn a_flood_of_garbage_is_no_reply() {
    let server = udp(|_| vec![vec![0x80; 600]; 200]).await;
    assert_eq!(ask_udp(server).await, Err(Failure::Garbage));
}

#[tokio::test]
async fn nobody_listens() {
    let socket = UdpSocket::bind(LOCALHOST).await.unwrap();
    let server = socket.local_addr().unwrap();
    drop(socket);
    assert_eq!(ask_udp(server).await, Err(Failure::Closed));
    assert_eq!(ask_tcp(server).await, Err(Failure::Closed));
}

#[tokio::test]
async fn a_silent_server_is_asked_six_times_from_six_ports() {
    let (told, mut seen) = tokio::sync::mpsc::channel(64);
    let socket = UdpSocket::bind(LOCALHOST).await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            told.send(from.port()).await.unwrap();
        }
    });
    assert_eq!(ask_udp(server).await, Err(Failure::Silent));
    let mut ports = std::collections::BTreeSet::new();
    while let Ok(port) = seen.try_recv() {
        ports.insert(port);
    }
    assert_eq!(ports.len(), 6);
}

#[tokio::test]
async fn what_is_cut_is_asked_again_over_tcp() {
    let listener = TcpListener::bind(LOCALHOST).await.unwrap();
    let server = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(server).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(&response(&buffer[..count], 2, 0), from).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await.unwrap();
        stream.write_all(&dns::framed(&response(&query, 0, 5))).await.unwrap();
    });
    let answer = timeout(BOUND, client().ask(server, &question())).await.unwrap().unwrap();
    assert_eq!((answer.reply.rcode, answer.reply.truncated), (5, false));
}

#[tokio::test]
async fn endless_data_after_a_reply_is_not_read() {
    let server = tcp(|mut stream, query| async move {
        let mut bytes = dns::framed(&response(&query, 0, 3));
        while stream.write_all(&bytes).await.is_ok() {
            bytes = vec![0; 65_536];
        }
    })
    .await;
    assert_eq!(ask_tcp(server).await.unwrap().reply.rcode, 3);
}

#[tokio::test]
async fn endless_data_that_is_no_reply_is_garbage() {
    let server =
        tcp(|mut stream, _| async move { while stream.write_all(&[0xff; 65_536]).await.is_ok() {} }).await;
    assert_eq!(ask_tcp(server).await, Err(Failure::Garbage));
}

#[tokio::test]
async fn a_slow_drip_is_waited_for_as_long_as_a_silence() {
    let server = tcp(|mut stream, _| async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while stream.write_all(&[0xff]).await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
    assert_eq!(ask_tcp(server).await, Err(Failure::Silent));
}

#[tokio::test]
async fn a_connection_that_ends_early_is_no_silence() {
    let server = tcp(|mut stream, _| async move { stream.write_all(&[0, 40, 1]).await.unwrap() }).await;
    assert_eq!(ask_tcp(server).await, Err(Failure::Ended));
}

#[tokio::test]
async fn silence_ends_also_where_one_attempt_at_a_time_is_allowed() {
    let server = udp(|_| Vec::new()).await;
    let rates = Rates { concurrency: 1, ..Rates::default() };
    let client = Client::new(Engine::new(rates, IcmpAccess::None));
    let question = question();
    let asked =
        async { tokio::join!(client.over_udp(server, &question), client.over_udp(server, &question)) };
    let told = timeout(BOUND * 2, asked).await.expect("it ends");
    assert_eq!(told, (Err(Failure::Silent), Err(Failure::Silent)));
}

#[tokio::test]
async fn questions_wait_for_the_rates() {
    let server = udp(|query| vec![response(query, 0, 0)]).await;
    let rates = Rates { per_target: 10, burst: 1, ..Rates::default() };
    let client = Client::new(Engine::new(rates, IcmpAccess::None));
    let began = Instant::now();
    for _ in 0..4 {
        client.ask(server, &question()).await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}
