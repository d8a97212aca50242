//! A PostgreSQL of the test's own, for controllers that share one.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, ensure};

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
        let user = nix::unistd::User::from_name("postgres")?;
        let user = user.context("there is no user postgres: install the package postgresql")?;
        let folder = tempfile::Builder::new().prefix("sekisho-pg-").tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let data = folder.path().join("data");
        std::os::unix::fs::chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        let run = |program: &str| -> anyhow::Result<Command> {
            let mut command = Command::new(binary(program)?);
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
            Ok(command)
        };
        let made = run("initdb")?
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust", "-U", "sekisho", "-E", "UTF8"])
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let log = fs::File::create(folder.path().join("log"))?;
        let child = run("postgres")?
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=100"])
            .stderr(log)
            .spawn()?;
        let postgres = Self { folder, child };
        wait_for("PostgreSQL", Duration::from_secs(30), || {
            Ok(postgres.query("SELECT 1").is_ok().then_some(()))
        })?;
        Ok(postgres)
    }

    /// What controllers connect to.
    #[must_use]
    pub fn url(&self) -> String {
        let socket = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://sekisho@{socket}/postgres")
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

/// Where the newest PostgreSQL has a program.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed: install the package postgresql")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().with_context(|| format!("no {name} under /usr/lib/postgresql"))
}
