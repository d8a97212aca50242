//! Replies are decoded to what the vectors say.

use std::net::{IpAddr, Ipv4Addr};

use sekisho_checks::wire::cldap::Answer;
use sekisho_checks::wire::kerberos::Reply as KerberosReply;
use sekisho_checks::wire::ldap::Operation;
use sekisho_checks::wire::rpc::{BindReply, Mapping};
use sekisho_checks::wire::time::Moment;
use sekisho_checks::wire::{cldap, dns, kerberos, ldap, rpc, smb};

use crate::requests::{interface, question};
use crate::vectors::{self, CldapReply, RpcBind};

#[test]
fn dns_responses() {
    for vector in vectors::dns().reply {
        let name = &vector.name;
        let decoded =
            dns::decode(&vector.hex.0, vector.id, &question(&vector.question, &vector.kind)).unwrap();
        assert_eq!(decoded.is_none(), vector.foreign.unwrap_or(false), "{name}");
        let Some(response) = decoded else { continue };
        assert_eq!(Some(dns::rcode_name(response.rcode)), vector.rcode, "{name}");
        assert_eq!(Some(response.authoritative), vector.authoritative, "{name}");
        assert_eq!(Some(response.truncated), vector.truncated, "{name}");
        let answers = response.answers.iter().map(|record| match record {
            dns::Record::Srv(srv) => {
                format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target)
            }
            dns::Record::Address(address) => address.to_string(),
            dns::Record::Alias(name) => format!("alias {name}"),
            dns::Record::Soa { primary, serial } => format!("soa {primary} {serial}"),
            dns::Record::Other => "other".to_owned(),
        });
        assert_eq!(Some(answers.collect()), vector.answers, "{name}");
        let additional =
            response.additional.iter().map(|(host, address): &(String, IpAddr)| format!("{host} {address}"));
        assert_eq!(Some(additional.collect()), vector.additional, "{name}");
        assert_eq!((response.ttl, response.denied_by), (vector.ttl, vector.denied_by), "{name}");
    }
}

#[test]
fn kerberos_replies() {
    for vector in vectors::kerberos().reply {
        let name = &vector.name;
        let message = if vector.framed {
            assert_eq!(kerberos::measure(&vector.hex.0), Ok(Some(vector.hex.0.len())), "{name}");
            &vector.hex.0[4..]
        } else {
            vector.hex.0.as_slice()
        };
        match kerberos::decode(message).unwrap() {
            KerberosReply::Ticket { realm } => {
                assert_eq!((realm, None), (vector.realm, vector.error), "{name}");
            }
            KerberosReply::Error(error) => {
                assert_eq!(Some(error.code), vector.error, "{name}");
                assert_eq!(Some(kerberos::error_name(error.code)), vector.error_name.as_deref(), "{name}");
                assert_eq!(Some(error.server_time.rfc3339_micros()), vector.server_time, "{name}");
                assert_eq!(error.realm, vector.realm, "{name}");
                assert_eq!(error.client_realm, vector.client_realm, "{name}");
                assert_eq!(error.text, vector.text, "{name}");
                assert_eq!(Some(error.padata), vector.padata, "{name}");
                assert_eq!(Some(error.data.map_or(0, |data| data.len())), vector.data, "{name}");
            }
        }
    }
}

#[test]
fn nothing_may_follow_a_message() {
    for vector in vectors::kerberos().reply {
        let mut message = vector.hex.0[if vector.framed { 4 } else { 0 }..].to_vec();
        message.push(0);
        assert!(kerberos::decode(&message).is_err(), "{}", vector.name);
    }
    for vector in vectors::ldap().reply {
        let first = ldap::measure(&vector.hex.0).unwrap().unwrap();
        assert!(ldap::decode(&vector.hex.0[..first]).is_ok(), "{}", vector.name);
        let two = [&vector.hex.0[..first], &vector.hex.0[..first]].concat();
        assert!(ldap::decode(&two).is_err(), "{}", vector.name);
    }
}

#[test]
fn cldap_replies() {
    for vector in vectors::cldap().reply {
        let name = vector.name.clone();
        let answer = if vector.netlogon {
            Some(cldap::decode_answer(&vector.hex.0).unwrap())
        } else {
            let reply = cldap::decode(&vector.hex.0).unwrap();
            assert_eq!((Some(reply.id), reply.code), (vector.id, 0), "{name}");
            reply.answer
        };
        match answer {
            None => assert_eq!(vector.opcode, None, "{name}"),
            Some(answer) => same_answer(answer, vector),
        }
    }
}

#[test]
fn a_cldap_reply_has_one_message_id() {
    let file = vectors::cldap();
    let vector = file.reply.into_iter().find(|vector| vector.name.starts_with("lengths as Windows")).unwrap();
    let mut bytes = vector.hex.0;
    assert!(cldap::decode(&bytes).is_ok());
    // The id of the entry; that of the end of the search stays.
    assert_eq!(bytes[6..9], [0x02, 0x01, 0x01]);
    bytes[8] = 2;
    assert!(cldap::decode(&bytes).is_err());
}

#[test]
fn netlogon_answers_end_with_their_tokens() {
    for vector in vectors::cldap().reply.into_iter().filter(|vector| vector.netlogon) {
        let mut bytes = vector.hex.0;
        *bytes.last_mut().unwrap() = 0;
        assert!(cldap::decode_answer(&bytes).is_err(), "{}", vector.name);
    }
}

/// An absent field of a vector must be absent or empty in the answer.
fn same_answer(answer: Answer, vector: CldapReply) {
    let name = &vector.name;
    let same = |got: &str, expected: &Option<String>| {
        assert_eq!(got, expected.clone().unwrap_or_default(), "{name}")
    };
    let address = |octets: [u8; 4]| Ipv4Addr::from(octets).to_string();
    match answer {
        Answer::Extended(answer) => {
            assert_eq!(Some(answer.opcode), vector.opcode, "{name}");
            assert_eq!(Some(answer.flags), vector.flags, "{name}");
            assert_eq!(Some(answer.nt_version), vector.nt_version, "{name}");
            same(&smb::guid_text(&answer.domain_guid), &vector.guid);
            same(&answer.forest, &vector.forest);
            same(&answer.domain, &vector.domain);
            same(&answer.host, &vector.host);
            same(&answer.netbios_domain, &vector.netbios_domain);
            same(&answer.netbios_host, &vector.netbios_host);
            same(&answer.user, &vector.user);
            same(&answer.dc_site, &vector.dc_site);
            same(&answer.client_site, &vector.client_site);
            assert_eq!(answer.address.map(address), vector.address, "{name}");
            assert_eq!(answer.next_closest_site, vector.next_closest_site, "{name}");
        }
        Answer::Nt4(answer) => {
            assert_eq!(Some(answer.opcode), vector.opcode, "{name}");
            assert_eq!(Some(answer.nt_version), vector.nt_version, "{name}");
            same(&answer.logon_server, &vector.netbios_host);
            same(&answer.user, &vector.user);
            same(&answer.netbios_domain, &vector.netbios_domain);
            let dns = answer.dns.unwrap_or_default();
            same(&dns.forest, &vector.forest);
            same(&dns.domain, &vector.domain);
            same(&dns.host, &vector.host);
            assert_eq!(
                address(dns.address),
                vector.address.unwrap_or_else(|| "0.0.0.0".to_owned()),
                "{name}"
            );
            assert_eq!(dns.flags, vector.flags.unwrap_or_default(), "{name}");
        }
    }
}

#[test]
fn ldap_replies() {
    for vector in vectors::ldap().reply {
        let name = &vector.name;
        let messages = ldap::decode_all(&vector.hex.0).unwrap();
        let kinds: Vec<&str> = messages
            .iter()
            .map(|message| match message.operation {
                Operation::Entry(_) => "entry",
                Operation::Done(_) => "done",
                Operation::Extended(_) => "extended",
                Operation::Other(_) => "other",
            })
            .collect();
        assert_eq!(kinds, vector.operations, "{name}");
        for message in &messages {
            assert_eq!(message.id, vector.id, "{name}");
            let text =
                |octets: Option<&[u8]>| octets.map(|octets| String::from_utf8(octets.to_vec()).unwrap());
            match &message.operation {
                Operation::Entry(entry) => {
                    assert_eq!(Some(entry.attributes.len()), vector.values, "{name}");
                    assert_eq!(text(entry.value("defaultNamingContext")), vector.context, "{name}");
                    assert_eq!(text(entry.value("dnsHostName")), vector.host, "{name}");
                }
                Operation::Done(outcome) | Operation::Extended(outcome) => {
                    assert_eq!(outcome.code, vector.code.unwrap_or(0), "{name}");
                }
                Operation::Other(_) => {}
            }
        }
    }
}

#[test]
fn rpc_replies() {
    for vector in vectors::rpc().reply {
        let name = &vector.name;
        if let Some(expected) = &vector.bind {
            assert_eq!(rpc::decode_bind(&vector.hex.0, vector.call).unwrap(), bind(expected), "{name}");
        }
        if let Some(expected) = &vector.map {
            let Mapping::Towers { towers, status } = rpc::decode_map(&vector.hex.0, vector.call).unwrap()
            else {
                panic!("{name}: a fault");
            };
            let join = |texts: Vec<String>| texts.join(" ");
            assert_eq!(status, expected.status, "{name}");
            assert_eq!(
                join(towers.iter().map(|t| t.port.unwrap().to_string()).collect()),
                expected.ports,
                "{name}"
            );
            let addresses = towers.iter().map(|t| Ipv4Addr::from(t.address.unwrap()).to_string()).collect();
            assert_eq!(join(addresses), expected.addresses, "{name}");
            assert!(towers.iter().all(|t| t.uuid == interface(&expected.interface).uuid), "{name}");
        }
        assert!(vector.bind.is_some() != vector.map.is_some(), "{name}");
        assert!(rpc::decode_bind(&vector.hex.0, vector.call + 1).is_err(), "{name}: another call");
    }
}

fn bind(expected: &RpcBind) -> BindReply {
    match expected.kind.as_str() {
        "ack" => BindReply::Ack {
            result: expected.result.unwrap(),
            reason: expected.reason.unwrap(),
            secondary_address: expected.address.clone().unwrap(),
        },
        "nak" => BindReply::Nak(expected.reason.unwrap()),
        "fault" => BindReply::Fault(expected.status.unwrap()),
        other => panic!("no such kind: {other}"),
    }
}

#[test]
fn smb_replies() {
    for vector in vectors::smb().reply {
        let name = &vector.name;
        assert_eq!(smb::measure(&vector.hex.0), Ok(Some(vector.hex.0.len())), "{name}");
        match smb::decode(&vector.hex.0[4..]).unwrap() {
            smb::Reply::Refused(status) => {
                assert_eq!((status, None), (vector.status, vector.dialect), "{name}")
            }
            smb::Reply::Negotiated(negotiated) => {
                let signing = if negotiated.requires_signing() { "required" } else { "enabled" };
                assert_eq!(Some(signing), vector.signing.as_deref(), "{name}");
                assert_eq!(negotiated.status, vector.status, "{name}");
                assert_eq!(Some(negotiated.dialect_text()), vector.dialect, "{name}");
                assert_eq!(Some(smb::guid_text(&negotiated.server_guid)), vector.guid, "{name}");
                assert_eq!(Some(negotiated.capabilities), vector.capabilities, "{name}");
                assert_eq!(negotiated.system_time.map(Moment::rfc3339_micros), vector.system_time, "{name}");
                assert_eq!(negotiated.start_time.map(Moment::rfc3339_micros), vector.start_time, "{name}");
            }
        }
    }
}

#[test]
fn an_smb_response_holds_its_security_buffer() {
    let responses = vectors::smb().reply.into_iter().filter(|vector| vector.dialect.is_some());
    for vector in responses {
        let message = &vector.hex.0[4..];
        let word = |at: usize| usize::from(u16::from_le_bytes([message[at], message[at + 1]]));
        // SecurityBufferOffset and SecurityBufferLength, MS-SMB2 2.2.4.
        let end = word(120) + word(122);
        assert!(smb::decode(&message[..end]).is_ok(), "{}", vector.name);
        assert!(smb::decode(&message[..end - 1]).is_err(), "{}", vector.name);
        let mut request = message.to_vec();
        request[16] = 0;
        assert!(smb::decode(&request).is_err(), "{}: not marked as a response", vector.name);
    }
}
