//! A PostgreSQL with a standby that has everything before a commit is answered.

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};

use crate::{
    postgres::{binary, query},
    wait_for,
};

/// Time for a server to start, and for a standby to connect.
const START: Duration = Duration::from_secs(30);

/// A primary and a standby, on a Unix socket each, replicated synchronously. Gone with this value.
#[derive(Debug)]
pub struct Replicated {
    primary: Server,
    standby: Server,
    /// The process of the standby that is held.
    receiver: Option<Pid>,
    /// Holds a lock at the primary.
    occupant: Option<Child>,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Server {
    /// Its data, its log and its socket.
    place: PathBuf,
    user: User,
    child: Option<Child>,
}

impl Replicated {
    /// Makes and starts both, and waits until the standby follows.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub fn start() -> anyhow::Result<Self> {
        let user = User::from_name("postgres")?.context("there is no user postgres: install postgresql")?;
        let folder = tempfile::Builder::new().prefix("sekisho-pg-").tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let mut primary = Server::new(folder.path().join("a"), &user)?;
        primary.run("initdb", &["-A", "trust", "-U", "sekisho", "-E", "UTF8", "-D", "data"])?;
        primary.start(&["-c", "synchronous_standby_names=*"])?;
        let mut standby = Server::new(folder.path().join("b"), &user)?;
        let from = primary.place.to_string_lossy().into_owned();
        standby.run("pg_basebackup", &["-h", &from, "-U", "sekisho", "-R", "-c", "fast", "-D", "data"])?;
        standby.start(&[])?;
        let replicated = Self { primary, standby, receiver: None, occupant: None, _folder: folder };
        wait_for("a standby that follows", START, || {
            let states = replicated.primary("SELECT string_agg(sync_state, ',') FROM pg_stat_replication")?;
            Ok((states == "sync").then_some(()))
        })?;
        Ok(replicated)
    }

    /// What controllers connect to: both, the present standby first.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://sekisho@{},{}/postgres?target_session_attrs=read-write",
            place(&self.standby),
            place(&self.primary)
        )
    }

    /// The standby alone.
    #[must_use]
    pub fn standby_url(&self) -> String {
        format!("postgres://sekisho@{}/postgres", place(&self.standby))
    }

    /// One value of what was made as the primary.
    ///
    /// # Errors
    /// What psql says.
    pub fn primary(&self, sql: &str) -> anyhow::Result<String> {
        query(&self.primary.place.to_string_lossy(), "postgres", sql)
    }

    /// One value of what was made as the standby.
    ///
    /// # Errors
    /// What psql says.
    pub fn standby(&self, sql: &str) -> anyhow::Result<String> {
        query(&self.standby.place.to_string_lossy(), "postgres", sql)
    }

    /// From here on the standby takes nothing from the primary: what is sent to it is lost with [`Self::kill_primary`].
    ///
    /// # Errors
    /// It does not follow.
    pub fn hold_standby(&mut self) -> anyhow::Result<()> {
        let receiver = self.standby("SELECT pid FROM pg_stat_wal_receiver")?;
        let receiver = Pid::from_raw(receiver.parse().context("no WAL receiver")?);
        kill(receiver, Signal::SIGSTOP)?;
        self.receiver = Some(receiver);
        Ok(())
    }

    /// Kills the primary as if its machine had lost power.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_primary(&mut self) -> anyhow::Result<()> {
        self.primary.kill()?;
        // Going on, it would still read what waits in its socket.
        self.receiver.take().map_or(Ok(()), |receiver| Ok(kill(receiver, Signal::SIGKILL)?))
    }

    /// Locks tables of the primary, so that whoever asks for one of them waits.
    ///
    /// # Errors
    /// They cannot be locked.
    pub fn occupy(&mut self, tables: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-U", "sekisho", "-d", "postgres", "-h"]).arg(&self.primary.place);
        command.arg("-c").arg(format!("LOCK TABLE {}; SELECT pg_sleep(3600)", tables.join(", ")));
        self.occupant = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                    AND relation IN (SELECT oid FROM pg_class WHERE relkind = 'r')";
        wait_for("the lock", START, || Ok((self.primary(held)? == tables.len().to_string()).then_some(())))
    }

    /// Lets the primary fall silent: its connections stay, and nothing is answered any more.
    ///
    /// # Errors
    /// It does not run.
    pub fn silence_primary(&self) -> anyhow::Result<()> {
        let server = self.primary.child.as_ref().context("the server does not run")?.id();
        // First, so that it makes no further children.
        kill(Pid::from_raw(i32::try_from(server)?), Signal::SIGSTOP)?;
        for process in children(server) {
            kill(Pid::from_raw(process), Signal::SIGSTOP).ok();
        }
        Ok(())
    }

    /// Makes a primary of the standby, which begins anew where its receiver was killed.
    ///
    /// # Errors
    /// It does not become one.
    pub fn promote(&self) -> anyhow::Result<()> {
        wait_for("the promotion", START, || {
            let promoted = self.standby("SELECT NOT pg_is_in_recovery() OR pg_promote(true, 30)")?;
            Ok((promoted == "t").then_some(()))
        })
    }

    /// The same with the standby, once it was promoted.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_promoted(&mut self) -> anyhow::Result<()> {
        self.standby.kill()
    }

    /// Starts the killed primary again, as it was: it knows nothing of what happened meanwhile, and takes writes.
    ///
    /// # Errors
    /// It does not start.
    pub fn revive_primary(&mut self) -> anyhow::Result<()> {
        // Its lock file names a process that is gone.
        fs::remove_file(self.primary.place.join("data/postmaster.pid")).ok();
        self.primary.start(&[])
    }
}

fn place(server: &Server) -> String {
    server.place.to_string_lossy().replace('/', "%2F")
}

impl Server {
    fn new(place: PathBuf, user: &User) -> anyhow::Result<Self> {
        fs::create_dir(&place)?;
        fs::set_permissions(&place, Permissions::from_mode(0o755))?;
        chown(&place, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        Ok(Self { place, user: user.clone(), child: None })
    }

    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(binary(program)?);
        command.uid(self.user.uid.as_raw()).gid(self.user.gid.as_raw()).current_dir(&self.place);
        command.stdin(Stdio::null());
        Ok(command)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let done = self.command(program)?.args(arguments).output()?;
        ensure!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    fn start(&mut self, options: &[&str]) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.command("postgres")?;
        command.args(["-D", "data", "-c", "listen_addresses=", "-k"]).arg(&self.place).args(options);
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn()?);
        let socket = self.place.to_string_lossy().into_owned();
        wait_for("PostgreSQL", START, || query(&socket, "postgres", "SELECT 1").map(|_| Some(())))
    }

    fn log(&self) -> PathBuf {
        self.place.join("log")
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the server does not run")?;
        // Its children would serve on for a moment: a commit of theirs after the crash is none.
        let children = children(child.id());
        child.kill()?;
        for process in children {
            // One that has ended meanwhile is as good.
            kill(Pid::from_raw(process), Signal::SIGKILL).ok();
        }
        child.wait()?;
        Ok(())
    }
}

fn children(process: u32) -> Vec<i32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let list = fs::read_to_string(Path::new(&path)).unwrap_or_default();
    list.split_whitespace().filter_map(|process| process.parse().ok()).collect()
}

impl Drop for Replicated {
    fn drop(&mut self) {
        if let Some(mut occupant) = self.occupant.take() {
            // The test is over: what it says counts for nothing.
            occupant.kill().ok();
            occupant.wait().ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("---- log of PostgreSQL in {}\n{log}", self.place.display());
        }
        if self.child.is_some() {
            // The test is over: whether it still ran says nothing more.
            self.kill().ok();
        }
    }
}
