//! Takes labs down, whole ones and what a crash left of one.

use std::{
    fs,
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;

use crate::{
    guard::Guard,
    namespace, network,
    state::{self, State},
    tool,
};

/// How long killed processes may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes everything a lab has on this machine. The caller holds its folder.
pub(crate) fn lab(lab: &str, hold: Guard) -> anyhow::Result<()> {
    let namespaces = namespace::of_lab(lab)?;
    empty(&namespaces)?;
    if let Some(state) = State::load(lab) {
        remove_interface(&state.management_interface())?;
    }
    remove(&namespaces)?;
    let belongs =
        |namespace: &String| namespace.rsplit_once('-').is_some_and(|(head, _)| head == format!("skl-{lab}"));
    for namespace in network::resolvers().into_iter().filter(belongs) {
        network::remove_resolver(&namespace);
    }
    let folder = state::folder(lab);
    match fs::remove_dir_all(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("remove {}", folder.display())),
    }
    drop(hold);
    state::tidy();
    Ok(())
}

/// Removes single namespaces with all that runs in them.
pub(crate) fn namespaces(namespaces: &[String]) -> anyhow::Result<()> {
    empty(namespaces)?;
    remove(namespaces)
}

/// Kills every process inside, those too that start while this goes on.
fn empty(namespaces: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let running = namespace::processes(namespaces)?;
        if running.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "processes in {} do not end after SIGKILL: {running:?}; look at them with `ps`, then try again",
                namespaces.join(", ")
            );
        }
        namespace::signal(&running, Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn remove(namespaces: &[String]) -> anyhow::Result<()> {
    if namespaces.is_empty() {
        return Ok(());
    }
    let script: String = namespaces.iter().map(|name| format!("netns del {name}\n")).collect();
    tool::run_with(tool::command("ip")?.args(["-batch", "-"]), &script)
        .map(|_| ())
        .context("delete network namespaces; `ip netns` shows them")
}

/// The other end of the cable goes with it, at once: a namespace's own interfaces would go some time later.
fn remove_interface(interface: &str) -> anyhow::Result<()> {
    if fs::exists(format!("/sys/class/net/{interface}")).unwrap_or(true) {
        let removed = tool::run(tool::command("ip")?.args(["link", "del", interface]));
        if fs::exists(format!("/sys/class/net/{interface}")).unwrap_or(true) {
            removed.with_context(|| format!("delete the management interface {interface}"))?;
        }
    }
    Ok(())
}
