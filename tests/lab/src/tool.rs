//! The programs that the lab is built with.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

/// Each program, and the Debian package that brings it.
const TOOLS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("setsid", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("samba", "samba-ad-dc"),
    ("samba-tool", "samba-common-bin"),
    ("smbd", "samba"),
    ("winbindd", "winbind"),
    ("chronyd", "chrony"),
    ("nmap", "nmap"),
    ("ping", "iputils-ping"),
    ("dnsmasq", "dnsmasq-base"),
    ("nsupdate", "dnsutils"),
    ("faketime", "faketime"),
    ("openssl", "openssl"),
    ("sysctl", "procps"),
];

/// Files that no program stands for.
const FILES: &[(&str, &str)] = &[("/usr/share/samba/setup/ad-schema", "samba-ad-provision")];

/// What `up` cannot do without.
const NEEDED: &[&str] = &[
    "ip",
    "nft",
    "setsid",
    "setpriv",
    "mount",
    "tar",
    "gzip",
    "samba",
    "samba-tool",
    "smbd",
    "winbindd",
    "chronyd",
];

/// Where a program is. Users who came by `su` have no sbin in their PATH.
fn path(tool: &str) -> Option<PathBuf> {
    let from_env = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&from_env)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(tool))
        .find(|path| path.is_file())
}

fn package(tool: &str) -> &'static str {
    TOOLS.iter().find(|(name, _)| *name == tool).map_or("?", |(_, package)| package)
}

/// Checks that everything is installed; the error lists every package that is not.
pub(crate) fn require_all() -> anyhow::Result<()> {
    let missing_tools =
        NEEDED.iter().filter(|tool| path(tool).is_none()).map(|tool| ((*tool).to_owned(), package(tool)));
    let missing_files = FILES
        .iter()
        .filter(|(file, _)| path("samba-tool").is_some() && !Path::new(file).exists())
        .map(|(file, package)| ((*file).to_owned(), *package));
    let missing: Vec<(String, &str)> = missing_tools.chain(missing_files).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    bail!(
        "not installed: {}\n  install with: apt-get install --no-install-recommends {}\n  (tests/lab/packages.txt lists everything the lab needs)",
        names.join(", "),
        packages.join(" ")
    )
}

/// A command of one of the tools.
pub(crate) fn command(tool: &str) -> anyhow::Result<Command> {
    match path(tool) {
        Some(path) => Ok(Command::new(path)),
        None => bail!("`{tool}` is not installed: apt-get install --no-install-recommends {}", package(tool)),
    }
}

/// Runs to the end and gives what it printed; what it complains of is in the error.
pub(crate) fn run(command: &Command) -> anyhow::Result<String> {
    run_with(command, "")
}

/// The same, with something to read.
pub(crate) fn run_with(command: &Command, input: &str) -> anyhow::Result<String> {
    let line = describe(command);
    let mut child = bound(command)?
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{line}`"))?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(input.as_bytes())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error).with_context(|| format!("write to `{line}`"));
    }
    let output = child.wait_with_output().with_context(|| format!("wait for `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}`: {}\n{}", output.status, tail(&String::from_utf8_lossy(&output.stderr), 12));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same command, which dies with this process: one that works on would get in the way of the cleaning.
fn bound(command: &Command) -> anyhow::Result<Command> {
    let mut bound = self::command("setpriv")?;
    bound.args(["--pdeathsig=KILL", "--"]).arg(command.get_program()).args(command.get_args());
    Ok(bound)
}

/// The last lines of a text: of a long complaint the end matters.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// The command as a person would type it, with the password left out.
pub(crate) fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .map(|word| match word.split_once('=') {
            Some((name @ ("--adminpass" | "--username"), _)) => format!("{name}=...").into(),
            _ => word,
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_listed_for_the_install_scripts() {
        let listed: Vec<&str> = include_str!("../packages.txt")
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        for (what, package) in TOOLS.iter().chain(FILES) {
            assert!(listed.contains(package), "{package}, for {what}, is not in packages.txt");
        }
        for tool in NEEDED {
            assert_ne!(package(tool), "?", "{tool} has no package");
        }
    }

    #[test]
    fn a_missing_tool_names_its_package() {
        let error = command("winbindd-that-is-not-there").unwrap_err().to_string();
        assert!(error.contains("apt-get install"), "{error}");
    }

    #[test]
    fn a_failed_command_shows_its_complaint_and_no_password() {
        let error = run(Command::new("sh").args(["-c", "echo broken >&2; exit 3", "--adminpass=secret"]))
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("broken") && !text.contains("secret"), "{text}");
    }
}
