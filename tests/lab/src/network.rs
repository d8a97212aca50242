//! Builds the namespaces, cables, routes and access lists of a lab.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context;

use crate::{
    namespace,
    state::State,
    tool,
    topology::{self, End, Kind, Link, Node, Route, topology},
};

const ETC: &str = "/etc/netns";

/// Everything but the programs that run in it.
pub(crate) fn build(lab: &str, state: &State) -> anyhow::Result<()> {
    let nodes = &topology().nodes;
    add_namespaces(lab, &nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>())?;
    for node in nodes {
        prepare(lab, node, state.ping)?;
    }
    add_links(lab, &topology().links.iter().collect::<Vec<_>>(), Some(state))?;
    std::thread::scope(|scope| {
        let work: Vec<_> = nodes
            .iter()
            .map(|node| {
                scope.spawn(|| {
                    let ends: Vec<&End> = topology().ends(&node.name).collect();
                    let routes = topology().routes.iter().filter(|route| route.node == node.name);
                    let mut script = script(&ends, routes);
                    if node.name == topology().management {
                        _ = write!(
                            script,
                            "addr add {}/30 dev mgmt\nlink set mgmt up\n",
                            state.edge_address()
                        );
                    }
                    configure(lab, &node.name, &script)?;
                    node.acl.as_ref().map_or(Ok(()), |file| nft(lab, &node.name, topology::acl(file)?))
                })
            })
            .collect();
        work.into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })
}

/// What a node needs before its interfaces come.
pub(crate) fn prepare(lab: &str, node: &Node, ping: bool) -> anyhow::Result<()> {
    settings(lab, &node.name, node.kind, ping)?;
    let text = |resolver| format!("nameserver {resolver}\nsearch {}\n", topology().domain.name);
    node.resolver.map_or(Ok(()), |resolver| write_resolver(lab, &node.name, &text(resolver)))
}

/// Creates the namespaces of some nodes.
pub(crate) fn add_namespaces(lab: &str, nodes: &[&str]) -> anyhow::Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let script: String =
        nodes.iter().map(|node| format!("netns add {}\n", namespace::name(lab, node))).collect();
    tool::run_with(tool::command("ip")?.args(["-batch", "-"]), &script).context(
        "create network namespaces (this needs root with CAP_SYS_ADMIN, so not an ordinary container)",
    )?;
    Ok(())
}

/// Kernel settings of a node, before its interfaces come: those inherit them.
pub(crate) fn settings(lab: &str, node: &str, kind: Kind, ping: bool) -> anyhow::Result<()> {
    let mut settings = vec![
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv6/conf/all/disable_ipv6", "1"),
    ];
    match kind {
        Kind::Router => settings.extend([
            ("ipv4/ip_forward", "1"),
            // ICMP errors are evidence: none may be rationed, and each bears the address that the packet came to.
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv4/icmp_ratemask", "0"),
            ("ipv4/icmp_errors_use_inbound_ifaddr", "1"),
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
        ]),
        Kind::Vantage if ping => settings.push(("ipv4/ping_group_range", "0 2147483647")),
        Kind::Vantage => settings.push(("ipv4/ping_group_range", "1 0")),
        Kind::DomainController | Kind::Host => {
            settings.extend([
                ("ipv4/icmp_ratelimit", "0"),
                ("ipv4/icmp_ratemask", "0"),
                ("core/somaxconn", "16384"),
                ("ipv4/tcp_max_syn_backlog", "16384"),
            ]);
        }
    }
    namespace::within(&namespace::name(lab, node), || {
        for (key, value) in settings {
            let path = Path::new("/proc/sys/net").join(key);
            // Not every kernel has each of them for each namespace: without IPv6 there is none to switch off.
            if path.exists() {
                fs::write(&path, value).with_context(|| format!("set {} to {value}", path.display()))?;
            }
        }
        Ok(())
    })
}

/// Lays cables, and with a state the management cable from the edge to the root namespace.
pub(crate) fn add_links(lab: &str, links: &[&Link], state: Option<&State>) -> anyhow::Result<()> {
    let mut script = String::new();
    for Link { a, b } in links {
        _ = writeln!(
            script,
            "link add {} netns {} type veth peer name {} netns {}",
            a.interface,
            namespace::name(lab, &a.node),
            b.interface,
            namespace::name(lab, &b.node)
        );
    }
    if let Some(state) = state {
        let root = state.management_interface();
        _ = writeln!(
            script,
            "link add {root} type veth peer name mgmt netns {}\naddr add {}/30 dev {root}\nlink set {root} up",
            namespace::name(lab, &topology().management),
            state.controller_address()
        );
    }
    if script.is_empty() {
        return Ok(());
    }
    tool::run_with(tool::command("ip")?.args(["-batch", "-"]), &script)
        .context("lay the cables of the lab")?;
    Ok(())
}

/// The `ip` commands that give a node its addresses and routes.
pub(crate) fn script<'a>(ends: &[&End], routes: impl Iterator<Item = &'a Route>) -> String {
    let mut script = String::from("link set lo up\n");
    for end in ends {
        let noprefix = if end.host_only { " noprefixroute" } else { "" };
        _ = writeln!(script, "addr add {} dev {}{noprefix}", end.address, end.interface);
        _ = writeln!(script, "link set {} up", end.interface);
    }
    for route in routes {
        let kind = if route.unreachable { "unreachable " } else { "" };
        _ = write!(script, "route add {kind}{}", route.to);
        if let Some(via) = route.via {
            _ = write!(script, " via {via}");
        }
        if let Some(dev) = &route.dev {
            _ = write!(script, " dev {dev}");
        }
        script.push('\n');
    }
    script
}

/// Takes an interface away, at once: with the namespace at the other end it would go some time later.
pub(crate) fn cut(lab: &str, end: &End) -> anyhow::Result<()> {
    let namespace = namespace::name(lab, &end.node);
    let shown = tool::run(tool::command("ip")?.args(["-netns", &namespace, "-brief", "link"]))?;
    if shown.lines().any(|line| line.split(['@', ' ']).next() == Some(&end.interface)) {
        // It may have gone by itself in the meantime.
        drop(tool::run(tool::command("ip")?.args(["-netns", &namespace, "link", "del", &end.interface])));
    }
    Ok(())
}

/// Runs `ip` commands in a node: all of them, also after one that fails.
pub(crate) fn configure(lab: &str, node: &str, script: &str) -> anyhow::Result<()> {
    let namespace = namespace::name(lab, node);
    tool::run_with(tool::command("ip")?.args(["-netns", &namespace, "-force", "-batch", "-"]), script)
        .with_context(|| format!("give {node} its addresses and routes"))?;
    Ok(())
}

/// Loads nft commands in a node.
pub(crate) fn nft(lab: &str, node: &str, script: &str) -> anyhow::Result<()> {
    namespace::within(&namespace::name(lab, node), || {
        tool::run_with(tool::command("nft")?.args(["-f", "-"]), script)
            .with_context(|| format!("load nft commands into {node}"))
            .map(|_| ())
    })
}

fn write_resolver(lab: &str, node: &str, text: &str) -> anyhow::Result<()> {
    let folder = Path::new(ETC).join(namespace::name(lab, node));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("resolv.conf"), text))
        .with_context(|| format!("write {}/resolv.conf", folder.display()))
}

/// Removes the resolv.conf of one namespace.
pub(crate) fn remove_resolver(namespace: &str) {
    // Nodes without one have no folder, and another lab may still need the parent.
    drop(fs::remove_dir_all(Path::new(ETC).join(namespace)));
    drop(fs::remove_dir(ETC));
}

/// Namespaces that have a resolv.conf, whether they exist or not.
pub(crate) fn resolvers() -> Vec<String> {
    fs::read_dir(ETC)
        .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_the_data_centre_reach_each_other_through_the_core() {
        let ends: Vec<&End> = topology().ends("dc1").collect();
        let script = script(&ends, topology().routes.iter().filter(|route| route.node == "dc1"));
        assert_eq!(
            script,
            "link set lo up\naddr add 10.77.1.10/24 dev eth0 noprefixroute\nlink set eth0 up\n\
             route add 10.77.1.1/32 dev eth0\nroute add 0.0.0.0/0 via 10.77.1.1\n"
        );
    }
}
