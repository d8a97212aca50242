//! Domain controllers of Windows differ from those of Samba: each difference of `vectors/windows.toml` has a check that
//! Windows' form is read rightly.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use sekisho_checks::exchange::{Exchange, Expected, Progress, begin, mapped_ports};
use sekisho_checks::wire::ldap::Operation;
use sekisho_checks::wire::rpc::Mapping;
use sekisho_checks::wire::{cldap, dns, http, kerberos, ldap, nmf, ntp, rpc, smb, spnego};
use sekisho_model::{Fact, Service, Transport};
use serde::Deserialize;

use crate::requests::question;
use crate::vectors;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    topic: String,
    windows: String,
    samba: String,
    replies: Vec<String>,
}

/// What is checked of the replies of a row.
type Check = fn(&[&[u8]]);

const CHECKS: [(&str, Check); 15] = [
    ("BER lengths", ber_lengths),
    ("SRV additional A", additional_addresses),
    ("DNS EDNS OPT", edns),
    ("KRB-ERROR crealm and e-text", krb_error_without_words),
    ("disabled account, AS-REQ", |replies| assert_eq!(krb_error(replies[0]).code, 18)),
    ("wrong realm", |replies| assert_eq!(krb_error(replies[0]).code, 68)),
    ("EPM floor 5 address", mapped_address),
    ("EPM towers", two_towers),
    ("ept_lookup by strangers", only_ept_map_is_asked),
    ("SMB NEGOTIATE", five_mechanisms),
    ("functional level", functional_level),
    ("supportedSASLMechanisms", sasl_mechanisms),
    ("simple bind in clear", nobody_binds),
    ("NTP, ADWS and WinRM", further_services),
    ("rootDSE over UDP", large_root_dse),
];

fn rows() -> Vec<Row> {
    let file: Rows = toml::from_str(include_str!("../../vectors/windows.toml")).unwrap();
    file.row
}

#[test]
fn every_difference_has_a_check_and_every_check_a_difference() {
    let topics: BTreeSet<String> = rows().into_iter().map(|row| row.topic).collect();
    assert_eq!(topics.len(), rows().len());
    assert_eq!(topics, CHECKS.iter().map(|(topic, _)| (*topic).to_owned()).collect());
    assert!(rows().iter().all(|row| row.windows != row.samba));
}

#[test]
fn windows_is_understood() {
    for row in rows() {
        let (_, check) = CHECKS.iter().find(|(topic, _)| *topic == row.topic).unwrap();
        let replies: Vec<&[u8]> = row.replies.iter().map(|key| windows_octets(key)).collect();
        check(&replies);
    }
}

/// A vector that was captured from Windows, or made after a document of what Windows sends.
fn windows_octets(key: &str) -> &'static [u8] {
    let (file, name) = key.split_once(": ").unwrap();
    let vector = vectors::all().get(&format!("{file} reply: {name}")).unwrap_or_else(|| panic!("no {key}"));
    let honest =
        ["captured from Windows", "synthesised from "].iter().any(|it| vector.source.starts_with(it));
    assert!(honest, "{key}: {}", vector.source);
    &vector.hex
}

fn ber_lengths(replies: &[&[u8]]) {
    assert_eq!(replies[0][1], 0x84, "the long form");
    assert_eq!(ldap::decode_all(replies[0]).unwrap().len(), 2);
    assert!(cldap::decode(replies[0]).is_ok(), "the same in a datagram");
}

fn srv(reply: &[u8]) -> dns::Response {
    let question = question("_ldap._tcp.dc._msdcs.corp.example", "srv");
    dns::decode(reply, 0xabcd, &question).unwrap().unwrap()
}

fn additional_addresses(replies: &[&[u8]]) {
    let hosts: Vec<String> = srv(replies[0]).additional.into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["dc1.corp.example", "dc2.corp.example"]);
}

fn edns(replies: &[&[u8]]) {
    // Root name, type OPT (RFC 6891 6.1.2).
    assert!(replies[0].windows(3).any(|octets| octets == [0, 0, 41]));
    assert_eq!(srv(replies[0]).additional.len(), 2, "it is no address");
}

fn krb_error(reply: &[u8]) -> kerberos::KrbError {
    let message = if reply.starts_with(&[0, 0]) { &reply[4..] } else { reply };
    match kerberos::decode(message).unwrap() {
        kerberos::Reply::Error(error) => *error,
        kerberos::Reply::Ticket { .. } => panic!("a ticket"),
    }
}

fn krb_error_without_words(replies: &[&[u8]]) {
    for reply in replies {
        let error = krb_error(reply);
        assert_eq!((error.client_realm, error.text), (None, None));
        assert!(!error.realm.is_empty() && [6, 25].contains(&error.code));
    }
}

fn towers(reply: &[u8], call: u32) -> Vec<rpc::Tower> {
    match rpc::decode_map(reply, call).unwrap() {
        Mapping::Towers { towers, status: 0 } => towers,
        other @ (Mapping::Towers { .. } | Mapping::Fault(_)) => panic!("{other:?}"),
    }
}

fn mapped_address(replies: &[&[u8]]) {
    let tower = towers(replies[0], 1).remove(0);
    assert_eq!(tower.address.map(Ipv4Addr::from), Some(Ipv4Addr::new(172, 16, 5, 58)));
    assert_eq!(tower.port, Some(49668));
}

fn two_towers(replies: &[&[u8]]) {
    assert_eq!(towers(replies[0], 2).len(), 2);
    let mut exchange = begin("rpc-drs".parse().unwrap(), &Expected::default(), 7).unwrap();
    exchange.output();
    assert_eq!(exchange.input(windows_octets("rpc: accepted, Windows Server 2019")), Progress::Waiting);
    assert!(!exchange.output().is_empty());
    let Progress::Proven(facts) = exchange.input(replies[0]) else { panic!("not proven") };
    assert_eq!(mapped_ports(&facts), [49671, 49664]);
    assert_eq!(facts["mapped-address"], Fact::from("10.77.1.10"));
}

/// Samba knows no other operation, so that nothing may depend on another.
fn only_ept_map_is_asked(_: &[&[u8]]) {
    for interface in [rpc::NETLOGON, rpc::LSARPC, rpc::SAMR, rpc::DRSUAPI] {
        assert_eq!(rpc::map_request(2, interface)[22..24], [3, 0], "the number of ept_map");
    }
}

fn five_mechanisms(replies: &[&[u8]]) {
    let smb::Reply::Negotiated(negotiated) = smb::decode(&replies[0][4..]).unwrap() else {
        panic!("refused");
    };
    let mechanisms = spnego::mechanisms(&negotiated.security).unwrap();
    assert_eq!((mechanisms.len(), mechanisms[0], mechanisms[4]), (5, spnego::NEGOEX, spnego::NTLMSSP));
    assert!(negotiated.requires_signing());
}

fn root_dse(reply: &[u8], name: &str) -> Vec<String> {
    let messages = ldap::decode_all(reply).unwrap();
    let Operation::Entry(entry) = &messages[0].operation else { panic!("no entry") };
    entry.values(name).map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

fn functional_level(replies: &[&[u8]]) {
    for name in ["domainFunctionality", "forestFunctionality", "domainControllerFunctionality"] {
        assert_eq!(root_dse(replies[0], name), ["7"]);
    }
}

fn sasl_mechanisms(replies: &[&[u8]]) {
    let mechanisms = root_dse(replies[0], "supportedSASLMechanisms");
    assert_eq!(mechanisms, ["GSSAPI", "GSS-SPNEGO", "EXTERNAL", "DIGEST-MD5"]);
}

/// Whether it would be allowed is never found out: no exchange sends a bind.
fn nobody_binds(_: &[&[u8]]) {
    for service in ["ldap", "gc"] {
        let request = begin(service.parse().unwrap(), &Expected::default(), 7).unwrap().output();
        let mut message =
            sekisho_checks::wire::ber::Decoder::new(&request, "test").constructed(0x30).unwrap();
        message.integer(2).unwrap();
        assert!(message.next_is(0x63), "SearchRequest, and nothing before it");
    }
}

/// Samba serves none of the three; the exchanges of all are proved by what Windows says.
fn further_services(replies: &[&[u8]]) {
    let [below, own, upgrade, identified, wanted] = replies else { panic!("five replies") };
    assert_eq!(ntp::decode(below, 1 << 32).unwrap().unwrap().stratum, 3);
    assert_eq!(ntp::decode(own, 1 << 32).unwrap().unwrap().reference_text(), "LOCL");
    assert_eq!(nmf::decode(upgrade), Ok(nmf::Reply::Upgrade));
    assert_eq!(http::decode(identified).unwrap().status, 200);
    assert_eq!(http::decode(wanted).unwrap().values("www-authenticate").count(), 2);
    for (service, reply) in
        [("ntp", below), ("ntp", own), ("adws", upgrade), ("winrm", identified), ("winrm", wanted)]
    {
        let mut exchange = begin(service.parse::<Service>().unwrap(), &Expected::default(), 1 << 32).unwrap();
        exchange.output();
        assert!(matches!(exchange.input(reply), Progress::Proven(_)), "{service}");
    }
}

fn large_root_dse(replies: &[&[u8]]) {
    assert!((2_500..4_096).contains(&replies[0].len()), "{}", replies[0].len());
    assert_eq!(ldap::decode_all(replies[0]).unwrap().len(), 2);
    assert_eq!(root_dse(replies[0], "defaultNamingContext"), ["DC=corp,DC=example"]);
    assert_eq!("cldap".parse::<Service>().unwrap().transport(), Transport::Udp);
    assert_eq!(cldap::decode(replies[0]).map(|reply| (reply.id, reply.code)), Ok((1, 0)));
}
