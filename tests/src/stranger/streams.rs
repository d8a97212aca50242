//! Strangers over TCP.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context;
use sekisho_model::{Protocol, Service, Transport};
use socket2::SockRef;

use super::{Behaviour, How, Mapper, Say, Then, When, ground, mapper, replies, tls};

/// Ports on which RPC interfaces listen.
const INTERFACES: [u16; 3] = [49_664, 49_665, 65_535];
/// Whoever has not ended after this long is left. Longer than any check.
const PATIENCE: Duration = Duration::from_secs(60);
/// Octets of the stack of a thread; there are thousands of them.
const STACK: usize = 512 * 1024;
/// The octets of an agreement to StartTLS, with the message id 2 (RFC 4511 4.14.2).
const AGREED: [u8; 14] = [0x30, 0x0c, 2, 1, 2, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0];

/// Makes each connection's chance another one, and each run's the same.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// Listens on every port.
pub(super) fn serve(strangers: &Arc<[Behaviour]>) -> anyhow::Result<()> {
    replies::prepare()?;
    let netlogon: Service = "rpc-netlogon".parse()?;
    let mut ports: BTreeMap<u16, Service> = INTERFACES.map(|port| (port, netlogon)).into();
    let streams = Service::catalogue().filter(|service| service.transport() == Transport::Tcp);
    ports.extend(streams.filter_map(|service| Some((service.port()?, service))));
    for (port, service) in ports {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .with_context(|| format!("listen on {port}/tcp"))?;
        // All strangers share it: the backlog must not become a behaviour of its own.
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4_096)?)?;
        let strangers = strangers.clone();
        spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let strangers = strangers.clone();
                // A connection that breaks is what most of these are for.
                if spawn(move || _ = meet(&strangers, service, port, stream)).is_err() {
                    break;
                }
            }
        })?;
    }
    Ok(())
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work).map(drop)
}

fn meet(strangers: &[Behaviour], service: Service, port: u16, stream: TcpStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let IpAddr::V4(address) = stream.local_addr()?.ip() else { return Ok(()) };
    let Some(stranger) = ground::at(strangers, address) else { return Ok(()) };
    if port == 135 && stranger.mapper != Mapper::Same {
        return map(&stranger.mapper, address, stream);
    }
    let control = stream.try_clone()?;
    let tls = matches!(service.protocol(), Protocol::Ldaps | Protocol::WinrmTls);
    if tls && stranger.inside_tls {
        behave(stranger, service, true, &mut tls::accept(stream)?)?;
    } else {
        behave(stranger, service, false, &mut &stream)?;
    }
    end(stranger.then, &control)?;
    Ok(())
}

fn behave(stranger: &Behaviour, service: Service, inside: bool, stream: &mut dyn Wire) -> anyhow::Result<()> {
    let mut request = vec![0; 8 * 1024];
    if stranger.when == When::Asked {
        let count = stream.read(&mut request)?;
        request.truncate(count);
    }
    let seed = CONNECTIONS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let reply = replies::reply(stranger.say, service, &request, inside, seed);
    match stranger.how {
        How::Whole => stream.write_all(&reply)?,
        How::Cut(cut) => stream.write_all(&replies::cut(service, inside, reply, cut))?,
        How::Drip(pause) => {
            for octet in reply {
                stream.write_all(&[octet])?;
                stream.flush()?;
                thread::sleep(pause);
            }
        }
        How::Endless => {
            stream.write_all(&reply)?;
            let more = if matches!(stranger.say, Say::Garbage(_)) { reply } else { vec![b'0'; 16 * 1024] };
            loop {
                stream.write_all(&more)?;
            }
        }
    }
    stream.flush()?;
    if let (Say::StartTls(octets), Protocol::Ldap) = (stranger.say, service.protocol()) {
        let mut asked = [0; 1024];
        if stream.read(&mut asked)? > 0 {
            stream.write_all(&[&AGREED[..], &replies::noise(seed, octets)].concat())?;
        }
    }
    Ok(())
}

fn end(then: Then, stream: &TcpStream) -> io::Result<()> {
    match then {
        Then::Silence => {
            // Not read by a stranger who never reads; whoever does takes what comes until the peer goes.
            wait_for_end(stream)
        }
        Then::Close => stream.shutdown(Shutdown::Both),
        Then::Reset => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
    }
}

/// Until the peer has gone. Nothing is taken from the socket but what came after the request.
fn wait_for_end(mut stream: &TcpStream) -> io::Result<()> {
    let mut nowhere = [0; 4096];
    while stream.read(&mut nowhere)? > 0 {}
    Ok(())
}

/// The endpoint mapper.
fn map(mapping: &Mapper, own: Ipv4Addr, mut stream: TcpStream) -> anyhow::Result<()> {
    let (address, ports) = match mapping {
        Mapper::Same => return Ok(()),
        Mapper::Honest(ports) => (own.octets(), ports),
        Mapper::Elsewhere(address, ports) => (*address, ports),
    };
    let mut request = [0; 4096];
    loop {
        let count = stream.read(&mut request)?;
        let asked = &request[..count];
        // Of a call the third octet is its kind: 11 a bind, 0 a request.
        match asked.get(2) {
            Some(11) => stream.write_all(&mapper::bind_ack(asked))?,
            Some(0) => stream.write_all(&mapper::map(asked, address, ports))?,
            Some(_) | None => return Ok(()),
        }
    }
}
