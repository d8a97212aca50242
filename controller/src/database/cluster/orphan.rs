//! A server that outlived its controller: found, stopped and waited for.
//!
//! A process counts only if the kernel says that it works in this data directory and runs a program called postgres: a
//! number in a file proves nothing, it may belong to somebody else by now.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::ClusterError;

/// How long the old server has for each of: a fast shutdown, an immediate one.
const PATIENCE: [(Signal, Duration); 2] =
    [(Signal::SIGINT, Duration::from_secs(30)), (Signal::SIGQUIT, Duration::from_secs(10))];
const POLL: Duration = Duration::from_millis(50);

/// Stops every process of an earlier server on `data`.
pub(super) async fn stop(data: &Path) -> Result<(), ClusterError> {
    let Ok(data) = data.canonicalize() else { return Ok(()) };
    for (signal, patience) in PATIENCE {
        let left = processes(&data)?;
        if left.is_empty() {
            break;
        }
        // Its other processes end by themselves when the first one does, or is gone.
        if let Some(first) = postmaster(&data).filter(|pid| left.contains(pid)) {
            tracing::warn!(pid = first.as_raw(), %signal, "stopping a PostgreSQL that outlived its controller");
            if let Err(error) = kill(first, signal) {
                tracing::debug!(%error, "it went by itself");
            }
        }
        let give_up = Instant::now() + patience;
        while Instant::now() < give_up && !processes(&data)?.is_empty() {
            tokio::time::sleep(POLL).await;
        }
    }
    let left = processes(&data)?;
    if !left.is_empty() {
        let pids = left.iter().map(Pid::to_string).collect::<Vec<_>>().join(" ");
        return Err(ClusterError::Orphan { data, pids });
    }
    forget_foreign_pid(&data)
}

/// PostgreSQL would not start if another process of this user had got the number in its pid file.
fn forget_foreign_pid(data: &Path) -> Result<(), ClusterError> {
    let alive = postmaster(data).is_some_and(|pid| kill(pid, None).is_ok());
    if !alive {
        return Ok(());
    }
    let path = data.join("postmaster.pid");
    tracing::warn!(path = %path.display(), "removing a pid file whose number belongs to another process");
    fs::remove_file(&path).map_err(|source| ClusterError::Io { action: "remove", path, source })
}

fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

fn processes(data: &Path) -> Result<Vec<Pid>, ClusterError> {
    let entries = fs::read_dir("/proc").map_err(|source| ClusterError::Io {
        action: "list processes in",
        path: PathBuf::from("/proc"),
        source,
    })?;
    let pids = entries.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        // Processes of other users cannot be read, and are not ours.
        let works_here = fs::read_link(entry.path().join("cwd")).ok()? == data;
        let program = fs::read_link(entry.path().join("exe")).ok()?;
        // The kernel appends " (deleted)" to a program that was upgraded meanwhile.
        let is_postgres = program.file_name()?.to_string_lossy().split(' ').next() == Some("postgres");
        (works_here && is_postgres).then(|| Pid::from_raw(pid))
    });
    Ok(pids.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_that_belongs_to_another_process_is_forgotten_and_the_process_lives() {
        let data = tempfile::tempdir().unwrap();
        let pid_file = data.path().join("postmaster.pid");
        fs::write(&pid_file, format!("{}\n", std::process::id())).unwrap();
        stop(data.path()).await.unwrap();
        assert!(!pid_file.exists());
    }

    #[tokio::test]
    async fn a_number_of_nobody_is_left_to_postgresql() {
        let data = tempfile::tempdir().unwrap();
        let pid_file = data.path().join("postmaster.pid");
        fs::write(&pid_file, "2147483646\n").unwrap();
        stop(data.path()).await.unwrap();
        assert!(pid_file.exists());
    }
}
