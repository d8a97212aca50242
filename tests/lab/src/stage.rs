//! Sets scenes up in a lab, and strikes them.

use std::{fs, path::PathBuf, process::Child};

use anyhow::Context;

use crate::{
    domain::{Domain, Running, Variations},
    namespace, network, program, ready, samba,
    scene::{Program, Record, Scene},
    state::{self, State},
    teardown, tool,
    topology::{End, Link, topology},
};

/// What was started.
#[derive(Debug, Default)]
pub(crate) struct Started {
    /// Servers of the scene's own nodes.
    pub(crate) programs: Vec<Child>,
    /// The domain controllers, where they were started anew.
    pub(crate) domain: Option<(Domain, Vec<Running>)>,
}

/// Sets a scene up.
pub(crate) fn set(lab: &str, state: &State, scene: &'static Scene) -> anyhow::Result<Started> {
    let mut started = Started::default();
    add_nodes(lab, state, scene)?;
    for (node, commands) in &scene.ip {
        network::configure(lab, node, &commands.on)?;
    }
    samba::create(&folder(lab, scene))?;
    for command in &scene.commands {
        run(lab, scene, &command.node, &command.on)?;
    }
    if scene.changes_domain() {
        started.domain = Some(restart(lab, state, Some(scene))?);
    }
    dns(lab, &scene.dns.remove, "delete")?;
    dns(lab, &scene.dns.add, "add")?;
    for program in &scene.programs {
        started.programs.push(start(lab, scene, program)?);
    }
    rules(lab, scene)?;
    forget(lab)?;
    Ok(started)
}

/// Loads the nft tables of a scene, in place of those that are there with all that they have counted.
pub(crate) fn rules(lab: &str, scene: &Scene) -> anyhow::Result<()> {
    let table = scene.table();
    scene.nft.iter().try_for_each(|(node, rules)| {
        let clear = format!("table ip {table}\ndelete table ip {table}\n");
        network::nft(lab, node, &format!("{clear}table ip {table} {{\n{rules}\n}}\n"))
    })
}

/// Strikes a scene, also one that was set up in part. Goes through to the end; the error is that of the first part that
/// did not go.
pub(crate) fn strike(lab: &str, state: &State, scene: &'static Scene) -> (Started, anyhow::Result<()>) {
    let mut started = Started::default();
    let mut results = Vec::new();
    for node in scene.nft.keys() {
        let table = scene.table();
        results.push(network::nft(lab, node, &format!("table ip {table}\ndelete table ip {table}\n")));
    }
    results.push(dns(lab, &scene.dns.add, "delete"));
    results.push(dns(lab, &scene.dns.remove, "add"));
    if scene.changes_domain() {
        results.push(restart(lab, state, None).map(|domain| started.domain = Some(domain)));
    }
    for command in scene.commands.iter().rev().filter(|command| !command.off.is_empty()) {
        results.push(run(lab, scene, &command.node, &command.off));
    }
    for (node, commands) in &scene.ip {
        results.push(network::configure(lab, node, &commands.off));
    }
    results.push(remove_nodes(lab, scene));
    results.push(forget(lab));
    let folder = folder(lab, scene);
    results.push(fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display())));
    (started, results.into_iter().collect())
}

/// What nodes have learned of their paths: it was learned in other circumstances.
fn forget(lab: &str) -> anyhow::Result<()> {
    let forget = "route flush cache\ntcp_metrics flush\n";
    topology().nodes.iter().try_for_each(|node| network::configure(lab, &node.name, forget))
}

/// The nodes that a scene brings, with their cables; routes also of nodes that are there.
fn add_nodes(lab: &str, state: &State, scene: &Scene) -> anyhow::Result<()> {
    network::add_namespaces(lab, &scene.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>())?;
    for node in &scene.nodes {
        network::prepare(lab, node, state.ping)?;
    }
    network::add_links(lab, &scene.links.iter().collect::<Vec<_>>(), None)?;
    let all = topology().nodes.iter().chain(&scene.nodes);
    for node in all.map(|node| &node.name) {
        let ends: Vec<&End> = ends(scene).filter(|end| end.node == *node).collect();
        let routes: Vec<_> = scene.routes.iter().filter(|route| route.node == *node).collect();
        if !ends.is_empty() || !routes.is_empty() {
            network::configure(lab, node, &network::script(&ends, routes.into_iter()))?;
        }
    }
    Ok(())
}

fn remove_nodes(lab: &str, scene: &Scene) -> anyhow::Result<()> {
    let names = scene.nodes.iter().map(|node| namespace::name(lab, &node.name));
    let there: Vec<String> = names.filter(|name| namespace::path(name).exists()).collect();
    teardown::namespaces(&there)?;
    there.iter().for_each(|name| network::remove_resolver(name));
    for end in ends(scene).filter(|end| topology().node(&end.node).is_some()) {
        network::cut(lab, end)?;
    }
    Ok(())
}

fn ends(scene: &Scene) -> impl Iterator<Item = &End> {
    scene.links.iter().flat_map(|Link { a, b }| [a, b])
}

/// Starts the domain controllers anew, as a scene wants them or as they are without one.
fn restart(
    lab: &str,
    state: &State,
    scene: Option<&'static Scene>,
) -> anyhow::Result<(Domain, Vec<Running>)> {
    Domain::of(lab, &[], &[])?.stop()?;
    let Some(scene) = scene else {
        let domain = Domain::of(lab, &[], &[])?;
        let running = domain.start(&state.cache, &Variations::new())?;
        return Ok((domain, running));
    };
    let folder = folder(lab, scene).display().to_string();
    let mut variations = scene.controllers.clone();
    for value in variations.values_mut().flat_map(|variation| variation.options.values_mut()) {
        *value = value.replace("FOLDER", &folder);
    }
    let domain = Domain::of(lab, &scene.nodes, &scene.links)?;
    let mut running = domain.start(&state.cache, &variations)?;
    domain.wait(&mut running)?;
    Ok((domain, running))
}

fn run(lab: &str, scene: &Scene, node: &str, argv: &[String]) -> anyhow::Result<()> {
    let folder = folder(lab, scene).display().to_string();
    let argv = argv.iter().map(|word| word.replace("FOLDER", &folder));
    tool::run(&namespace::command(&namespace::name(lab, node), None, argv)?).map(|_| ())
}

fn start(lab: &str, scene: &Scene, wanted: &Program) -> anyhow::Result<Child> {
    let namespace = namespace::name(lab, &wanted.node);
    let log = folder(lab, scene).join(format!("{}.log", wanted.node));
    let folder = folder(lab, scene).display().to_string();
    let argv = wanted.run.iter().map(|word| word.replace("FOLDER", &folder));
    let child = program::start(&namespace, argv, &log)?;
    ready::wait_for_listeners(&namespace, &wanted.listens)?;
    Ok(child)
}

/// Adds records to the database of the first domain controller, or deletes them from it.
fn dns(lab: &str, records: &[Record], what: &str) -> anyhow::Result<()> {
    let domain = &topology().domain;
    let controller = Domain::of(lab, &[], &[])?;
    let (namespace, address) = controller.first_at()?;
    for Record { zone, name, kind, data } in records {
        let argv = ["samba-tool", "dns", what, &address.to_string(), zone, name, kind, data]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("--username=Administrator%{}", domain.administrator_password)]);
        tool::run(&namespace::command(namespace, None, argv)?)
            .with_context(|| format!("{what} {kind} {name} {data} in zone {zone}"))?;
    }
    Ok(())
}

/// Where a scene keeps its files.
fn folder(lab: &str, scene: &Scene) -> PathBuf {
    state::folder(lab).join("scenes").join(scene.name)
}
