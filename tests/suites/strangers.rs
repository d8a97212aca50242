//! The probe among strangers: whatever they send, a check ends in bounded time and memory, and nothing is open that did
//! not say so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "what a run took is of interest when it fails")]

use std::time::{Duration, Instant};

use sekisho_model::{CheckStatus, Outcome, Service, Transport};
use sekisho_tests::{
    Behaviour, Cut, Ended, Expectation, How, Mapper, Programs, Run, Say, Then, When, address_of, corpus_size,
    on_ground,
};

use Outcome::{Closed, Failed, Filtered, Mute, Open, Wrong};

/// A check of all strangers at once ends within this, also in a debug build beside other work. Alone it takes a fifth.
const BOUND: Duration = Duration::from_secs(180);
/// Memory of a process that talks to one stranger, octets. It has a fifth of that without anybody.
const MEMORY: u64 = 48 << 20;

const OPEN: Expectation = all(&[Open]);
const SILENT: Expectation =
    Expectation { stream: &[Mute], tls: &[Mute], interface: &[Failed], datagram: &[Filtered], except: &[] };
/// Garbage may promise more garbage, which is waited for.
const GARBAGE: Expectation = Expectation {
    stream: &[Wrong],
    tls: &[Wrong],
    interface: &[Failed],
    datagram: &[Wrong, Filtered],
    except: &[],
};
const NO_REPLY: Expectation = Expectation {
    stream: &[Mute, Wrong],
    tls: &[Mute, Wrong],
    interface: &[Failed],
    datagram: &[Wrong, Filtered],
    except: &[],
};

const fn all(outcomes: &'static [Outcome]) -> Expectation {
    Expectation { stream: outcomes, tls: outcomes, interface: outcomes, datagram: outcomes, except: &[] }
}

/// Every service but ICMP, which this machine answers by itself.
fn services() -> Vec<Service> {
    Service::catalogue().filter(|service| service.transport() != Transport::Icmp).collect()
}

fn check(programs: &Programs, strangers: usize) -> anyhow::Result<Ended> {
    let addresses = (0..strangers).map(|number| address_of(number).to_string());
    let services = services().into_iter().flat_map(|service| ["--service".to_owned(), service.name()]);
    let domain = ["--domain".to_owned(), "corp.example".to_owned()];
    Run::of(addresses.chain(services).chain(domain)).finish(programs)
}

/// One line for each outcome that is not right.
fn faults(strangers: &[Behaviour], ended: &Ended) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, stranger) in strangers.iter().enumerate() {
        let address = std::net::IpAddr::from(address_of(number));
        for service in services() {
            let cell =
                ended.matrix.cells.iter().find(|cell| cell.address == address && cell.service == service);
            let Some(cell) = cell else {
                faults.push(format!("{}: {service} has no outcome", stranger.name));
                continue;
            };
            if !stranger.expect.allows(service, cell.outcome) {
                faults.push(format!("{}: {service} is {}: {:?}", stranger.name, cell.outcome, cell.facts));
            }
            if cell.facts.len() > 48 {
                faults.push(format!("{}: {service} has {} facts", stranger.name, cell.facts.len()));
            }
        }
    }
    faults
}

fn meet(strangers: Vec<Behaviour>) -> Ended {
    let programs = Programs::new().unwrap();
    let known = strangers.clone();
    let ended = on_ground(strangers, || check(&programs, known.len())).unwrap();
    let faults = faults(&known, &ended);
    println!("{} strangers: {:?}, {} KiB", known.len(), ended.took, ended.peak >> 10);
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), ended.stderr);
    assert!(ended.took < BOUND, "{:?}", ended.took);
    ended
}

/// Those who say nothing that could be a reply.
fn quiet() -> Vec<Behaviour> {
    let saying = Behaviour::saying;
    let closes = Expectation { except: &[("kpasswd-tcp", &[Failed])], ..SILENT };
    let early = |name, then| Behaviour { when: When::Accepted, ..saying(name, Say::Nothing, then, SILENT) };
    vec![
        saying("silent", Say::Nothing, Then::Silence, SILENT),
        saying("closes when asked", Say::Nothing, Then::Close, closes),
        saying("resets when asked", Say::Nothing, Then::Reset, SILENT),
        early("closes at once", Then::Close),
        early("resets at once", Then::Reset),
        Behaviour { when: When::NeverReads, ..saying("never reads", Say::Nothing, Then::Silence, SILENT) },
        Behaviour { inside_tls: true, ..saying("silent inside TLS", Say::Nothing, Then::Silence, SILENT) },
        Behaviour { inside_tls: true, ..saying("closes inside TLS", Say::Nothing, Then::Close, closes) },
        Behaviour { inside_tls: true, ..saying("resets inside TLS", Say::Nothing, Then::Reset, SILENT) },
    ]
}

/// Those who say something else.
fn talkative() -> Vec<Behaviour> {
    let saying = Behaviour::saying;
    let endless =
        |name, say, expect| Behaviour { how: How::Endless, ..saying(name, say, Then::Silence, expect) };
    let ldap = Expectation { except: &[("ldap", &[Open]), ("gc", &[Open])], ..NO_REPLY };
    let nested = Expectation { except: &[("smb", &[Open])], ..NO_REPLY };
    let oversized = NO_REPLY;
    vec![
        saying("garbage", Say::Garbage(70_000), Then::Silence, GARBAGE),
        saying("garbage and a close", Say::Garbage(70_000), Then::Close, NO_REPLY),
        saying("little garbage and a close", Say::Garbage(40), Then::Close, NO_REPLY),
        saying("garbage and a reset", Say::Garbage(70_000), Then::Reset, NO_REPLY),
        Behaviour {
            when: When::Accepted,
            ..saying("hasty garbage", Say::Garbage(70_000), Then::Silence, GARBAGE)
        },
        Behaviour {
            inside_tls: true,
            ..saying("garbage inside TLS", Say::Garbage(70_000), Then::Silence, GARBAGE)
        },
        endless("endless garbage", Say::Garbage(16_000), GARBAGE),
        endless("endless zeros", Say::Zeros(16_000), NO_REPLY),
        endless("endless promise", Say::Oversized, oversized),
        Behaviour { inside_tls: true, ..endless("endless promise inside TLS", Say::Oversized, oversized) },
        saying("promise", Say::Oversized, Then::Silence, oversized),
        saying("promise and a close", Say::Oversized, Then::Close, oversized),
        saying("nested", Say::Nested, Then::Silence, nested),
        saying("nested and a close", Say::Nested, Then::Close, nested),
        saying("LDAP everywhere", Say::Ldap, Then::Silence, ldap),
        saying("another id", Say::AnotherId, Then::Silence, NO_REPLY),
        Behaviour {
            inside_tls: true,
            ..saying("another id inside TLS", Say::AnotherId, Then::Silence, NO_REPLY)
        },
    ]
}

/// Those who begin a valid reply.
fn cut() -> Vec<Behaviour> {
    let mut strangers = Vec::new();
    for (cut, place) in
        [(Cut::After(1), "first octet"), (Cut::Half, "half"), (Cut::Last, "all but one octet")]
    {
        for (then, end) in [(Then::Close, "close"), (Then::Silence, "silence"), (Then::Reset, "reset")] {
            for inside_tls in [false, true] {
                let tls = if inside_tls { " inside TLS" } else { "" };
                let name = format!("{place}, {end}{tls}");
                let stranger = Behaviour::saying(&name, Say::Valid, then, SILENT_OR_WRONG_DATAGRAM);
                strangers.push(Behaviour { how: How::Cut(cut), inside_tls, ..stranger });
            }
        }
    }
    strangers
}

const SILENT_OR_WRONG_DATAGRAM: Expectation = Expectation { datagram: &[Wrong], ..SILENT };

/// Those who are slow.
fn slow() -> Vec<Behaviour> {
    let expect = Expectation {
        stream: &[Open, Mute],
        tls: &[Open, Mute],
        interface: &[Open, Failed],
        datagram: &[Wrong, Filtered],
        except: &[],
    };
    [1, 50, 200]
        .map(Duration::from_millis)
        .map(|pause| {
            let sound = Behaviour::sound(&format!("an octet every {pause:?}"), expect);
            Behaviour { how: How::Drip(pause), mapper: Mapper::Same, ..sound }
        })
        .into()
}

/// Endpoint mappers that lie.
fn mappers() -> Vec<Behaviour> {
    let lies = |interface| Expectation { interface, ..OPEN };
    let mapper = |name: &str, mapper, expect| Behaviour { mapper, ..Behaviour::sound(name, expect) };
    let honest = Mapper::Honest;
    vec![
        mapper("maps to port 0", honest(vec![0]), lies(&[Failed])),
        mapper("maps to port 65535", honest(vec![65_535]), lies(&[Open])),
        mapper("maps to its own port", honest(vec![135]), lies(&[Failed])),
        mapper("maps to its own port and another", honest(vec![135, 49_664]), lies(&[Open])),
        mapper("maps to a closed port", honest(vec![50_000]), lies(&[Closed])),
        mapper("maps to LDAP", honest(vec![389]), lies(&[Wrong])),
        mapper("maps to 100 towers", honest((50_000..50_100).collect()), lies(&[Failed])),
        mapper("maps nowhere", honest(Vec::new()), lies(&[Closed])),
        mapper("maps to another address", Mapper::Elsewhere([127, 77, 99, 99], vec![49_664]), lies(&[Open])),
        Behaviour {
            mapper: honest(vec![49_664]),
            ..Behaviour::saying(
                "interfaces of garbage",
                Say::Garbage(70_000),
                Then::Silence,
                Expectation { interface: &[Wrong], except: &[("rpc-epm", &[Open])], ..GARBAGE },
            )
        },
        Behaviour {
            mapper: honest(vec![49_664]),
            ..Behaviour::saying(
                "silent interfaces",
                Say::Nothing,
                Then::Silence,
                Expectation { interface: &[Mute], except: &[("rpc-epm", &[Open])], ..SILENT },
            )
        },
    ]
}

/// Directories that agree to StartTLS, and go on in plaintext.
fn upgraders() -> Vec<Behaviour> {
    let sound =
        |octets, then, name| Behaviour { say: Say::StartTls(octets), then, ..Behaviour::sound(name, OPEN) };
    vec![
        sound(0, Then::Silence, "StartTLS and silence"),
        sound(0, Then::Close, "StartTLS and a close"),
        sound(0, Then::Reset, "StartTLS and a reset"),
        sound(70_000, Then::Silence, "StartTLS and garbage"),
    ]
}

#[test]
fn nothing_is_open_that_did_not_say_so() {
    let sound = vec![Behaviour::sound("sound", OPEN)];
    meet([sound, quiet(), talkative(), cut(), slow(), mappers(), upgraders()].concat());
}

#[test]
fn replies_of_the_corpus_that_are_cut_prove_nothing() {
    let mut strangers = Vec::new();
    for number in 0..corpus_size().unwrap() {
        for (cut, then) in
            [(Cut::Last, Then::Close), (Cut::Half, Then::Silence), (Cut::After(5), Then::Reset)]
        {
            let name = format!("reply {number} cut {cut:?}, {then:?}");
            let stranger = Behaviour::saying(&name, Say::Corpus(number), then, NO_REPLY);
            strangers.push(Behaviour { how: How::Cut(cut), ..stranger });
        }
    }
    meet(strangers);
}

#[test]
fn endless_data_needs_no_more_memory() {
    let endless = |say| {
        let stranger = Behaviour::saying("endless", say, Then::Silence, NO_REPLY);
        Behaviour { how: How::Endless, ..stranger }
    };
    for say in [Say::Garbage(16_000), Say::Oversized] {
        let ended = meet(vec![endless(say)]);
        assert!(ended.peak < MEMORY, "{say:?}: {} KiB", ended.peak >> 10);
        assert!(ended.peak > 0, "its memory was not seen");
        assert!(ended.took < Duration::from_secs(20), "{say:?}: {:?}", ended.took);
    }
}

/// The checks of a vantage that talk to strangers.
const CHECKS: [&str; 5] = ["clock", "path-mtu", "computer-account", "resolver", "srv-records"];
/// A check of a vantage with one stranger, who is resolver and domain controller.
const CHECK_BOUND: Duration = Duration::from_secs(30);

fn vantage_checks(programs: &Programs, number: usize) -> anyhow::Result<Ended> {
    let address = address_of(number).to_string();
    let named =
        [&address, "--dns", &address, "--domain", "corp.example", "--computer", "PC8"].map(str::to_owned);
    let checks = CHECKS.into_iter().flat_map(|check| ["--check".to_owned(), check.to_owned()]);
    Run::of(named.into_iter().chain(checks)).finish(programs)
}

#[test]
fn no_check_of_a_vantage_believes_a_stranger() {
    // One that speaks LDAP is believed to: the path to it is as good as to any other.
    let talkative = talkative().into_iter().filter(|stranger| stranger.say != Say::Ldap).collect();
    let strangers = [quiet(), talkative, cut()].concat();
    let (programs, known) = (Programs::new().unwrap(), strangers.clone());
    let all: Vec<usize> = (0..known.len()).collect();
    let ended: Vec<(usize, Ended)> = on_ground(strangers, || {
        let some = |numbers: &[usize]| -> anyhow::Result<Vec<(usize, Ended)>> {
            numbers.iter().map(|number| Ok((*number, vantage_checks(&programs, *number)?))).collect()
        };
        std::thread::scope(|scope| {
            let under_way: Vec<_> = all
                .chunks(all.len().div_ceil(16))
                .map(|numbers| scope.spawn(move || some(numbers)))
                .collect();
            let ended: anyhow::Result<Vec<_>> = under_way.into_iter().map(|it| it.join().unwrap()).collect();
            Ok(ended?.concat())
        })
    })
    .unwrap();
    for (number, ended) in ended {
        let name = &known[number].name;
        assert!(ended.took < CHECK_BOUND, "{name}: {:?}", ended.took);
        assert!(ended.peak < MEMORY, "{name}: {} KiB", ended.peak >> 10);
        assert_eq!(ended.matrix.checks.len(), CHECKS.len(), "{name}");
        for check in ended.matrix.checks {
            assert_ne!(check.status, CheckStatus::Ok, "{name}: {} {:?}", check.check, check.facts);
        }
    }
}

#[test]
fn a_domain_of_thousands_is_found_in_bounded_time() {
    let naming = |say| Behaviour { say, ..Behaviour::sound("thousands", OPEN) };
    let strangers = vec![naming(Say::Services), naming(Say::LostServices)];
    let programs = Programs::new().unwrap();
    on_ground(strangers, || {
        let find = |number| {
            let address = address_of(number).to_string();
            // Each is the same host, whose rate must not decide.
            let arguments = ["corp.example", "--dns", &address, "--service", "ldap", "--rate", "10000"];
            let began = Instant::now();
            (Run::of(arguments).finish(&programs), began.elapsed())
        };
        let (found, took) = find(0);
        let found = found?;
        assert_eq!(found.matrix.cells.len(), 256, "{}", found.stderr);
        assert!(found.peak < 2 * MEMORY && took < BOUND, "{took:?}, {} KiB", found.peak >> 10);
        let (lost, took) = find(1);
        let error = format!("{:#}", lost.unwrap_err());
        assert!(error.contains("corp.example") && took < BOUND, "{took:?}: {error}");
        Ok(())
    })
    .unwrap();
}

/// A link on which nobody else is.
fn lonely_link() -> anyhow::Result<()> {
    let commands = [
        "link add here type veth peer name there",
        "address add 10.9.9.1/24 dev here",
        "link set here up",
        "link set there up",
    ];
    for command in commands {
        let status = std::process::Command::new("ip").args(command.split(' ')).status()?;
        anyhow::ensure!(status.success(), "ip {command}: {status}");
    }
    Ok(())
}

#[test]
fn nobody_at_an_address_of_the_own_link_is_no_filter() {
    let programs = Programs::new().unwrap();
    let ended = on_ground(Vec::new(), || {
        lonely_link()?;
        let services = ["--service", "ldap", "--service", "smb", "--service", "kerberos-udp"];
        Run::of(["10.9.9.2", "--domain", "corp.example"].into_iter().chain(services)).finish(&programs)
    })
    .unwrap();
    let outcomes: Vec<Outcome> = ended.matrix.cells.iter().map(|cell| cell.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unreachable; 3], "{:?}", ended.matrix.cells);
    assert!(ended.matrix.cells.iter().all(|cell| cell.by.is_none()), "{:?}", ended.matrix.cells);
}
