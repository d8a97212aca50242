//! Strangers as DNS servers and domain controllers: the check ends in bounded time and says what is true.

use std::time::{Duration, Instant};

use sekisho_checks::vantage::srv_records::Ping;
use sekisho_model::{CheckStatus, Fact};
use tokio::time::timeout;

use super::*;
use crate::{
    dns::strangers::{controller, server, srv, udp},
    net::IcmpAccess,
    runner::{Engine, Gate, Rates, Target},
};

const BOUND: Duration = Duration::from_secs(20);
const WRITABLE: u32 = 0x118;

fn means() -> Means {
    Means { engine: Engine::new(Rates::default(), IcmpAccess::None), gate: Gate::open() }
}

fn request(targets: &[&str]) -> Request {
    let target = |address: &&str| Target { host: None, domain: None, address: address.parse().unwrap() };
    Request {
        number: 0,
        check: sekisho_model::CheckKind::SrvRecords,
        domain: "corp.example".into(),
        dns_servers: Vec::new(),
        targets: targets.iter().map(target).collect(),
        target: None,
        computer: None,
    }
}

async fn seen(dns: SocketAddr, cldap: SocketAddr, request: &Request) -> Seen {
    let resolvers = vec![Resolver { address: dns.ip(), own: false }];
    let ports = Ports { dns: dns.port(), cldap: cldap.port() };
    timeout(BOUND, look(&means(), request, resolvers, ports)).await.expect("it ends")
}

fn port_of(name: &str) -> u16 {
    [("_kerberos", 88), ("_kpasswd", 464), ("_gc", 3268), ("_ldap._tcp.gc.", 3268)]
        .into_iter()
        .find(|(begin, _)| name.starts_with(begin))
        .map_or(if name.contains(".gc._msdcs") { 3268 } else { 389 }, |(_, port)| port)
}

fn domain(name: &str, kind: u16) -> Vec<(u16, Vec<u8>)> {
    match kind {
        33 => vec![(33, srv(port_of(name), "dc1.corp.example"))],
        1 => vec![(1, vec![127, 0, 0, 1])],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_domain_with_one_controller() {
    let (dns, cldap) = (server(domain).await, controller(WRITABLE).await);
    let seen = seen(dns, cldap, &request(&["127.0.0.1"])).await;
    let (status, facts) = judged::judge(&seen);
    assert_eq!(facts["names-asked"], Fact::Integer(19), "the site and the forest are known: {facts:?}");
    assert_eq!(facts["writable-dcs"], Fact::Integer(1));
    assert_eq!(facts["client-site"], Fact::from("Tokyo"));
    // Loopback is the one thing that is wrong here.
    assert_eq!((status, &facts["reason"]), (CheckStatus::Warning, &Fact::from("bad-addresses")), "{facts:?}");
}

#[tokio::test]
async fn a_controller_that_is_not_known_yet_is_found() {
    let (dns, cldap) = (server(domain).await, controller(WRITABLE & !0x100).await);
    let seen = seen(dns, cldap, &request(&[])).await;
    let (status, facts) = judged::judge(&seen);
    assert_eq!(
        (status, &facts["reason"]),
        (CheckStatus::Problem, &Fact::from("no-writable-dc")),
        "{facts:?}"
    );
    assert_eq!(facts["names-asked"], Fact::Integer(19), "it told the forest and the site");
}

#[tokio::test]
async fn garbage_everywhere_is_no_answer() {
    let dns = udp(|_| vec![b"no such thing".to_vec(), vec![0xff; 40]]).await;
    let cldap = udp(|_| vec![vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], vec![0x30; 3_000]]).await;
    let began = Instant::now();
    let seen = seen(dns, cldap, &request(&["127.0.0.1"])).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(seen.pings[&dns.ip()], Ping::Unanswered("silent".into()));
    let (status, facts) = judged::judge(&seen);
    assert_eq!((status, &facts["reason"]), (CheckStatus::Problem, &Fact::from("no-resolver-answers")));
}

#[tokio::test]
async fn records_without_end_are_bounded() {
    fn many(name: &str, kind: u16) -> Vec<(u16, Vec<u8>)> {
        match kind {
            33 => (0..120).map(|host| (33, srv(389, &format!("h{host}.{}", &name[..9])))).collect(),
            1 => (0..90).map(|host| (1, vec![127, 1, 0, host])).collect(),
            _ => Vec::new(),
        }
    }
    let (dns, cldap) = (server(many).await, controller(WRITABLE).await);
    let seen = seen(dns, cldap, &request(&["127.0.0.1"])).await;
    assert_eq!(seen.hosts.len(), HOSTS);
    assert!(seen.left_out > 0);
    assert!(seen.pings.len() <= 64, "{} pings", seen.pings.len());
    let (_, facts) = judged::judge(&seen);
    let octets: usize = facts.iter().map(|(name, fact)| name.len() + fact.to_string().len()).sum();
    assert!(facts.len() <= 48 && octets < 8_192, "{octets} octets of facts");
}

#[tokio::test]
async fn addresses_of_nobody_are_not_pinged() {
    fn nobody(name: &str, kind: u16) -> Vec<(u16, Vec<u8>)> {
        let everybody = [[224, 0, 0, 1], [255, 255, 255, 255], [0, 0, 0, 0]];
        if kind == 1 { everybody.map(|ip| (1, ip.to_vec())).into() } else { domain(name, kind) }
    }
    let (dns, cldap) = (server(nobody).await, controller(WRITABLE).await);
    let seen = seen(dns, cldap, &request(&[])).await;
    assert_eq!(seen.pings.len(), 3);
    for (address, ping) in &seen.pings {
        assert_eq!(*ping, Ping::Unanswered("no address of a host".into()), "{address}");
    }
}

#[tokio::test]
async fn what_the_scope_forbids_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let scope = crate::scope::Scope::read(folder.path());
    let means = Means { gate: Gate::of(scope), ..means() };
    let dns = udp(|_| panic!("asked")).await;
    let resolvers = vec![Resolver { address: dns.ip(), own: false }];
    let ports = Ports { dns: dns.port(), cldap: dns.port() };
    let seen = look(&means, &request(&["127.0.0.1"]), resolvers, ports).await;
    let (status, facts) = judged::judge(&seen);
    assert_eq!((status, &facts["reason"]), (CheckStatus::Unknown, &Fact::from("not-tested")), "{facts:?}");
    assert!(matches!(seen.pings[&dns.ip()], Ping::NotSent(_)));
}
