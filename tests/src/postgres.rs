//! A PostgreSQL of the test's own, for controllers that share one.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};

use crate::wait_for;

/// A cluster on a Unix socket, gone with this value.
#[derive(Debug)]
pub struct Postgres {
    folder: tempfile::TempDir,
    child: Child,
}

impl Postgres {
    /// Makes and starts a cluster.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub fn start() -> anyhow::Result<Self> {
        let user = user()?;
        let folder = tempfile::Builder::new().prefix("sekisho-pg-").tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let data = folder.path().join("data");
        std::os::unix::fs::chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        let made = command("initdb")?
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust", "-U", "sekisho", "-E", "UTF8"])
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let child = serve(folder.path())?;
        let postgres = Self { folder, child };
        postgres.answers()?;
        Ok(postgres)
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It does not.
    pub fn answers(&self) -> anyhow::Result<()> {
        wait_for("PostgreSQL", Duration::from_secs(30), || Ok(self.query("SELECT 1").is_ok().then_some(())))
    }

    /// `kill -9` of all of its processes at once.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`Postgres::kill`], without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = serve(self.folder.path())?;
        Ok(())
    }

    /// Stops all of its processes where they are.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Signals the server, which then starts no more processes, and those that it has started.
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let server = self.child.id();
        kill(Pid::from_raw(i32::try_from(server)?), signal)?;
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children"))?;
        for child in children.split_whitespace() {
            // It may have ended by itself.
            kill(Pid::from_raw(child.parse()?), signal).ok();
        }
        Ok(())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// What controllers connect to.
    #[must_use]
    pub fn url(&self) -> String {
        let socket = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://sekisho@{socket}/postgres")
    }

    /// Number of the server's first process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One value of the database.
    ///
    /// # Errors
    /// What psql says.
    pub fn query(&self, sql: &str) -> anyhow::Result<String> {
        query(&self.folder.path().to_string_lossy(), "postgres", sql)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The test is over: whether the server still ran says nothing more.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One value of a database behind a socket.
pub(crate) fn query(socket: &str, database: &str, sql: &str) -> anyhow::Result<String> {
    let arguments = ["-h", socket, "-U", "sekisho", "-d", database, "-X", "-A", "-t", "-q", "-c", sql];
    let output = Command::new("psql").args(arguments).output().context("cannot run psql")?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn user() -> anyhow::Result<User> {
    User::from_name("postgres")?.context("there is no user postgres: install the package postgresql")
}

/// A program of PostgreSQL's, as its user.
fn command(program: &str) -> anyhow::Result<Command> {
    let (mut command, user) = (Command::new(binary(program)?), user()?);
    command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
    Ok(command)
}

/// The server of the cluster in a folder.
fn serve(folder: &Path) -> anyhow::Result<Child> {
    let log = fs::File::options().create(true).append(true).open(folder.join("log"))?;
    let mut server = command("postgres")?;
    server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    server.args(["-c", "listen_addresses=", "-c", "max_connections=100"]);
    Ok(server.stderr(log).spawn()?)
}

fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed: install the package postgresql")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().with_context(|| format!("no {name} under /usr/lib/postgresql"))
}
