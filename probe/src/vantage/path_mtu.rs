//! Sends a domain controller large packets of its own protocols, and has it send some.
//!
//! Everything is a search of the rootDSE that any client may make without a bind: requests grow by the name of an attribute
//! that nobody has, replies by what is asked for. Datagrams go to 389/udp, connections to 389, or to what else answers.

mod tcp;
mod udp;

use std::{net::IpAddr, time::Duration};

use futures_util::future::join_all;
use sekisho_checks::vantage::path_mtu::{self, Passage, Search, Seen};
use sekisho_model::Transport;
use tokio::time::Instant;

use super::{Means, Request, Verdict};
use crate::net::{
    self,
    path::{self, Sizing},
};

/// No search for the largest size that passes goes on after this time; what it found until then counts.
const SEARCHES_END: Duration = Duration::from_secs(11);
/// Ports of LDAP, over TCP and UDP, and of the global catalog.
const LDAP: u16 = 389;
const GLOBAL_CATALOG: u16 = 3_268;
/// A packet of this size passes everywhere, octets (RFC 791 section 3.2): where it does not, size is not what is wrong.
const LEAST: u32 = 576;
/// More than any interface but the loopback carries: the largest payload of an IPv4 datagram (RFC 791, RFC 768).
const TOO_LARGE: usize = 65_507;

/// A path under test.
#[derive(Debug)]
struct Path<'a> {
    means: &'a Means,
    address: IpAddr,
    /// When searches end.
    ends: Instant,
    /// What the first link carries, octets; `None` where that cannot be found out.
    interface_mtu: Option<u32>,
}

impl Path<'_> {
    /// Octets of the headers before a datagram's payload (RFC 791, RFC 8200, RFC 768).
    const fn udp_headers(&self) -> u32 {
        if self.address.is_ipv4() { 28 } else { 48 }
    }

    /// Octets of the headers before a segment's data, without options (RFC 9293).
    const fn tcp_headers(&self) -> u32 {
        if self.address.is_ipv4() { 40 } else { 60 }
    }
}

pub(super) async fn check(means: &Means, request: &Request) -> Verdict {
    let Some(target) = &request.target else {
        return Verdict::unknown("no-target", "the path is one to a domain controller, and none is named");
    };
    let address = target.address;
    let domain = target.domain.as_deref().unwrap_or(&request.domain);
    let interface_mtu = interface_mtu(means, address).await;
    let path = Path { means, address, ends: Instant::now() + SEARCHES_END, interface_mtu };
    let (udp, tcp) = tokio::join!(Box::pin(udp::test(&path)), Box::pin(tcp::test(&path, domain)));
    let udp_largest = Box::pin(udp.search(&path)).await;
    let black_hole = [tcp.ways.to_target, tcp.ways.from_target].contains(&Passage::Lost);
    let passes = if black_hole {
        Box::pin(tcp.search(udp_largest)).await
    } else {
        udp.reached.max(udp_largest).max(tcp.reached)
    };
    path_mtu::judge(&Seen {
        interface_mtu,
        mss: tcp.mss,
        path_mtu: passes,
        udp_largest,
        mtu_hop: udp.hop,
        udp: udp.ways,
        fragments: udp.fragments,
        tcp: tcp.ways,
        udp_trouble: udp.trouble,
        tcp_trouble: tcp.trouble,
    })
    .into()
}

/// Something that can be of any size.
trait Passes {
    /// Whether it arrives with this size: octets of a packet.
    fn passes(&self, size: u32) -> impl Future<Output = bool> + Send;
}

/// The largest size that passes, as far as there is time to find it. [`LEAST`] does, `lost` does not.
async fn largest(path: &Path<'_>, lost: u32, hint: Option<u32>, test: &impl Passes) -> u32 {
    let mut search = Search::new(LEAST, lost);
    let first = search.first(hint);
    let tried = join_all(first.iter().map(|size| test.passes(*size))).await;
    for (size, passed) in first.into_iter().zip(tried) {
        search.tried(size, passed);
    }
    if let Some(size) = search.above() {
        search.tried(size, test.passes(size).await);
    }
    while let Some(size) = search.next().filter(|_| Instant::now() < path.ends) {
        search.tried(size, test.passes(size).await);
    }
    search.passes()
}

/// What the first link carries. The kernel says so when it is to send more without cutting it, and sends nothing.
async fn interface_mtu(means: &Means, address: IpAddr) -> Option<u32> {
    means.gate.permit(address, Transport::Udp, Some(LDAP)).ok()?;
    let socket = net::datagrams((address, LDAP).into(), None).ok()?;
    let local = socket.local_addr().ok()?.ip();
    if local == address || local.is_loopback() {
        // The loopback would carry it.
        return path::route_mtu(&socket);
    }
    path::set_sizing(&socket, address, Sizing::Whole).ok()?;
    match socket.send(&vec![0; TOO_LARGE]).await {
        Ok(_) => None,
        Err(_) => path::too_big(&socket).map(|too_big| too_big.mtu),
    }
}
