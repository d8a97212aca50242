//! A private PostgreSQL for tests: one per test program, one database per test.
//!
//! It ends with the test program, however that ends: a shell watches a pipe that the program holds.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Starts the server, waits until the pipe closes, and cleans up.
const SCRIPT: &str = r#"
set -e
cd "$1"
"$2/initdb" -D data -U postgres --auth=trust --no-sync -E UTF8 --locale=C > initdb.log 2>&1 || { cat initdb.log; exit 1; }
"$2/postgres" -D data -k "$1" -c listen_addresses= -c fsync=off -c max_connections=300 > server.log 2>&1 &
server=$!
until "$2/pg_isready" -q -h "$1"; do kill -0 $server || { cat server.log; exit 1; }; done
echo ready
cat > /dev/null
kill -INT $server
wait $server || true
rm -rf "$1"
"#;

struct Cluster {
    socket: PathBuf,
    /// Closed by the system when the program ends.
    _alive: ChildStdin,
}

fn start() -> Cluster {
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
    let alive = child.stdin.take().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "ready" {
            return Cluster { socket: directory, _alive: alive };
        }
        said.push(line);
    }
    panic!("PostgreSQL did not start:\n{}", said.join("\n"));
}

fn options(database: &str) -> PgConnectOptions {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(start);
    PgConnectOptions::new_without_pgpass().socket(&cluster.socket).username("postgres").database(database)
}

/// Connections to a new, empty database.
pub(crate) async fn empty_database() -> PgPool {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect_with(&options("postgres")).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    PgPoolOptions::new().max_connections(10).connect_lazy_with(options(&name))
}

/// Connections to a new database whose migrations have run.
pub(crate) async fn database() -> PgPool {
    let pool = empty_database().await;
    sekisho::store::migrate(&pool).await.unwrap();
    pool
}
