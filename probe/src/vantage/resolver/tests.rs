//! Strangers as resolvers.

use std::time::{Duration, Instant};

use sekisho_model::{CheckStatus, Fact};
use tokio::time::timeout;

use super::*;
use crate::{
    dns::strangers::{controller, name, server, srv, tcp, udp},
    net::IcmpAccess,
    runner::{Engine, Gate, Rates},
};

const BOUND: Duration = Duration::from_secs(20);

async fn judge(resolver: SocketAddr, cldap: SocketAddr) -> (CheckStatus, sekisho_model::Facts) {
    let means = Means { engine: Engine::new(Rates::default(), IcmpAccess::None), gate: Gate::open() };
    let look = Look {
        client: Client::new(Arc::clone(&means.engine)),
        means: &means,
        questions: Questions::about("corp.example").unwrap(),
        ports: (resolver.port(), cldap.port()),
    };
    let targets = [Target { host: None, domain: None, address: resolver.ip() }];
    let chosen = [(resolver.ip(), Origin::Own)];
    let seen = look.all("corp.example", &chosen, &targets, None);
    judged::judge(&timeout(BOUND, seen).await.expect("it ends"))
}

fn domain(asked: &str, kind: u16) -> Vec<(u16, Vec<u8>)> {
    match (asked, kind) {
        ("_ldap._tcp.dc._msdcs.corp.example", 33) => vec![(33, srv(389, "dc1.corp.example"))],
        ("corp.example", 6) => vec![(6, [name("dc1.corp.example"), name("x"), vec![0; 20]].concat())],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn one_that_serves_the_domain() {
    let (status, facts) = judge(server(domain).await, controller(0x118).await).await;
    assert_eq!(status, CheckStatus::Ok, "{facts:?}");
    assert_eq!(facts["resolver-1-tcp"], Fact::from("ok"));
    assert!(matches!(facts["resolver-1-udp-us"], Fact::Integer(1..)));
}

#[tokio::test]
async fn one_that_knows_every_address_and_no_service() {
    fn hijacker(_: &str, kind: u16) -> Vec<(u16, Vec<u8>)> {
        if kind == 1 { vec![(1, vec![10, 9, 9, 9])] } else { Vec::new() }
    }
    let (status, facts) = judge(server(hijacker).await, controller(0x118).await).await;
    assert_eq!((status, &facts["reason"]), (CheckStatus::Problem, &Fact::from("hijacked-resolver")));
    assert_eq!(facts["resolver-1-random-name"], Fact::from("10.9.9.9"));
}

#[tokio::test]
async fn one_that_floods() {
    let garbage = tcp(|mut stream, _| async move {
        use tokio::io::AsyncWriteExt;
        while stream.write_all(&[0xff; 65_536]).await.is_ok() {}
    })
    .await;
    let flood = udp(|_| vec![vec![0x42; 500]; 100]).await;
    // The ports differ, so each carrier is tried at a server that is closed for the other.
    for (server, carrier, word) in
        [(garbage, "resolver-1-tcp", "garbage"), (flood, "resolver-1-udp", "garbage")]
    {
        let began = Instant::now();
        let (status, facts) = judge(server, server).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!((status, &facts["reason"]), (CheckStatus::Problem, &Fact::from("no-resolver-answers")));
        assert_eq!(facts[carrier], Fact::from(word), "{facts:?}");
    }
}

#[test]
fn own_resolvers_come_first_and_one_place_is_kept() {
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let own = Configuration {
        servers: ips(&["127.0.0.53"]),
        upstream: ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        search: Vec::new(),
    };
    let texts = |named: &[&str]| -> Vec<String> {
        chosen(&own, &ips(named)).iter().map(|(address, origin)| format!("{address} {origin:?}")).collect()
    };
    let stub = ["127.0.0.53 Stub", "10.0.0.1 Upstream", "10.0.0.2 Upstream"];
    assert_eq!(texts(&[]), [&stub[..], &["10.0.0.3 Upstream"]].concat());
    assert_eq!(texts(&["10.0.0.9", "10.0.0.8"]), [&stub[..], &["10.0.0.9 Named"]].concat());
    assert_eq!(texts(&["10.0.0.1"]), stub, "a named one that is an own one is an own one");
}
