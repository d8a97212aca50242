//! Network namespaces: names, processes, and doing things inside.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, anyhow};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::{Gid, Pid, Uid},
};

use crate::{tool, topology::topology};

const FOLDER: &str = "/run/netns";
const PREFIX: &str = "skl-";

/// The namespace of a node. Nodes have no hyphen in their names, so that the two parts can be told apart.
pub(crate) fn name(lab: &str, node: &str) -> String {
    format!("{PREFIX}{lab}-{node}")
}

fn parts(namespace: &str) -> Option<(&str, &str)> {
    namespace.strip_prefix(PREFIX)?.rsplit_once('-')
}

fn all() -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(FOLDER) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {FOLDER}")),
    };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// The namespaces that a lab has at this moment.
pub(crate) fn of_lab(lab: &str) -> anyhow::Result<Vec<String>> {
    Ok(all()?.into_iter().filter(|name| parts(name).is_some_and(|(owner, _)| owner == lab)).collect())
}

/// The labs that have a namespace at this moment.
pub(crate) fn labs() -> anyhow::Result<BTreeSet<String>> {
    Ok(all()?.iter().filter_map(|name| parts(name)).map(|(lab, _)| lab.to_owned()).collect())
}

/// Whether every node of the topology has its namespace.
pub(crate) fn has_all_nodes(lab: &str) -> bool {
    topology().nodes.iter().all(|node| path(&name(lab, &node.name)).exists())
}

/// Where the kernel keeps the handle.
pub(crate) fn path(namespace: &str) -> PathBuf {
    Path::new(FOLDER).join(namespace)
}

/// Does something inside a namespace: sockets, files of /proc/sys/net and child processes belong to it.
pub(crate) fn within<T: Send>(
    namespace: &str,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let handle = File::open(path(namespace)).with_context(|| format!("open namespace {namespace}"))?;
    // A thread of its own: the way back is to end it.
    std::thread::scope(|scope| {
        let inside = scope.spawn(move || {
            setns(&handle, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("enter namespace {namespace}"))?;
            work()
        });
        inside.join().map_err(|_| anyhow!("work inside namespace {namespace} panicked"))?
    })
}

/// A command that will run in a namespace, with its resolv.conf.
pub(crate) fn command<I, S>(namespace: &str, user: Option<(Uid, Gid)>, argv: I) -> anyhow::Result<Command>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = tool::command("ip")?;
    command.args(["netns", "exec", namespace]);
    if let Some((uid, gid)) = user {
        command
            .arg(tool::command("setpriv")?.get_program())
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={gid}"))
            .args(["--clear-groups", "--inh-caps=-all", "--ambient-caps=-all"])
            // With this no file can give any back. An empty bounding set would add nothing, and keep `ping` from
            // starting, because its file asks for a capability.
            .args(["--no-new-privs", "--"]);
    }
    command.args(argv);
    Ok(command)
}

/// The processes in any of the namespaces, without this one.
pub(crate) fn processes(namespaces: &[String]) -> anyhow::Result<Vec<Pid>> {
    let wanted: BTreeSet<(u64, u64)> = namespaces
        .iter()
        .filter_map(|name| fs::metadata(path(name)).ok())
        .map(|handle| (handle.dev(), handle.ino()))
        .collect();
    let inside = |pid: &i32| {
        fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|at| wanted.contains(&(at.dev(), at.ino())))
    };
    Ok(fs::read_dir("/proc")
        .context("read /proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| u32::try_from(*pid).is_ok_and(|pid| pid != std::process::id()))
        .filter(inside)
        .map(Pid::from_raw)
        .collect())
}

/// Sends the signal to each process; one that has gone by itself is fine.
pub(crate) fn signal(processes: &[Pid], signal: Signal) {
    for pid in processes {
        _ = kill(*pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_and_the_node_can_be_told_apart() {
        assert_eq!(parts(&name("demo", "edge")), Some(("demo", "edge")));
        assert_eq!(parts(&name("a-b", "edge")), Some(("a-b", "edge")));
        assert_eq!(parts("other-demo-edge"), None);
    }
}
