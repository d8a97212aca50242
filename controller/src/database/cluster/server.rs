//! One PostgreSQL process, from its start to its end.

use std::{
    collections::VecDeque,
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
};

use super::{ClusterError, PORT};

/// How long a start may take: after a crash PostgreSQL first reads its log again.
const START: Duration = Duration::from_secs(300);
/// How often a start that takes long is told.
const REMIND: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// How long it has for each of: a fast shutdown, an immediate one. Then it is killed.
const STOP: [(Signal, Duration); 2] =
    [(Signal::SIGINT, Duration::from_secs(10)), (Signal::SIGQUIT, Duration::from_secs(5))];
/// Lines kept to tell why it did not start.
const LAST_WORDS: usize = 20;
/// Longest line that is logged, characters.
const LINE: usize = 2_000;

/// What to start.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub(super) postgres: PathBuf,
    pub(super) data: PathBuf,
    pub(super) run: PathBuf,
}

impl Launch {
    fn settings(&self) -> Vec<OsString> {
        let mut sockets = OsString::from("unix_socket_directories=");
        sockets.push(quoted(&self.run));
        let mut settings: Vec<OsString> = [
            "listen_addresses=",
            "unix_socket_permissions=0700",
            "max_connections=60",
            "fsync=on",
            "full_page_writes=on",
            "synchronous_commit=on",
            "jit=off",
            "timezone=UTC",
            "logging_collector=off",
            "log_destination=stderr",
            "log_line_prefix=",
            "log_min_error_statement=panic",
            "log_parameter_max_length=0",
        ]
        .map(OsString::from)
        .into();
        settings.push(format!("port={PORT}").into());
        settings.push(sockets);
        settings
    }
}

/// A directory in a list of directories, where a comma would end it.
fn quoted(directory: &Path) -> OsString {
    let mut text = vec![b'"'];
    for byte in directory.as_os_str().as_bytes() {
        if *byte == b'"' {
            text.push(b'"');
        }
        text.push(*byte);
    }
    text.push(b'"');
    OsString::from_vec(text)
}

/// What PostgreSQL's programs see of the environment: nothing that is not named here.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    ["PATH", "LD_LIBRARY_PATH", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .chain([("LC_ALL", "C".into())])
}

/// A running server. Dropped without [`Server::stop`], it is told to end at once.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    words: Arc<Mutex<VecDeque<String>>>,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    pub(super) async fn start(launch: &Launch) -> Result<Self, ClusterError> {
        let mut command = Command::new(&launch.postgres);
        command.arg("-D").arg(&launch.data);
        for setting in launch.settings() {
            command.arg("-c").arg(setting);
        }
        // A process group of its own: Ctrl-C on the terminal is for the controller, which then stops it in order.
        let mut child = command
            .env_clear()
            .envs(environment())
            .current_dir(&launch.data)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| ClusterError::Io { action: "run", path: launch.postgres.clone(), source })?;
        let words = Arc::new(Mutex::new(VecDeque::new()));
        let reader = child.stderr.take().map(|stderr| tokio::spawn(read_log(stderr, words.clone())));
        let mut server = Self { child, words };
        let began = Instant::now();
        let mut remind = began + REMIND;
        loop {
            if let Some(status) = server.has_ended(launch)? {
                if let Some(reader) = reader {
                    // Whatever it said is read before it is told; a reader that fails has said so.
                    _ = tokio::time::timeout(Duration::from_secs(1), reader).await;
                }
                let said = format!("{}\n({status})", server.last_words());
                return Err(ClusterError::Start { data: launch.data.clone(), said });
            }
            if server.is_ready(launch) {
                return Ok(server);
            }
            if began.elapsed() > START {
                let said = format!("{}\n(not ready after {} s)", server.last_words(), START.as_secs());
                return Err(ClusterError::Start { data: launch.data.clone(), said });
            }
            if Instant::now() > remind {
                tracing::info!(seconds = began.elapsed().as_secs(), "PostgreSQL is still starting");
                remind = Instant::now() + REMIND;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn has_ended(&mut self, launch: &Launch) -> Result<Option<ExitStatus>, ClusterError> {
        self.child.try_wait().map_err(|source| ClusterError::Io {
            action: "wait for",
            path: launch.postgres.clone(),
            source,
        })
    }

    /// PostgreSQL writes its state into the eighth line of its pid file.
    fn is_ready(&self, launch: &Launch) -> bool {
        let Ok(text) = std::fs::read_to_string(launch.data.join("postmaster.pid")) else { return false };
        let ours = text.lines().next().and_then(|pid| pid.trim().parse().ok()) == self.child.id();
        ours && text.lines().nth(7).is_some_and(|state| state.trim() == "ready")
    }

    fn last_words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Waits for its end and tells how it came.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Stops it and waits.
    pub(super) async fn stop(mut self) {
        for (signal, patience) in STOP {
            self.signal(signal);
            match tokio::time::timeout(patience, self.child.wait()).await {
                Ok(Ok(status)) => {
                    tracing::debug!(%status, "the private PostgreSQL stopped");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(%error, "waiting for the private PostgreSQL"),
                Err(_) => tracing::warn!(%signal, "the private PostgreSQL does not stop"),
            }
        }
        if let Err(error) = self.child.kill().await {
            tracing::error!(%error, "the private PostgreSQL cannot be killed");
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid
            && let Err(error) = kill(Pid::from_raw(pid), signal)
        {
            tracing::debug!(%error, %signal, "the private PostgreSQL is gone already");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // `id` is none once it was waited for, so nobody else's process is hit.
        self.signal(Signal::SIGQUIT);
    }
}

async fn read_log(stderr: ChildStderr, words: Arc<Mutex<VecDeque<String>>>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(LINE).collect();
        if is_grave(&text) {
            tracing::warn!(target: "sekisho::postgres", "{text}");
        } else {
            tracing::debug!(target: "sekisho::postgres", "{text}");
        }
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(text);
    }
}

/// What a stop or a start tells those who connect meanwhile: they try again, and the supervisor tells of it anyway.
const PASSING: [&str; 4] = [
    "terminating connection",
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is not yet accepting connections",
];

/// Failed statements are told where they were made; here is what concerns the server.
fn is_grave(line: &str) -> bool {
    let said = ["WARNING:", "FATAL:", "PANIC:"].iter().find_map(|severity| line.strip_prefix(severity));
    said.is_some_and(|said| !PASSING.iter().any(|passing| said.trim_start().starts_with(passing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_any_name_is_one_directory() {
        assert_eq!(quoted(Path::new("/a b,c\"d")), OsString::from("\"/a b,c\"\"d\""));
    }

    #[test]
    fn only_what_concerns_the_server_is_grave() {
        assert!(is_grave("FATAL:  data directory \"/x\" has wrong ownership"));
        assert!(!is_grave("LOG:  database system is ready to accept connections"));
        assert!(!is_grave("ERROR:  duplicate key value violates unique constraint"));
        assert!(!is_grave("FATAL:  terminating connection due to administrator command"));
        assert!(!is_grave("FATAL:  the database system is starting up"));
    }
}
