//! Servers for tests, on loopback, that say whatever a test wants.

use std::net::SocketAddr;

use sekisho_checks::wire::dns;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

pub(crate) const LOCALHOST: (&str, u16) = ("127.0.0.1", 0);

/// Answers every datagram with those that `answer` makes of it.
pub(crate) async fn udp(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind(LOCALHOST).await.unwrap();
    let address = socket.local_addr().unwrap();
    let serve = async move {
        let mut buffer = [0; 4_096];
        loop {
            let Ok((count, from)) = socket.recv_from(&mut buffer).await else { continue };
            for datagram in answer(&buffer[..count]) {
                // Who has closed its socket meanwhile has what it wanted.
                drop(socket.send_to(&datagram, from).await);
            }
        }
    };
    tokio::spawn(serve);
    address
}

/// Gives every connection to `talk`, with the query that came over it.
pub(crate) async fn tcp<F>(talk: impl Fn(TcpStream, Vec<u8>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(LOCALHOST).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Ok(length) = stream.read_u16().await else { continue };
            let mut query = vec![0; length.into()];
            if stream.read_exact(&mut query).await.is_ok() {
                tokio::spawn(talk(stream, query));
            }
        }
    };
    tokio::spawn(serve);
    address
}

/// The query as a response without answers.
pub(crate) fn response(query: &[u8], flags: u8, rcode: u8) -> Vec<u8> {
    let mut response = query.to_vec();
    response[2] = 0x80 | flags;
    response[3] = rcode;
    response
}

/// The records of a name and a type, as their types and data. Without records there is no such name.
pub(crate) type Zone = fn(&str, u16) -> Vec<(u16, Vec<u8>)>;

/// A DNS server over UDP and TCP at one port.
pub(crate) async fn server(zone: Zone) -> SocketAddr {
    loop {
        let address = udp(move |query| vec![answered(query, zone)]).await;
        if let Ok(listener) = TcpListener::bind(address).await {
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let Ok(length) = stream.read_u16().await else { continue };
                    let mut query = vec![0; length.into()];
                    if stream.read_exact(&mut query).await.is_ok() {
                        drop(stream.write_all(&dns::framed(&answered(&query, zone))).await);
                    }
                }
            });
            return address;
        }
    }
}

fn answered(query: &[u8], zone: Zone) -> Vec<u8> {
    let (mut labels, mut place) = (Vec::new(), 12);
    while query[place] > 0 {
        let end = place + 1 + usize::from(query[place]);
        labels.push(String::from_utf8(query[place + 1..end].to_vec()).unwrap());
        place = end;
    }
    let kind = u16::from_be_bytes([query[place + 1], query[place + 2]]);
    let records = zone(&labels.join("."), kind);
    let mut message = query[..place + 5].to_vec();
    message[2..4].copy_from_slice(&[0x85, if records.is_empty() { 3 } else { 0 }]);
    message[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    // No OPT record.
    message[10..12].copy_from_slice(&[0, 0]);
    for (kind, data) in records {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
    }
    message
}

/// The data of an SRV record.
pub(crate) fn srv(port: u16, target: &str) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 100];
    data.extend(port.to_be_bytes());
    data.extend(name(target));
    data
}

/// A name without compression.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for label in text.split('.') {
        data.push(u8::try_from(label.len()).unwrap());
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

/// A domain controller of corp.example that answers netlogon pings, with these flags.
pub(crate) async fn controller(flags: u32) -> SocketAddr {
    udp(move |request| vec![pong(request, flags)]).await
}

fn pong(request: &[u8], flags: u32) -> Vec<u8> {
    // SEQUENCE, its length in one octet, and the message id, which is repeated as it is.
    let id = &request[2..4 + usize::from(request[3])];
    let mut value = vec![23, 0, 0, 0];
    value.extend(flags.to_le_bytes());
    value.extend([7; 16]);
    for text in ["corp.example", "corp.example", "dc1.corp.example", "CORP", "DC1"] {
        value.extend(name(text));
    }
    value.push(0);
    value.extend(name("Tokyo"));
    value.extend(name("Tokyo"));
    value.extend([5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    let set = tagged(0x31, &tagged(0x04, &value));
    let attribute = tagged(0x30, &[tagged(0x04, b"netlogon"), set].concat());
    let entry = tagged(0x64, &[tagged(0x04, b""), tagged(0x30, &attribute)].concat());
    let done = [0x65, 7, 0x0a, 1, 0, 4, 0, 4, 0];
    [tagged(0x30, &[id, &entry].concat()), tagged(0x30, &[id, &done].concat())].concat()
}

fn tagged(tag: u8, data: &[u8]) -> Vec<u8> {
    [&[tag, 0x81, u8::try_from(data.len()).unwrap()], data].concat()
}
