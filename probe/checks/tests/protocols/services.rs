//! Requests and replies of the protocols whose vectors say in words what a reply says.

use std::net::{Ipv4Addr, SocketAddrV4};

use sekisho_checks::wire::netbios::datagram::{self, Sender};
use sekisho_checks::wire::netbios::{session, status};
use sekisho_checks::wire::time::Moment;
use sekisho_checks::wire::{certificate, http, kpasswd, nmf, ntlm, ntp, smb, spnego};

use crate::requests::hex;
use crate::vectors::{self, PlainRequest};

/// The nonce of the vectors.
const NONCE: u64 = 1 << 32;

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    vectors::Hex::try_from(text.to_owned()).unwrap().0.try_into().unwrap()
}

fn moment(moment: Option<Moment>) -> String {
    moment.map_or_else(|| "-".to_owned(), Moment::rfc3339_micros)
}

fn check(file: &str, requests: Vec<PlainRequest>, make: impl Fn(&[&str]) -> Vec<u8>) {
    assert!(!requests.is_empty(), "{file}");
    for vector in requests {
        let arguments: Vec<&str> = vector.arguments.iter().map(String::as_str).collect();
        assert_eq!(hex(&make(&arguments)), hex(&vector.hex.0), "{file}: {}", vector.name);
    }
}

#[test]
fn requests_are_written_octet_for_octet() {
    check("ntp", vectors::ntp().request, |it| ntp::request(it[0].parse().unwrap()));
    check("kpasswd", vectors::kpasswd().request, |it| kpasswd::request(it[0], unhex(it[1])));
    check("nmf", vectors::nmf().request, |it| nmf::preamble(it[0]));
    check("http", vectors::http().request, |it| http::post(it[0], it[1], it[2], it[3]));
    check("ntlm", vectors::ntlm().request, |_| smb::session_request(&spnego::ntlm_token(&ntlm::negotiate())));
    check("netbios", vectors::netbios().request, netbios);
}

fn netbios(arguments: &[&str]) -> Vec<u8> {
    let sender = || {
        let address: SocketAddrV4 = arguments[2].parse().unwrap();
        Sender { name: arguments[1], address, id: arguments[3].parse().unwrap() }
    };
    match arguments[0] {
        "status" => status::request(arguments[1].parse().unwrap()),
        "session" => session::request(arguments[1]),
        "ping" => datagram::ping(&sender(), arguments[4], arguments[5], 0x0b),
        "query" => datagram::query(&sender(), arguments[4]),
        other => panic!("no such request: {other}"),
    }
}

#[test]
fn ntp_replies() {
    for vector in vectors::ntp().reply {
        let said = match ntp::decode(&vector.hex.0, NONCE).unwrap() {
            None => "foreign".to_owned(),
            Some(reply) => format!(
                "stratum {} {} {} {} {}",
                reply.stratum,
                reply.leap_word(),
                reply.reference_text(),
                moment(reply.receive),
                moment(reply.transmit)
            ),
        };
        assert_eq!(said, vector.says, "{}", vector.name);
        for (place, octet) in [(0, 0x1b), (0, 0x1d), (0, 0x04), (0, 0x3c)] {
            let mut other = vector.hex.0.clone();
            other[place] = octet;
            assert!(ntp::decode(&other, NONCE).is_err(), "{}: another mode or version", vector.name);
        }
        assert!(ntp::decode(&vector.hex.0[..47], NONCE).is_err(), "{}", vector.name);
    }
}

#[test]
fn kpasswd_replies() {
    for vector in vectors::kpasswd().reply {
        let said = match kpasswd::decode(&vector.hex.0).unwrap() {
            kpasswd::Reply::Accepted => "accepted".to_owned(),
            kpasswd::Reply::Error(error) => {
                let result = error.data.as_deref().and_then(kpasswd::result);
                let result = result.map(|(code, text)| {
                    format!(" {code} {}", String::from_utf8_lossy(text).trim_end_matches('\n'))
                });
                let time = error.server_time.rfc3339_micros();
                format!("error {} {} {time}{}", error.code, error.realm, result.unwrap_or_default())
            }
        };
        assert_eq!(said, vector.says, "{}", vector.name);
        let longer = [vector.hex.0.as_slice(), &[0]].concat();
        assert!(kpasswd::decode(&longer).is_err(), "{}: something after it", vector.name);
        if vector.hex.0[0] == 0 {
            for length in [vector.hex.0[1] - 1, vector.hex.0[1] + 1] {
                let mut other = vector.hex.0.clone();
                other[1] = length;
                assert!(kpasswd::decode(&other).is_err(), "{}: another length", vector.name);
            }
        }
    }
    for vector in vectors::kpasswd().request {
        assert!(kpasswd::decode(&vector.hex.0).is_err(), "a request is no reply");
    }
}

#[test]
fn netbios_replies() {
    for vector in vectors::netbios().reply {
        let bytes = &vector.hex.0;
        let said = match vector.kind.as_str() {
            "status" => match status::decode(bytes, 0x7f4a).unwrap() {
                None => "foreign".to_owned(),
                Some(status::Reply::Refused(code)) => format!("refused {code}"),
                Some(status::Reply::Status(status)) => node_status(&status),
            },
            "session" => match session::decode(bytes).unwrap() {
                session::Reply::Positive => "positive".to_owned(),
                session::Reply::Negative(code) => format!("negative {}", session::error_name(code)),
                session::Reply::Retarget(address, port) => {
                    format!("retarget {}:{port}", Ipv4Addr::from(address))
                }
            },
            "datagram" => match datagram::decode(bytes).unwrap() {
                datagram::Reply::Mailslot { name, data } => format!("{name} {} octets", data.len()),
                datagram::Reply::Error(code) => format!("error {code:02x}"),
                datagram::Reply::Query(id, known) => format!("query {id:04x} {known}"),
            },
            other => panic!("no such kind: {other}"),
        };
        assert_eq!(said, vector.says, "{}", vector.name);
    }
}

fn node_status(status: &status::Status) -> String {
    let name = |name: &status::Name| {
        format!("{}<{:02x}>{} ", name.text, name.suffix, if name.group { "group" } else { "" })
    };
    let names: String = status.names.iter().map(name).collect();
    format!("{names}unit {}", hex(&status.unit.unwrap()))
}

#[test]
fn nmf_replies() {
    for vector in vectors::nmf().reply {
        let said = match nmf::decode(&vector.hex.0).unwrap() {
            nmf::Reply::Upgrade => "upgrade".to_owned(),
            nmf::Reply::Acknowledged => "acknowledged".to_owned(),
            nmf::Reply::Fault(name) => format!("fault {name}"),
        };
        assert_eq!(said, vector.says, "{}", vector.name);
    }
}

#[test]
fn http_replies() {
    for vector in vectors::http().reply {
        let response = http::decode(&vector.hex.0).unwrap();
        let server = response.values("Server").next().unwrap_or(b"-");
        let said = format!("{} {} {}", response.status, String::from_utf8_lossy(server), response.body.len());
        assert_eq!(said, vector.says, "{}", vector.name);
    }
}

#[test]
fn ntlm_challenges() {
    for vector in vectors::ntlm().reply {
        assert_eq!(smb::measure(&vector.hex.0), Ok(Some(vector.hex.0.len())), "{}", vector.name);
        let reply = smb::decode_session(&vector.hex.0[4..]).unwrap();
        let said = if reply.status == smb::MORE_PROCESSING_REQUIRED {
            let challenge = ntlm::decode(spnego::response(reply.token).unwrap().unwrap()).unwrap();
            let version = challenge.version.map_or("-".to_owned(), |(a, b, c)| format!("{a}.{b}.{c}"));
            let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            let words = [
                challenge.netbios_domain,
                challenge.netbios_host,
                challenge.dns_domain,
                challenge.dns_host,
                challenge.dns_forest,
                version,
                moment(challenge.time),
            ];
            words.map(dash).join(" ")
        } else {
            assert!(reply.token.is_empty());
            format!("status {:08x}", reply.status)
        };
        assert_eq!(said, vector.says, "{}", vector.name);
    }
}

#[test]
fn certificates() {
    for vector in vectors::certificate().reply {
        let found = certificate::decode(&vector.hex.0).unwrap();
        let seconds = |moment: Option<Moment>| moment.unwrap().rfc3339_seconds();
        let said = [
            found.subject,
            found.issuer,
            found.common_name.unwrap_or_else(|| "-".to_owned()),
            found.names.map_or_else(|| "no subjectAltName".to_owned(), |names| names.join(" ")),
            seconds(found.not_before),
            seconds(found.not_after),
            found.key,
            found.signature,
            format!("self-signed {}", found.self_signed),
            format!("server-auth {}", found.server_auth),
        ];
        assert_eq!(said.as_slice(), vector.says, "{}", vector.name);
        for length in 0..vector.hex.0.len() {
            assert!(certificate::decode(&vector.hex.0[..length]).is_err(), "{} at {length}", vector.name);
        }
        let longer = [vector.hex.0.as_slice(), &[0]].concat();
        assert!(certificate::decode(&longer).is_err(), "{}: something after it", vector.name);
    }
}
