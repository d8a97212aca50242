//! Interfaces with their addresses, and that of the default route.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::{
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nametoindex},
    sys::socket::SockaddrStorage,
};
use sekisho_checks::vantage::host::Interface;

/// Most interfaces told of: the first ones by name, and that of the default route.
const INTERFACES: usize = 12;
/// Most addresses of one.
const ADDRESSES: usize = 6;
/// Flag of a route that goes over a gateway or to a host that is up, route(8): `RTF_UP`.
const UP: u32 = 1;

/// All that are up, without loopback.
pub(super) fn all() -> Vec<Interface> {
    let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for entry in getifaddrs().into_iter().flatten() {
        let up = entry.flags.contains(InterfaceFlags::IFF_UP);
        if !up || entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let addresses = found.entry(entry.interface_name).or_default();
        if let Some(address) = entry.address.as_ref().and_then(address)
            && addresses.len() < ADDRESSES
        {
            addresses.push(address);
        }
    }
    let default = default();
    let mut interfaces: Vec<Interface> =
        found.into_iter().map(|(name, addresses)| Interface { mtu: mtu(&name), name, addresses }).collect();
    interfaces.sort_by_key(|interface| Some(&interface.name) != default.as_ref());
    interfaces.truncate(INTERFACES);
    interfaces
}

fn address(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// The MTU that /sys says, where /sys shows the network that this process lives in: it may be that of another namespace.
fn mtu(name: &str) -> Option<u32> {
    let read = |what: &str| fs::read_to_string(format!("/sys/class/net/{name}/{what}")).ok();
    let index: u32 = read("ifindex")?.trim().parse().ok()?;
    (if_nametoindex(name).ok()? == index).then(|| read("mtu")?.trim().parse().ok())?
}

/// The interface of the default route: IPv4, or IPv6 where there is none.
pub(super) fn default() -> Option<String> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    v4(&read("/proc/net/route")).or_else(|| v6(&read("/proc/net/ipv6_route")))
}

/// Columns of /proc/net/route: interface, destination, gateway, flags, two counters, metric, mask; the numbers of
/// addresses in hexadecimal.
fn v4(text: &str) -> Option<String> {
    let routes = text.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (name, flags) = (columns.first()?, u32::from_str_radix(columns.get(3)?, 16).ok()?);
        let metric: u32 = columns.get(6)?.parse().ok()?;
        let everything =
            hex(columns.get(1)?)? == Ipv4Addr::UNSPECIFIED && hex(columns.get(7)?)? == Ipv4Addr::UNSPECIFIED;
        (everything && flags & UP != 0).then(|| (metric, (*name).to_owned()))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, name)| name)
}

fn hex(text: &str) -> Option<Ipv4Addr> {
    u32::from_str_radix(text, 16).ok().map(|number| Ipv4Addr::from(number.swap_bytes()))
}

/// Columns of /proc/net/ipv6_route: destination, its prefix length, source, its length, gateway, metric, two counters,
/// flags, interface; all numbers in hexadecimal. Loopback has one that rejects everything.
fn v6(text: &str) -> Option<String> {
    let routes = text.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let destination = u128::from_str_radix(columns.first()?, 16).ok().map(Ipv6Addr::from)?;
        let everything = destination.is_unspecified() && *columns.get(1)? == "00";
        let metric = u32::from_str_radix(columns.get(5)?, 16).ok()?;
        let (flags, name) = (u32::from_str_radix(columns.get(8)?, 16).ok()?, columns.get(9)?);
        (everything && flags & UP != 0 && *name != "lo").then(|| (metric, (*name).to_owned()))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                    wlan0\t00000000\t0101000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                    eth0\t00000000\t0102000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                    down0\t00000000\t0102000A\t0002\t0\t0\t1\t00000000\t0\t0\t0\n\
                    half0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
                    eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(v4(text).as_deref(), Some("eth0"));
        assert_eq!(v4("Iface\n"), None);
        assert_eq!(v4("x\njunk 0 0\n"), None);
    }

    #[test]
    fn an_ipv6_default_route() {
        let zero = "0".repeat(32);
        let text = format!(
            "{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
             fd000000000000000000000000000000 40 {zero} 00 {zero} 00000100 1 0 00000001     eth0\n\
             {zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 1 0 00000003     eth1\n"
        );
        assert_eq!(v6(&text).as_deref(), Some("eth1"));
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(all().iter().all(|interface| interface.name != "lo" && !interface.name.is_empty()));
        assert_eq!(mtu("no-such-interface"), None);
        assert!(mtu("lo").is_none_or(|mtu| mtu >= 1_280));
    }
}
