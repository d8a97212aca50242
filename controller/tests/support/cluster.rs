//! A private PostgreSQL for tests: one per test program, one database per test.
//!
//! It ends with the test program, however that ends: a shell watches a pipe that the program holds.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Starts the server at each line that comes through the pipe, and cleans up when the pipe closes.
const SCRIPT: &str = r#"
cd "$1"
"$2/initdb" -D data -U postgres --auth=trust --no-sync -E UTF8 --locale=C > initdb.log 2>&1 || { cat initdb.log; exit 1; }
while read -r _; do
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        "$2/postgres" -D data -k "$1" -c listen_addresses= -c fsync=off -c max_connections=300 >> server.log 2>&1 &
        server=$!
        until "$2/pg_isready" -q -h "$1"; do kill -0 $server 2> /dev/null || break; done
        # After a crash the children of the old server need a moment to go.
        kill -0 $server 2> /dev/null && echo ready && break
    done
    kill -0 $server 2> /dev/null || { cat server.log; exit 1; }
done
kill -INT $server
wait $server
rm -rf "$1"
"#;

/// A PostgreSQL of its own.
pub(crate) struct Cluster {
    directory: PathBuf,
    /// Closed by the system when the program ends.
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let mut cluster = make();
        cluster.start();
        cluster
    }

    /// Starts the server, at first or after [`Cluster::crash`].
    pub(crate) fn start(&mut self) {
        writeln!(self.commands, "start").unwrap();
        let mut said = String::new();
        while self.answers.read_line(&mut said).unwrap() > 0 {
            if said.ends_with("ready\n") {
                return;
            }
        }
        panic!("PostgreSQL did not start:\n{said}");
    }

    /// Kills the server as if its machine had lost power.
    pub(crate) fn crash(&self) {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let pid: i32 = file.lines().next().unwrap().parse().unwrap();
        // Its children would serve on for a moment: a commit of theirs after the crash is none.
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let kill =
            |pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        kill(pid).unwrap();
        for child in children.split_whitespace() {
            // One that has ended meanwhile is as good.
            kill(child.parse().unwrap()).ok();
        }
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().socket(&self.directory).username("postgres").database(database)
    }

    /// Connections to a new, empty database.
    pub(crate) async fn empty_database(&self) -> PgPool {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let pool = PgPoolOptions::new().max_connections(10).acquire_timeout(Duration::from_secs(5));
        pool.connect_lazy_with(self.options(&name))
    }

    /// Connections to a new database whose migrations have run.
    pub(crate) async fn database(&self) -> PgPool {
        let pool = self.empty_database().await;
        sekisho::store::migrate(&pool).await.unwrap();
        pool
    }
}

/// The one that tests share.
pub(crate) fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::new)
}

fn make() -> Cluster {
    assert!(
        Path::new(BIN).join("postgres").exists(),
        "these tests need PostgreSQL 15 in {BIN}: install the Debian package postgresql-15"
    );
    let directory = tempfile::Builder::new().prefix("sekisho-pg").tempdir_in("/tmp").unwrap().keep();
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(&directory).arg(BIN);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    if nix::unistd::geteuid().is_root() {
        // PostgreSQL refuses to run as root.
        let user = nix::unistd::User::from_name("postgres").unwrap();
        let user = user.expect("the Debian package postgresql-15 brings the user postgres");
        nix::unistd::chown(&directory, Some(user.uid), Some(user.gid)).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    #[expect(clippy::zombie_processes, reason = "it ends after this program")]
    let mut child = command.spawn().unwrap();
    let commands = child.stdin.take().unwrap();
    let answers = BufReader::new(child.stdout.take().unwrap());
    Cluster { directory, commands, answers }
}
