//! Many hosts behind the core, for speed tests.

use std::process::Child;

use anyhow::{Context, ensure};

use crate::{
    namespace, network, ready,
    serve::Manner,
    teardown, tool,
    topology::{self, Kind, topology},
};

/// Adds the farm, in place of one that is there. Gives the process that serves it.
pub(crate) fn build(
    lab: &str,
    hosts: u8,
    launch: impl Fn(&str, &[(u16, Manner)]) -> anyhow::Result<Child>,
) -> anyhow::Result<Child> {
    let farm = &topology().farm;
    ensure!((1..=farm.hosts).contains(&hosts), "a farm has 1 to {} hosts, not {hosts}", farm.hosts);
    remove(lab)?;
    network::add_namespaces(lab, &[&farm.node])?;
    network::settings(lab, &farm.node, Kind::Host, false)?;
    network::add_links(lab, &[&farm.link], None)?;

    let core = &farm.link.a;
    let host = &farm.link.b;
    let to_farm = format!("route replace {} via {}\n", farm.network, host.address.addr());
    network::configure(lab, &core.node, &(network::script(&[core], std::iter::empty()) + &to_farm))?;
    let addresses: String = farm
        .network
        .hosts()
        .take(usize::from(hosts))
        .map(|address| format!("addr add {address}/32 dev lo\n"))
        .collect();
    let default = format!("route add default via {}\n", core.address.addr());
    network::configure(
        lab,
        &farm.node,
        &(network::script(&[host], std::iter::empty()) + &addresses + &default),
    )?;
    network::nft(lab, &topology().management, topology::acl(&farm.acl)?)?;

    let ports: Vec<_> = farm.tcp.iter().map(|port| (*port, Manner::Plain)).collect();
    let server = launch(&farm.node, &ports)?;
    let first = farm.network.hosts().next().context("the farm's network has no address")?;
    ready::wait_for_ports(&namespace::name(lab, &farm.node), first, &farm.tcp)?;
    Ok(server)
}

fn remove(lab: &str) -> anyhow::Result<()> {
    let farm = &topology().farm;
    let namespace = namespace::name(lab, &farm.node);
    if namespace::path(&namespace).exists() {
        teardown::namespaces(&[namespace])?;
    }
    // The interface in the core would go by itself, some time later.
    let core = namespace::name(lab, &farm.link.a.node);
    drop(tool::run(tool::command("ip")?.args(["-netns", &core, "link", "del", &farm.link.a.interface])));
    network::nft(lab, &topology().management, "table ip sekisho_farm\ndelete table ip sekisho_farm\n")
}
