//! What is written as a server writes it is read back, whatever it is.

use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_checks::exchange::{Progress, begin_at, mapped_ports};
use sekisho_checks::wire::netbios::datagram::{self, Sender};
use sekisho_checks::wire::netbios::status::{self, Name, Reply, Status};
use sekisho_checks::wire::ntlm::{self, Challenge};
use sekisho_checks::wire::time::Moment;
use sekisho_checks::wire::{http, kpasswd, nmf, ntp, rpc};

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn framed_response(body: &[u8]) -> Vec<u8> {
    let mut out = vec![5, 0, 2, 3, 0x10, 0, 0, 0];
    out.extend(u16::try_from(body.len() + 24).unwrap().to_le_bytes());
    out.extend([0, 0, 2, 0, 0, 0]);
    out.extend([0; 8]);
    out.extend(body);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn times_of_ntp(nonce: u64, other: u64, leap in 0_u8..4, version in 1_u8..5, stratum: u8, unix in -61_505_152_i64..4_000_000_000) {
        let mut bytes = vec![leap << 6 | version << 3 | 4, stratum];
        bytes.extend([0; 22]);
        bytes.extend(nonce.to_be_bytes());
        for _ in 0..2 {
            bytes.extend(u32::try_from((unix + 2_208_988_800) & 0xffff_ffff).unwrap().to_be_bytes());
            bytes.extend(0x8000_0000_u32.to_be_bytes());
        }
        let reply = ntp::decode(&bytes, nonce).unwrap().unwrap();
        let expected = Moment::from_unix_micros(unix * 1_000_000 + 500_000);
        prop_assert_eq!((reply.leap, reply.stratum), (leap, stratum));
        prop_assert_eq!((reply.receive, reply.transmit), (expected, expected));
        prop_assert_eq!(ntp::decode(&bytes, other).unwrap().is_some(), other == nonce);
    }

    #[test]
    fn names_of_a_node(id: u16, names in vec(("[A-Z0-9-]{1,15}", any::<u8>(), any::<bool>()), 0..20), unit: [u8; 6]) {
        let mut data = vec![u8::try_from(names.len()).unwrap()];
        for (text, suffix, group) in &names {
            data.extend(format!("{text:15}").bytes().chain([*suffix, if *group { 0x84 } else { 4 }, 0]));
        }
        data.extend(unit);
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, b'x', 0, 0, 0x21, 0, 1, 0, 0, 0, 0]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        let names = names.into_iter().map(|(text, suffix, group)| Name { text, suffix, group }).collect();
        let expected = Status { names, unit: Some(unit) };
        prop_assert_eq!(status::decode(&bytes, id), Ok(Some(Reply::Status(expected))));
        prop_assert_eq!(status::decode(&bytes, !id), Ok(None));
    }

    #[test]
    fn pings_of_any_sender(name in "[A-Z0-9]{1,15}", domain in "[a-z]{1,15}", address: [u8; 4], port: u16, id: u16) {
        let sender = Sender { name: &name, address: std::net::SocketAddrV4::new(address.into(), port), id };
        let ping = datagram::ping(&sender, &domain, &format!(r"\MAILSLOT\NET\{name}"), 0x0b);
        prop_assert_eq!(&ping[4..8], address);
        prop_assert_eq!(&ping[8..10], port.to_be_bytes());
        let Ok(datagram::Reply::Mailslot { data, .. }) = datagram::decode(&ping) else { panic!("no mailslot") };
        prop_assert!(data.ends_with(&[0x0b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]));
        prop_assert!(data[4..].starts_with(&utf16(&name)));
    }

    #[test]
    fn challenges(texts in vec("[a-zA-Z0-9.é漢]{0,30}", 5), filetime in 116_444_736_000_000_000_u64..200_000_000_000_000_000, build: u16, gap in 0_usize..20) {
        let mut pairs = Vec::new();
        for (id, text) in (1_u16..).zip(&texts) {
            pairs.extend(id.to_le_bytes());
            pairs.extend(u16::try_from(utf16(text).len()).unwrap().to_le_bytes());
            pairs.extend(utf16(text));
        }
        pairs.extend([7, 0, 8, 0]);
        pairs.extend(filetime.to_le_bytes());
        pairs.extend([0; 4]);
        let mut bytes = b"NTLMSSP\0\x02\0\0\0".to_vec();
        bytes.extend([0; 8]);
        bytes.extend(0x0200_0000_u32.to_le_bytes());
        bytes.extend([0; 16]);
        for _ in 0..2 {
            bytes.extend(u16::try_from(pairs.len()).unwrap().to_le_bytes());
        }
        bytes.extend(u32::try_from(56 + gap).unwrap().to_le_bytes());
        bytes.extend([10, 0]);
        bytes.extend(build.to_le_bytes());
        bytes.extend([0, 0, 0, 15]);
        bytes.resize(56 + gap, 0xaa);
        bytes.extend(pairs);
        let [netbios_host, netbios_domain, dns_host, dns_domain, dns_forest] =
            <[String; 5]>::try_from(texts).unwrap();
        let time = Moment::from_filetime(filetime);
        let version = Some((10, 0, build));
        let expected = Challenge { netbios_host, netbios_domain, dns_host, dns_domain, dns_forest, time, version };
        prop_assert_eq!(ntlm::decode(&bytes), Ok(expected));
        prop_assert!(ntlm::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn faults_of_any_length(text in "[a-z]{0,1024}") {
        let mut bytes = vec![8];
        if text.len() < 128 {
            bytes.push(text.len() as u8);
        } else {
            bytes.extend([0x80 | (text.len() & 0x7f) as u8, (text.len() >> 7) as u8]);
        }
        bytes.extend(text.bytes());
        prop_assert_eq!(nmf::measure(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(nmf::decode(&bytes), Ok(nmf::Reply::Fault(text)));
    }

    #[test]
    fn responses(status in 100_u16..1000, headers in vec(("[A-Za-z-]{1,10}x", "[!-~]{0,20}"), 0..10), body in vec(any::<u8>(), 0..500), more in vec(any::<u8>(), 0..5)) {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:  {value} \r\n")).collect();
        let head = format!("HTTP/1.1 {status} Words here\r\n{lines}content-length: {}\r\n\r\n", body.len());
        let bytes = [head.as_bytes(), &body].concat();
        let response = http::decode(&bytes).unwrap();
        prop_assert_eq!((response.status, response.body), (status, body.as_slice()));
        for ((name, value), (got_name, got_value)) in headers.iter().zip(&response.headers) {
            prop_assert_eq!((name.as_bytes(), value.as_bytes()), (*got_name, *got_value));
        }
        prop_assert_eq!(http::measure(&[bytes.clone(), more].concat()), Ok(Some(bytes.len())));
    }

    #[test]
    fn requests_for_any_realm(realm in "[A-Z.]{1,60}", noise: [u8; 32]) {
        let request = kpasswd::request(&realm, noise);
        prop_assert_eq!(usize::from(u16::from_be_bytes([request[0], request[1]])), request.len());
        prop_assert!(kpasswd::decode(&request).is_err(), "a request is no reply");
        prop_assert!(request.windows(realm.len()).any(|window| window == realm.as_bytes()));
    }

    #[test]
    fn ports_of_an_interface(ports in vec(1_u16.., 0..=4)) {
        let interface = rpc::SAMR;
        let mut body = vec![0; 20];
        let count = u32::try_from(ports.len()).unwrap();
        for number in [count, 4, 0, count] {
            body.extend(number.to_le_bytes());
        }
        body.extend((0..count).flat_map(|reference| (reference + 3).to_le_bytes()));
        for port in &ports {
            body.resize(body.len().next_multiple_of(4), 0);
            // The tower of a request, with this port in its fourth floor.
            let mut tower = rpc::map_request(2, interface)[24 + 32..][..75].to_vec();
            let place = tower.windows(3).position(|it| it == [7, 2, 0]).unwrap() + 3;
            tower[place..place + 2].copy_from_slice(&port.to_be_bytes());
            for _ in 0..2 {
                body.extend(75_u32.to_le_bytes());
            }
            body.extend(tower);
        }
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([0; 4]);
        let mut exchange = begin_at("rpc-samr".parse().unwrap(), 135, &Default::default(), 7).unwrap();
        exchange.output();
        let accepted = &crate::vectors::all()["rpc reply: accepted, Windows Server 2019"].hex;
        let Progress::Proven(facts) = exchange.input(&[accepted.clone(), framed_response(&body)].concat()) else {
            panic!("not proven");
        };
        let mut distinct: Vec<u16> = Vec::new();
        for port in ports {
            if !distinct.contains(&port) {
                distinct.push(port);
            }
        }
        prop_assert_eq!(mapped_ports(&facts), distinct);
    }
}
