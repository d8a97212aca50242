//! A private PostgreSQL: made, started, watched, restarted and stopped by the controller.
//!
//! It listens on a socket in a directory that only its owner can enter, and nowhere else. That is why it may trust
//! every local connection. Whoever calls holds the lock of the data directory: two supervisors never meet here.

mod binaries;
mod init;
mod orphan;
mod server;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgConnection, PgSslMode},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::data_dir::{DataDirError, make_private};
use binaries::Binaries;
use server::{Launch, Server};

/// Names of the superuser and of the database.
const NAME: &str = "sekisho";
/// Part of the socket's file name; nothing listens on a TCP port.
const PORT: u16 = 5432;
/// Longest path of a Unix socket on Linux.
const SOCKET_PATH: usize = 107;
/// Pause before the first restart; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Attempts of the first start: what an earlier server left may need a moment to go.
const FIRST_ATTEMPTS: u32 = 5;

/// Why the private PostgreSQL does not run. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No programs.
    #[error(
        "PostgreSQL is not installed: no postgres and initdb in {0}. Install the Debian package postgresql (apt-get install postgresql), name their directory with --postgres-bin DIR, or use a database of your own with --database-url URL"
    )]
    NoBinaries(String),
    /// Programs of another version than the data.
    #[error(
        "the data in {data} was made by PostgreSQL {made}, but the programs in {found_in} are version {found}. Install PostgreSQL {made} (Debian package postgresql-{made}) or name its programs with --postgres-bin, or bring the data to version {found} with pg_upgrade"
    )]
    Version {
        /// The data directory of PostgreSQL.
        data: PathBuf,
        /// Major version of the data.
        made: u32,
        /// Major version of the programs.
        found: u32,
        /// Where they are.
        found_in: PathBuf,
    },
    /// A program does not work.
    #[error("{program} failed: {said}")]
    Program {
        /// Path of the program.
        program: PathBuf,
        /// What it said, or how it ended.
        said: String,
    },
    /// The path of the socket does not fit.
    #[error(
        "the data directory's path is too long: the PostgreSQL socket would be {path}, {} bytes, and the system allows {SOCKET_PATH}. Use a --data-dir with a shorter path, such as /var/lib/sekisho", path.as_os_str().len()
    )]
    SocketPath {
        /// The socket.
        path: PathBuf,
    },
    /// An earlier server does not go away.
    #[error(
        "an earlier PostgreSQL (processes {pids}) still runs on {data} and does not stop; stop it with: kill -QUIT {pids}"
    )]
    Orphan {
        /// Its data directory.
        data: PathBuf,
        /// Its process ids.
        pids: String,
    },
    /// The server ended at once.
    #[error("PostgreSQL did not start on {data}. It said:\n{said}")]
    Start {
        /// Its data directory.
        data: PathBuf,
        /// Its last words.
        said: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A directory could not be made.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The new server does not obey.
    #[error("cannot create the database in the private PostgreSQL")]
    Create(#[from] sqlx::Error),
}

/// A running private PostgreSQL.
#[derive(Debug)]
pub struct Cluster {
    run: PathBuf,
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl Cluster {
    /// Starts PostgreSQL in `root`, making its data where there is none, and keeps it running.
    ///
    /// `bin` is the directory of the programs; without it they are looked for.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, has another version than the data, or does not start.
    pub async fn start(root: PathBuf, bin: Option<PathBuf>) -> Result<Self, ClusterError> {
        let (data, run) = (root.join("data"), root.join("run"));
        check_socket_path(&run)?;
        let binaries = Binaries::find(bin.as_deref(), &data).await?;
        make_private(&root)?;
        make_private(&run)?;
        orphan::stop(&data).await?;
        init::ensure(&binaries, &root, &data).await?;

        let launch = Launch { postgres: binaries.postgres(), data, run: run.clone() };
        let server = first_start(&launch).await?;
        let (stop, stopped) = watch::channel(false);
        let supervisor = tokio::spawn(supervise(server, launch, stopped));
        let cluster = Self { run, stop, supervisor };
        cluster.create_database().await?;
        Ok(cluster)
    }

    /// How to connect to the database.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .socket(&self.run)
            .port(PORT)
            .username(NAME)
            .database(NAME)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Stops PostgreSQL: politely first, then not.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the supervisor of the private PostgreSQL ended badly");
        }
    }

    async fn create_database(&self) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.connect_options().database("postgres")).await?;
        let there: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
            .bind(NAME)
            .fetch_optional(&mut connection)
            .await?;
        if there.is_none() {
            sqlx::query("CREATE DATABASE sekisho").execute(&mut connection).await?;
        }
        connection.close().await
    }
}

fn check_socket_path(run: &Path) -> Result<(), ClusterError> {
    let path = run.join(format!(".s.PGSQL.{PORT}"));
    if path.as_os_str().len() > SOCKET_PATH { Err(ClusterError::SocketPath { path }) } else { Ok(()) }
}

async fn first_start(launch: &Launch) -> Result<Server, ClusterError> {
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        match Server::start(launch).await {
            Ok(server) => return Ok(server),
            Err(error) if attempt == FIRST_ATTEMPTS => return Err(error),
            Err(error) => tracing::debug!(%error, attempt, "PostgreSQL did not start, trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    unreachable!("the loop ends with the last attempt")
}

/// Restarts the server whenever it dies, until it is to stop.
async fn supervise(mut server: Server, launch: Launch, mut stop: watch::Receiver<bool>) {
    loop {
        let ended = tokio::select! {
            status = server.ended() => Some(status),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(status) = ended else { return server.stop().await };
        tracing::warn!(%status, "the private PostgreSQL ended, starting it again");
        server = tokio::select! {
            server = restart(&launch) => server,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        tracing::info!("the private PostgreSQL runs again");
    }
}

async fn restart(launch: &Launch) -> Server {
    let mut pause = FIRST_PAUSE;
    loop {
        match Server::start(launch).await {
            Ok(server) => return server,
            Err(error) => tracing::warn!(%error, "the private PostgreSQL does not start, trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_that_does_not_fit_is_told_before_anything_is_made() {
        let long = PathBuf::from(format!("/{}", "d".repeat(100)));
        let refused = check_socket_path(&long).unwrap_err().to_string();
        assert!(refused.contains("115 bytes") && refused.contains("107"), "{refused}");
        check_socket_path(&PathBuf::from(format!("/{}", "d".repeat(92)))).unwrap();
    }
}
