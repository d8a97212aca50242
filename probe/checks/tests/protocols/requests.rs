//! Requests are written octet for octet.

use sekisho_checks::wire::cldap::Ping;
use sekisho_checks::wire::rpc::{DRSUAPI, ENDPOINT_MAPPER, Interface, NETLOGON};
use sekisho_checks::wire::{cldap, dns, kerberos, ldap, rpc, smb};

use crate::vectors;

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn question(name: &str, kind: &str) -> dns::Question {
    let kind = match kind {
        "srv" => dns::Kind::Srv,
        "a" => dns::Kind::A,
        "soa" => dns::Kind::Soa,
        other => panic!("no such kind: {other}"),
    };
    dns::Question::new(name, kind).unwrap()
}

pub(crate) fn interface(name: &str) -> Interface {
    match name {
        "endpoint-mapper" => ENDPOINT_MAPPER,
        "netlogon" => NETLOGON,
        "drsuapi" => DRSUAPI,
        other => panic!("no such interface: {other}"),
    }
}

#[test]
fn dns_queries() {
    for vector in vectors::dns().request {
        let query = dns::query(vector.id, &question(&vector.question, &vector.kind), vector.recurse).unwrap();
        assert_eq!(hex(&query), hex(&vector.hex.0), "{}", vector.name);
    }
}

#[test]
fn kerberos_requests() {
    for vector in vectors::kerberos().request {
        let request = kerberos::as_request(&vector.principal, &vector.realm, vector.nonce);
        assert_eq!(hex(&request), hex(&vector.hex.0), "{}", vector.name);
        let framed = kerberos::framed(&request);
        assert_eq!(kerberos::measure(&framed), Ok(Some(framed.len())));
    }
}

#[test]
fn cldap_pings() {
    for vector in vectors::cldap().request {
        let ping = Ping {
            id: vector.id,
            domain: vector.domain.as_deref(),
            host: &vector.host,
            account: None,
            nt_version: vector.nt_version,
        };
        assert_eq!(hex(&cldap::request(&ping)), hex(&vector.hex.0), "{}", vector.name);
    }
}

#[test]
fn cldap_ping_for_an_account_asks_for_its_kind() {
    let ping = Ping { id: 1, domain: None, host: "P", account: Some(("DC1$", 0x180)), nt_version: 0x16 };
    let request = hex(&cldap::request(&ping));
    // User=DC1$ and AAC=80 01 00 00: without the kinds no account is found.
    assert!(request.contains("040455736572040444433124"), "{request}");
    assert!(request.contains("0403414143040480010000"), "{request}");
    assert!(!request.contains(&hex(b"DnsDomain")));
}

#[test]
fn ldap_searches() {
    for vector in vectors::ldap().request {
        let attributes: Vec<&str> = vector.attributes.iter().map(String::as_str).collect();
        let request = ldap::root_dse_request(vector.id, &attributes);
        assert_eq!(hex(&request), hex(&vector.hex.0), "{}", vector.name);
        assert_eq!(ldap::measure(&request), Ok(Some(request.len())));
    }
}

#[test]
fn ldap_search_as_windows_makes_it_has_its_size() {
    // With lengths in the long form it is 350 octets on the wire; each of the 20 lengths is 4 shorter or so here.
    let request = ldap::root_dse_request(1, &ldap::WINDOWS_ROOT_DSE);
    let texts: usize = ldap::WINDOWS_ROOT_DSE.iter().map(|attribute| attribute.len() + 2).sum();
    assert!(request.len() > texts && request.len() < 350, "{}", request.len());
}

#[test]
fn rpc_requests() {
    for vector in vectors::rpc().request {
        let interface = interface(&vector.interface);
        let request = match vector.operation.as_str() {
            "bind" => rpc::bind(vector.call, interface),
            "map" => rpc::map_request(vector.call, interface),
            other => panic!("no such operation: {other}"),
        };
        assert_eq!(hex(&request), hex(&vector.hex.0), "{}", vector.name);
        assert_eq!(rpc::measure(&request), Ok(Some(request.len())));
    }
}

#[test]
fn smb_requests() {
    for vector in vectors::smb().request {
        let guid: [u8; 16] = vector.client_guid.0.try_into().unwrap();
        let salt: Option<[u8; 32]> = vector.salt.map(|salt| salt.0.try_into().unwrap());
        let request = smb::negotiate_request(guid, salt);
        assert_eq!(hex(&request), hex(&vector.hex.0), "{}", vector.name);
        assert_eq!(smb::measure(&request), Ok(Some(request.len())));
    }
}
