//! The first data of a PostgreSQL: made aside and moved into place, so that it is whole or not there.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::process::Command;

use super::{ClusterError, NAME, binaries::Binaries};
use crate::data_dir::sync_directory;

/// Beginning of the name of data that is being made.
const UNFINISHED: &str = "data.init-";
/// How long somebody may go on writing into what is removed, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Makes the data where there is none, and clears away what an interrupted attempt left.
pub(super) async fn ensure(binaries: &Binaries, root: &Path, data: &Path) -> Result<(), ClusterError> {
    clear(root).await?;
    if data.exists() {
        return Ok(());
    }
    tracing::info!(data = %data.display(), "creating the private PostgreSQL");
    let unfinished = root.join(format!("{UNFINISHED}{}", uuid::Uuid::new_v4()));
    let program = binaries.initdb();
    let output = Command::new(&program)
        .arg("--pgdata")
        .arg(&unfinished)
        .args(["--username", NAME])
        .args(["--encoding", "UTF8", "--locale", "C", "--data-checksums"])
        .args(["--auth-local", "trust", "--auth-host", "reject"])
        .env_clear()
        .envs(super::server::environment())
        .current_dir(root)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| ClusterError::Io { action: "run", path: program.clone(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ClusterError::Program { program, said });
    }
    fs::rename(&unfinished, data).map_err(|e| failed("move", &unfinished, e))?;
    Ok(sync_directory(root)?)
}

async fn clear(root: &Path) -> Result<(), ClusterError> {
    for entry in fs::read_dir(root).map_err(|e| failed("read", root, e))? {
        let entry = entry.map_err(|e| failed("read", root, e))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            tracing::warn!(path = %entry.path().display(), "removing what an interrupted start left");
            remove(&entry.path()).await?;
        }
    }
    Ok(())
}

/// The initdb of a controller that was killed may still be writing; it ends when it misses what was removed.
async fn remove(path: &Path) -> Result<(), ClusterError> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && !path.exists() => return Ok(()),
            Err(error) if Instant::now() > give_up => return Err(failed("remove", path, error)),
            Err(error) => tracing::debug!(%error, path = %path.display(), "somebody still writes there"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> ClusterError {
    ClusterError::Io { action, path: PathBuf::from(path), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_somebody_still_writes_is_removed_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let unfinished = root.path().join(format!("{UNFINISHED}1"));
        fs::create_dir(&unfinished).unwrap();
        let deep = unfinished.join("base/1");
        let writer = std::thread::spawn(move || {
            let until = Instant::now() + Duration::from_millis(400);
            for number in 0.. {
                let written =
                    fs::create_dir_all(&deep).and_then(|()| fs::write(deep.join(number.to_string()), ""));
                if Instant::now() > until {
                    return;
                }
                drop(written);
            }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The last of what is written may come after a success; the next start finds it.
        clear(root.path()).await.unwrap();
        writer.join().unwrap();
        clear(root.path()).await.unwrap();
        assert!(!unfinished.exists());
    }
}
