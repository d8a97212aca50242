//! Feeds strange bytes to every decoder and every exchange: half of them random, half vectors that were changed.
//!
//! The long run, for machines without a nightly compiler and a fuzzer; overflow checks and assertions are on:
//!
//! ```text
//! CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
//! CARGO_PROFILE_RELEASE_LTO=off \
//! cargo run --release -p sekisho-checks --example hammer -- --cases 10000000
//! ```
//!
//! Options: `--cases N` a target, `--seed N` to repeat a run, `--only NAME` for one target. A case that breaks
//! something panics; the panic's message comes after the target, the seed and the number of the case, and the case
//! itself in hexadecimal, which then belongs in `fuzz/corpus/`.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use targets::{EXCHANGES, TARGETS, Target};

const FILES: [(&str, &str); 13] = [
    ("certificate", include_str!("../vectors/certificate.toml")),
    ("cldap", include_str!("../vectors/cldap.toml")),
    ("dns", include_str!("../vectors/dns.toml")),
    ("http", include_str!("../vectors/http.toml")),
    ("kerberos", include_str!("../vectors/kerberos.toml")),
    ("kpasswd", include_str!("../vectors/kpasswd.toml")),
    ("ldap", include_str!("../vectors/ldap.toml")),
    ("netbios", include_str!("../vectors/netbios.toml")),
    ("nmf", include_str!("../vectors/nmf.toml")),
    ("ntlm", include_str!("../vectors/ntlm.toml")),
    ("ntp", include_str!("../vectors/ntp.toml")),
    ("rpc", include_str!("../vectors/rpc.toml")),
    ("smb", include_str!("../vectors/smb.toml")),
];

/// SplitMix64, Steele and others 2014: enough to be strange, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `bound` - 1; 0 if the bound is 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap_or(0).checked_rem(bound).unwrap_or(0)
    }

    fn octet(&mut self) -> u8 {
        const TELLING: [u8; 12] = [0, 1, 2, 0x30, 0x7f, 0x80, 0x81, 0x84, 0xc0, 0xfe, 0xff, 0x1f];
        let [octet, kind, ..] = self.next().to_le_bytes();
        if kind & 1 == 0 { octet } else { TELLING[usize::from(octet) % TELLING.len()] }
    }
}

fn main() -> Outcome {
    let options = Options::read()?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "seed {}, {} cases a target, assertions and overflow checks {}",
        options.seed,
        options.cases,
        if cfg!(debug_assertions) { "on" } else { "OFF" }
    )?;
    writeln!(out, "{:24} {:>12} {:>12} {:>12}", "target", "cases", "accepted", "cases/s")?;
    let exchanges = EXCHANGES.iter().map(|(name, target)| (format!("exchange {name}"), *target, 2));
    let decoders = TARGETS.iter().filter(|(name, _)| *name != "exchanges");
    let decoders = decoders.map(|(name, target)| ((*name).to_owned(), *target, 0));
    for (name, target, options_octets) in decoders.chain(exchanges) {
        if options.only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let pool = pool(&name)?;
        let started = Instant::now();
        let accepted = hammer(&name, target, &pool, options_octets > 0, &options);
        let rate = options.cases as f64 / started.elapsed().as_secs_f64();
        writeln!(out, "{name:24} {:>12} {accepted:>12} {rate:>12.0}", options.cases)?;
        out.flush()?;
    }
    Ok(())
}

fn hammer(name: &str, target: Target, pool: &[Vec<u8>], is_exchange: bool, options: &Options) -> u64 {
    let mut random = Random(options.seed);
    let mut accepted = 0;
    let mut case = Vec::new();
    for number in 0..options.cases {
        case.clear();
        if is_exchange {
            case.push(random.octet());
        }
        fill(&mut case, pool, &mut random);
        match catch_unwind(AssertUnwindSafe(|| target(&case))) {
            Ok(yes) => accepted += u64::from(yes),
            Err(panic) => {
                let hex: String = case.iter().map(|octet| format!("{octet:02x}")).collect();
                let _ignored =
                    writeln!(std::io::stderr(), "{name}: seed {}, case {number}: {hex}", options.seed);
                resume_unwind(panic);
            }
        }
    }
    accepted
}

/// A case: random octets, or a vector with some changes.
fn fill(case: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    let start = case.len();
    if pool.is_empty() || random.below(2) == 0 {
        let longest = if random.below(8) == 0 { 2048 } else { 64 };
        let length = random.below(longest);
        case.extend((0..length).map(|_| random.octet()));
        return;
    }
    case.extend_from_slice(&pool[random.below(pool.len())]);
    for _ in 0..=random.below(4) {
        let length = case.len() - start;
        let place = start + random.below(length);
        match random.below(6) {
            0 if length > 0 => case[place] ^= 1 << random.below(8),
            1 if length > 0 => case[place] = random.octet(),
            2 => case.insert(place, random.octet()),
            3 if length > 0 => drop(case.remove(place)),
            4 => case.truncate(place),
            5 if length > 0 => {
                let end = place + random.below(case.len() - place).min(16);
                let copy = case[place..end].to_vec();
                let to = start + random.below(length);
                case.splice(to..to, copy);
            }
            _ => {}
        }
    }
}

/// The vectors that a target may know, and for exchanges in their framings too.
fn pool(name: &str) -> Outcome<Vec<Vec<u8>>> {
    let mut pool = Vec::new();
    for (file, text) in FILES {
        let related = name.contains(file)
            || (name == "ber" && ["cldap", "ldap", "kerberos"].contains(&file))
            || (name == "netlogon" && file == "cldap")
            || (name.starts_with("exchange rpc") && file == "rpc")
            || (name == "exchange gc" && file == "ldap")
            || (name == "exchange smb" && file == "ntlm")
            || (name == "exchange adws" && file == "nmf")
            || (name == "exchange winrm" && file == "http")
            || (name == "spnego" && ["smb", "ntlm"].contains(&file));
        if !related {
            continue;
        }
        let table: toml::Table = text.parse()?;
        for kind in ["request", "reply"] {
            let vectors = table.get(kind).and_then(toml::Value::as_array);
            for vector in vectors.into_iter().flatten() {
                let hex = vector.get("hex").and_then(toml::Value::as_str).ok_or("a vector without octets")?;
                let octets = unhex(hex).ok_or("octets that are not hexadecimal")?;
                match name {
                    "exchange dns-tcp" => pool.push(sekisho_checks::wire::dns::framed(&octets)),
                    "exchange kerberos-tcp" | "exchange kpasswd-tcp" if !octets.starts_with(&[0, 0]) => {
                        pool.push(sekisho_checks::wire::kerberos::framed(&octets));
                    }
                    _ => pool.push(octets),
                }
            }
        }
    }
    if name == "time" {
        pool.extend([b"20200722191635Z".to_vec(), b"20260102030405.0Z".to_vec()]);
    }
    if ["exchange ldaps", "exchange winrm-tls"].contains(&name) {
        pool.push(vec![0x15, 3, 3, 0, 2, 2, 40]);
        pool.push([&[0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3][..], &[7; 32], &[0, 0xc0, 0x2f, 0]].concat());
    }
    Ok(pool)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().filter_map(|character| character.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect()
}

struct Options {
    cases: u64,
    seed: u64,
    only: Option<String>,
}

impl Options {
    fn read() -> Outcome<Self> {
        let mut options = Self { cases: 100_000, seed: 1, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or("an option without a value")?;
            match option.as_str() {
                "--cases" => options.cases = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                "--only" => options.only = Some(value),
                _ => return Err(format!("no such option: {option}").into()),
            }
        }
        Ok(options)
    }
}

/// Whatever goes wrong ends the run.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
