//! Programs that outlive the command that started them, and die with the lab.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use anyhow::Context;

use crate::{namespace, tool};

/// Starts a program in a namespace, in a session of its own. What it prints goes to the file.
pub(crate) fn start<I, S>(namespace: &str, argv: I, log: &Path) -> anyhow::Result<Child>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let inside = namespace::command(namespace, None, argv)?;
    let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
    tool::command("setsid")?
        .arg(inside.get_program())
        .args(inside.get_args())
        .stdin(Stdio::null())
        .stdout(file.try_clone().with_context(|| format!("share {}", log.display()))?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("start `{}`", tool::describe(&inside)))
}

/// The program `sekisho-lab`: this process, or the one beside the test that this process is.
pub(crate) fn own() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("SEKISHO_LAB_BIN") {
        return Ok(PathBuf::from(path));
    }
    let this = std::env::current_exe().context("find this program")?;
    let beside =
        this.ancestors().skip(1).take(2).map(|folder| folder.join("sekisho-lab")).find(|path| path.is_file());
    beside.with_context(|| {
        format!(
            "the program sekisho-lab is not beside {}: build it with `cargo build -p sekisho-lab`, or name it in SEKISHO_LAB_BIN",
            this.display()
        )
    })
}
