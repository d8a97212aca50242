//! The first data of a PostgreSQL: made aside and moved into place, so that it is whole or not there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{ClusterError, NAME, binaries::Binaries};
use crate::data_dir::sync_directory;

/// Beginning of the name of data that is being made.
const UNFINISHED: &str = "data.init-";

/// Makes the data where there is none, and clears away what an interrupted attempt left.
pub(super) async fn ensure(binaries: &Binaries, root: &Path, data: &Path) -> Result<(), ClusterError> {
    clear(root)?;
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

fn clear(root: &Path) -> Result<(), ClusterError> {
    for entry in fs::read_dir(root).map_err(|e| failed("read", root, e))? {
        let entry = entry.map_err(|e| failed("read", root, e))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            tracing::warn!(path = %entry.path().display(), "removing what an interrupted start left");
            fs::remove_dir_all(entry.path()).map_err(|e| failed("remove", &entry.path(), e))?;
        }
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> ClusterError {
    ClusterError::Io { action, path: PathBuf::from(path), source }
}
