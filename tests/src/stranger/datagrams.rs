//! Strangers over UDP.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Context;
use nix::{
    libc::{in_addr, in_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
        sockopt::Ipv4PacketInfo,
    },
};
use sekisho_model::{Service, Transport};

use super::{Behaviour, How, Say, ground, replies};

/// Datagrams of a flood, which has no end that it could be told of, and octets of each.
const FLOOD: usize = 5_000;
const WAVE: usize = 1_024;
/// Datagrams of a slow drip.
const DRIP: usize = 64;

static DATAGRAMS: AtomicU64 = AtomicU64::new(1);

/// Listens on every port.
pub(super) fn serve(strangers: &Arc<[Behaviour]>) -> anyhow::Result<()> {
    replies::prepare()?;
    for service in Service::catalogue().filter(|service| service.transport() == Transport::Udp) {
        let port = service.port().context("a service over UDP has a port")?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))
            .with_context(|| format!("listen on {port}/udp"))?;
        // The answer must come from the address that was asked.
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
        let (socket, strangers) = (Arc::new(socket), strangers.clone());
        thread::spawn(move || {
            while let Some((request, asked, asker)) = receive(&socket) {
                if let Some(stranger) = ground::at(&strangers, asked) {
                    answer(stranger.clone(), service, request, &socket, asked, asker);
                }
            }
        });
    }
    Ok(())
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, Ipv4Addr, SockaddrIn)> {
    let (mut buffer, mut control) = (vec![0; 4096], nix::cmsg_space!(in_pktinfo));
    let mut buffers = [IoSliceMut::new(&mut buffer)];
    let message =
        recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut buffers, Some(&mut control), MsgFlags::empty())
            .ok()?;
    let (count, asker) = (message.bytes, message.address?);
    #[allow(clippy::wildcard_enum_match_arm, reason = "nothing else was asked for")]
    let asked = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(info.ipi_addr),
        _ => None,
    })?;
    buffer.truncate(count);
    Some((buffer, Ipv4Addr::from(u32::from_be(asked.s_addr)), asker))
}

fn send(socket: &UdpSocket, from: Ipv4Addr, to: SockaddrIn, octets: &[u8]) {
    let own = in_addr { s_addr: u32::from(from).to_be() };
    let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: own, ipi_addr: own };
    let control = [ControlMessage::Ipv4PacketInfo(&info)];
    // Whoever asked may have gone: then there is nobody to tell.
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(octets)], &control, MsgFlags::empty(), Some(&to)).ok();
}

fn answer(
    stranger: Behaviour,
    service: Service,
    request: Vec<u8>,
    socket: &Arc<UdpSocket>,
    own: Ipv4Addr,
    asker: SockaddrIn,
) {
    if stranger.say == Say::Nothing {
        return;
    }
    let seed = DATAGRAMS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0xd134_2543_de82_ef95);
    let mut reply = replies::reply(stranger.say, service, &request, true, seed);
    reply.truncate(60_000);
    let socket = socket.clone();
    match stranger.how {
        How::Whole if reply.is_empty() => {}
        How::Whole => send(&socket, own, asker, &reply),
        How::Cut(cut) => send(&socket, own, asker, &replies::cut(service, true, reply, cut)),
        How::Drip(pause) => drop(thread::spawn(move || {
            for octet in reply.into_iter().take(DRIP) {
                send(&socket, own, asker, &[octet]);
                thread::sleep(pause);
            }
        })),
        How::Endless => drop(thread::spawn(move || {
            reply.truncate(WAVE);
            for _ in 0..FLOOD {
                send(&socket, own, asker, &reply);
            }
        })),
    }
}
