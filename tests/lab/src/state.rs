//! What is known of the labs of this machine: `/run/sekisho-lab/NAME/state.toml`.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::{guard, namespace};

const ROOT: &str = "/run/sekisho-lab";

/// What one lab remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Number of the management network, 1 to 254.
    pub(crate) slot: u8,
    /// `up` came to its end.
    pub(crate) ready: bool,
    /// Programs in the vantages may ping without privileges.
    pub(crate) ping: bool,
    /// Hosts of the farm; 0 without one.
    pub(crate) farm: u8,
    /// Percentage of packets lost between edge and core.
    pub(crate) loss: u8,
    /// Folder of provisioned domain controllers.
    pub(crate) cache: PathBuf,
    /// The scenes that are on, the first one first.
    pub(crate) scenes: Vec<String>,
    /// The programs of the domain controllers.
    pub(crate) servers: Vec<Process>,
    /// The process that the lab goes with; none for a lab that stays.
    pub(crate) owner: Option<Process>,
}

/// A process, told from a later one of the same number by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    pid: u32,
    started: u64,
}

impl Process {
    /// A process that runs at this moment.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        start_time(pid).map(|started| Self { pid, started })
    }

    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

/// Fields 3 and 22 of /proc/PID/stat: a zombie runs no more. The name in field 2 may hold spaces and brackets.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.nth(18)?.parse().ok()
}

impl State {
    fn fresh(slot: u8, ping: bool) -> Self {
        Self {
            slot,
            ready: false,
            ping,
            farm: 0,
            loss: 0,
            cache: PathBuf::new(),
            scenes: Vec::new(),
            servers: Vec::new(),
            owner: None,
        }
    }

    /// The state of a lab; none where there is none, or where what is written is not whole.
    pub(crate) fn load(lab: &str) -> Option<Self> {
        let text = fs::read_to_string(folder(lab).join("state.toml")).ok()?;
        toml::from_str(&text).ok()
    }

    pub(crate) fn save(&self, lab: &str) -> anyhow::Result<()> {
        let path = folder(lab).join("state.toml");
        let draft = path.with_extension("new");
        let text = toml::to_string(self).context("write the state as TOML")?;
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// The root namespace, as probes see it.
    pub(crate) fn controller_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 203, self.slot, 1)
    }

    pub(crate) fn edge_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 203, self.slot, 2)
    }

    /// The interface in the root namespace.
    pub(crate) fn management_interface(&self) -> String {
        format!("skl{}", self.slot)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| !owner.is_alive())
    }

    /// Up, and what is written down still there.
    pub(crate) fn is_usable(&self, lab: &str) -> bool {
        self.ready
            && !self.is_abandoned()
            && namespace::has_all_nodes(lab)
            && !self.servers.is_empty()
            && self.servers.iter().all(Process::is_alive)
    }
}

/// Where a lab keeps its things.
pub(crate) fn folder(lab: &str) -> PathBuf {
    Path::new(ROOT).join(lab)
}

/// Removes what is left when the last lab is gone.
pub(crate) fn tidy() {
    // Not empty while there is another lab.
    drop(fs::remove_dir(ROOT));
}

/// A name that fits namespaces, folders and the eye.
pub(crate) fn check_name(lab: &str) -> anyhow::Result<()> {
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !lab.is_empty()
            && lab.len() <= 32
            && lab.chars().all(shape)
            && !lab.starts_with('-')
            && !lab.ends_with('-'),
        "\"{lab}\" is no name for a lab: use up to 32 lower-case letters, digits and hyphens, such as demo or test-1"
    );
    Ok(())
}

/// Takes the lowest free slot and writes the state down, so that nobody else takes it.
pub(crate) fn claim(lab: &str, ping: bool, cache: &Path, owner: Option<Process>) -> anyhow::Result<State> {
    let _all = guard::hold(Path::new(ROOT))?;
    let taken: BTreeSet<u8> = names()?
        .iter()
        .filter(|name| *name != lab)
        .filter_map(|name| State::load(name))
        .map(|s| s.slot)
        .collect();
    for slot in 1..=254 {
        let state = State { cache: cache.to_owned(), owner: owner.clone(), ..State::fresh(slot, ping) };
        let interface = Path::new("/sys/class/net").join(state.management_interface());
        if !taken.contains(&slot) && !interface.exists() {
            state.save(lab)?;
            return Ok(state);
        }
    }
    bail!(
        "254 labs are up, and there is no address for another: take some down, `sekisho-lab list` names them"
    )
}

/// How a lab is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Up.
    Ready,
    /// A command works on it at this moment.
    Busy,
    /// Something died half-way. The next `up` or `down` cleans up.
    Broken,
    /// The test that it belonged to is gone. The next `up` of any lab cleans up.
    Abandoned,
}

impl Condition {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Broken => "broken",
            Self::Abandoned => "abandoned",
        }
    }
}

/// One lab of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub condition: Condition,
    /// Where probes find a controller of the root namespace; none where the state is lost.
    pub controller: Option<Ipv4Addr>,
    /// Hosts of the farm.
    pub farm: u8,
    /// Percentage of packets lost.
    pub loss: u8,
}

/// Every lab of this machine, half-made ones too.
///
/// # Errors
/// Where /run cannot be read.
pub fn list() -> anyhow::Result<Vec<Summary>> {
    let mut all: BTreeSet<String> = names()?.into_iter().collect();
    all.extend(namespace::labs()?);
    Ok(all.into_iter().map(|name| summary(&name)).collect())
}

pub(crate) fn summary(lab: &str) -> Summary {
    let state = State::load(lab);
    let condition = match &state {
        _ if guard::is_held(&folder(lab)) => Condition::Busy,
        Some(state) if state.is_abandoned() => Condition::Abandoned,
        Some(state) if state.is_usable(lab) => Condition::Ready,
        _ => Condition::Broken,
    };
    Summary {
        name: lab.to_owned(),
        condition,
        controller: state.as_ref().map(State::controller_address),
        farm: state.as_ref().map_or(0, |state| state.farm),
        loss: state.as_ref().map_or(0, |state| state.loss),
    }
}

fn names() -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(ROOT) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("read /run/sekisho-lab"),
    };
    Ok(entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["demo", "t1", "test-1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "..", "a b", &"x".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_process_is_known_by_pid_and_start() {
        let process = Process::of(std::process::id()).unwrap();
        assert!(process.is_alive());
        assert!(!Process { started: process.started + 1, ..process }.is_alive());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(process.is_alive());
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while process.is_alive() {
            assert!(std::time::Instant::now() < deadline);
        }
        child.wait().unwrap();
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        let state = State::fresh(254, true);
        assert!(state.management_interface().len() <= 15);
        assert_eq!(state.controller_address().to_string(), "10.203.254.1");
    }
}
