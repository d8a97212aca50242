//! One lab: up, used, down.

mod scenes;

use std::{
    ffi::OsStr,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Child, Command},
};

use anyhow::{Context, bail, ensure};
use nix::unistd::{Gid, Uid, User};

use crate::{
    domain::{Domain, Running, Variations},
    farm, guard, namespace, network, program, ready,
    scene::Scene,
    serve::Manner,
    state::{self, Condition, Process, State},
    teardown, tool,
    topology::{self, topology},
    ui,
};

/// Where provisioned domain controllers are kept when nothing else is said.
pub(crate) const CACHE: &str = "/var/cache/sekisho-lab";

/// How a lab is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name, for those who come back to it.
    pub name: String,
    /// Whether programs in the vantages may ping without privileges.
    pub ping: bool,
    /// Folder of provisioned domain controllers.
    pub cache: PathBuf,
    /// The lab stays when its [`Lab`] goes.
    pub keep: bool,
}

impl Options {
    /// A lab of that name that goes with its [`Lab`].
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let cache = std::env::var_os("SEKISHO_LAB_CACHE").map_or_else(|| PathBuf::from(CACHE), PathBuf::from);
        Self { name: name.into(), ping: true, cache, keep: false }
    }
}

/// A lab that is up. It is taken down when this value goes, unless it is to be kept.
#[derive(Debug)]
pub struct Lab {
    name: String,
    state: State,
    keep: bool,
    children: Vec<Child>,
}

impl Lab {
    /// Brings a lab up. What a crash left under that name is removed first.
    ///
    /// # Errors
    /// Where a program is not installed, where the kernel refuses, and where a lab of that name is up.
    pub fn up(options: &Options) -> anyhow::Result<Self> {
        let name = &options.name;
        match Self::ensure(options)? {
            (lab, true) => Ok(lab),
            (_, false) => bail!(
                "lab {name} is up already: take another name, or take it down with `sekisho-lab down --name {name}`"
            ),
        }
    }

    /// The same, but a lab that is up is used as it is. The second value tells whether this one is new.
    ///
    /// # Errors
    /// As for [`Lab::up`], and where the lab that is up has other options.
    pub fn ensure(options: &Options) -> anyhow::Result<(Self, bool)> {
        state::check_name(&options.name)?;
        require_root("bring a lab up")?;
        tool::require_all()?;
        reap(&options.name)?;
        let mut hold = guard::hold(&state::folder(&options.name))?;
        if let Some(state) = Self::usable(&options.name) {
            ensure!(
                state.ping == options.ping,
                "lab {name} is up with other options for ping: take it down with `sekisho-lab down --name {name}`",
                name = options.name
            );
            return Ok((Self::kept(&options.name, state), false));
        }
        if State::load(&options.name).is_some() || !namespace::of_lab(&options.name)?.is_empty() {
            ui::note(&format!("removing what was left of lab {}", options.name));
            teardown::lab(&options.name, hold)?;
            hold = guard::hold(&state::folder(&options.name))?;
        }
        let cache = std::path::absolute(&options.cache)
            .with_context(|| format!("find the folder {}", options.cache.display()))?;
        let owner = if options.keep { None } else { Process::of(std::process::id()) };
        let state = state::claim(&options.name, options.ping, &cache, owner)?;
        let mut lab = Self { name: options.name.clone(), state, keep: options.keep, children: Vec::new() };
        match lab.build() {
            Ok(()) => Ok((lab, true)),
            Err(error) => {
                lab.keep = true;
                teardown::lab(&lab.name, hold).context("take down what was built")?;
                lab.reap_children();
                Err(error.context(format!("bring lab {} up", lab.name)))
            }
        }
    }

    /// A lab that is up.
    ///
    /// # Errors
    /// Where it is not up.
    pub fn open(name: &str) -> anyhow::Result<Self> {
        state::check_name(name)?;
        require_root("work with a lab")?;
        match Self::usable(name) {
            Some(state) => Ok(Self::kept(name, state)),
            None => match state::summary(name).condition {
                Condition::Busy => bail!("lab {name} is on its way up or down: try again in some seconds"),
                Condition::Ready | Condition::Broken | Condition::Abandoned => {
                    bail!("lab {name} is not up: bring it up with `sekisho-lab up --name {name}`")
                }
            },
        }
    }

    fn usable(name: &str) -> Option<State> {
        State::load(name).filter(|state| state.is_usable(name))
    }

    fn kept(name: &str, state: State) -> Self {
        Self { name: name.to_owned(), state, keep: true, children: Vec::new() }
    }

    fn build(&mut self) -> anyhow::Result<()> {
        network::build(&self.name, &self.state)?;
        let domain = Domain::of(&self.name, &[], &[])?;
        let running = domain.start(&self.state.cache, &Variations::new())?;
        let mut waiting = Vec::new();
        for node in &topology().nodes {
            let silent = node.silent.iter().map(|port| (*port, Manner::Silent));
            let ports: Vec<_> = silent.chain(node.http.iter().map(|port| (*port, Manner::Http))).collect();
            if !ports.is_empty() {
                self.children.push(launch(&self.name, &node.name, &ports)?);
                waiting.push((node, ports));
            }
        }
        for (node, ports) in waiting {
            let address = topology().address(&node.name).context("a host without an address")?;
            let ports: Vec<u16> = ports.iter().map(|(port, _)| *port).collect();
            ready::wait_for_ports(&namespace::name(&self.name, &node.name), address, &ports)?;
        }
        self.await_domain(&domain, running)?;
        self.state.ready = true;
        self.state.save(&self.name)
    }

    /// Waits until the domain controllers answer, and remembers their programs.
    fn await_domain(&mut self, domain: &Domain, mut running: Vec<Running>) -> anyhow::Result<()> {
        let answers = domain.wait(&mut running);
        let programs: Vec<Child> = running.into_iter().flatten().collect();
        self.state.servers = programs.iter().filter_map(|program| Process::of(program.id())).collect();
        self.children.extend(programs);
        answers
    }

    /// Takes it down. Taking down what is not there is fine.
    ///
    /// # Errors
    /// Where something of it cannot be removed; the error says what.
    pub fn down(name: &str) -> anyhow::Result<()> {
        state::check_name(name)?;
        require_root("take a lab down")?;
        let hold = guard::hold(&state::folder(name))?;
        teardown::lab(name, hold).with_context(|| format!("take lab {name} down"))
    }

    /// Leaves it up when this value goes.
    ///
    /// # Errors
    /// Where the state cannot be written.
    pub fn keep(mut self) -> anyhow::Result<()> {
        self.keep = true;
        if self.state.owner.is_some() {
            self.state.owner = None;
            self.state.save(&self.name)?;
        }
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a probe in a vantage finds a controller that listens in the root namespace.
    #[must_use]
    pub fn controller_address(&self) -> Ipv4Addr {
        self.state.controller_address()
    }

    /// Name of the network namespace of a node.
    #[must_use]
    pub fn namespace(&self, node: &str) -> String {
        namespace::name(&self.name, node)
    }

    /// A command that runs in a node as root.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn exec<I, S>(&self, node: &str, argv: I) -> anyhow::Result<Command>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.check_node(node)?;
        namespace::command(&self.namespace(node), None, argv)
    }

    /// A command that runs in a node as that user, without any capability.
    ///
    /// # Errors
    /// Where there is no such node or user.
    pub fn exec_as<I, S>(&self, user: &str, node: &str, argv: I) -> anyhow::Result<Command>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.check_node(node)?;
        namespace::command(&self.namespace(node), Some(account(user)?), argv)
    }

    /// Drops that percentage of the packets between edge and core, in each direction; 0 stops it.
    ///
    /// # Errors
    /// Where the percentage is above 100, or nft fails.
    pub fn loss(&mut self, percent: u8) -> anyhow::Result<()> {
        ensure!(percent <= 100, "{percent} % is more than there is: give 0 to 100");
        let clear = "table ip sekisho_loss\ndelete table ip sekisho_loss\n";
        let rules = topology::acl("loss.nft")?.replace("PERCENT", &percent.to_string());
        let script = if percent == 0 { clear.to_owned() } else { format!("{clear}{rules}") };
        let _hold = self.hold()?;
        network::nft(&self.name, &topology().lossy, &script)?;
        self.state.loss = percent;
        self.state.save(&self.name)
    }

    /// Loads nft commands into a node.
    ///
    /// # Errors
    /// Where there is no such node, or nft refuses the commands.
    pub fn nft(&self, node: &str, script: &str) -> anyhow::Result<()> {
        self.check_node(node)?;
        network::nft(&self.name, node, script)
    }

    /// Adds a farm of that many hosts behind the core, in place of one that is there. [`crate::farm_truth`] tells what
    /// its flows come to.
    ///
    /// # Errors
    /// Where there are more hosts than addresses, or the kernel refuses.
    pub fn farm(&mut self, hosts: u8) -> anyhow::Result<()> {
        let _hold = self.hold()?;
        let server = farm::build(&self.name, hosts, |node, ports| launch(&self.name, node, ports))?;
        self.children.push(server);
        self.state.farm = hosts;
        self.state.save(&self.name)
    }

    /// The hosts of the farm.
    #[must_use]
    pub fn farm_hosts(&self) -> Vec<Ipv4Addr> {
        topology().farm.network.hosts().take(usize::from(self.state.farm)).collect()
    }

    /// Its nodes, with their addresses.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&'static str, Option<Ipv4Addr>)> + use<> {
        let farm = &topology().farm;
        let farm = (self.state.farm > 0).then_some((farm.node.as_str(), Some(farm.link.b.address.addr())));
        let scenes: Vec<&'static Scene> = self.scenes().collect();
        let more = scenes
            .into_iter()
            .flat_map(|scene| scene.nodes.iter().map(|node| (node.name.as_str(), scene.end(&node.name))));
        topology()
            .nodes
            .iter()
            .map(|node| (node.name.as_str(), topology().address(&node.name)))
            .chain(more)
            .chain(farm)
    }

    /// Keeps other commands away, and learns what they have changed.
    fn hold(&mut self) -> anyhow::Result<guard::Guard> {
        let hold = guard::hold(&state::folder(&self.name))?;
        self.state = State::load(&self.name)
            .filter(|state| state.ready)
            .with_context(|| format!("lab {} was taken down by another command", self.name))?;
        Ok(hold)
    }

    fn check_node(&self, node: &str) -> anyhow::Result<()> {
        let known: Vec<&str> = self.nodes().map(|(name, _)| name).collect();
        ensure!(
            known.contains(&node),
            "lab {} has no node {node}: there are {}",
            self.name,
            known.join(", ")
        );
        Ok(())
    }

    fn reap_children(&mut self) {
        for mut child in self.children.drain(..) {
            drop(child.wait());
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = Self::down(&self.name) {
            ui::note(&format!("{error:#}"));
            return;
        }
        self.reap_children();
    }
}

/// Takes labs down whose test was killed.
fn reap(except: &str) -> anyhow::Result<()> {
    for lab in
        state::list()?.into_iter().filter(|lab| lab.condition == Condition::Abandoned && lab.name != except)
    {
        ui::note(&format!("removing lab {}, whose test is gone", lab.name));
        Lab::down(&lab.name)?;
    }
    Ok(())
}

pub(crate) fn require_root(what: &str) -> anyhow::Result<()> {
    ensure!(Uid::effective().is_root(), "root is needed to {what}: try `sudo sekisho-lab ...`");
    Ok(())
}

fn account(user: &str) -> anyhow::Result<(Uid, Gid)> {
    let found = User::from_name(user).with_context(|| format!("look up user {user}"))?;
    found.map(|user| (user.uid, user.gid)).with_context(|| format!("this machine has no user {user}"))
}

/// Starts the servers of a node in a process of their own: it outlives the command that started it.
fn launch(lab: &str, node: &str, ports: &[(u16, Manner)]) -> anyhow::Result<Child> {
    let mut argv = vec![program::own()?.into_os_string(), "serve".into()];
    for (port, manner) in ports {
        let flag = match manner {
            Manner::Plain => "--tcp",
            Manner::Silent => "--silent",
            Manner::Http => "--http",
        };
        argv.extend([flag.into(), port.to_string().into()]);
    }
    let log = state::folder(lab).join(format!("{node}.log"));
    program::start(&namespace::name(lab, node), argv, &log)
        .with_context(|| format!("start the servers of {node}"))
}
