//! Where PostgreSQL's programs are, and whether they fit the data.

use std::path::{Path, PathBuf};

use super::ClusterError;

/// Where Debian and its relatives put each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A directory with `postgres` and `initdb` of one version.
#[derive(Debug)]
pub(super) struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// The named programs, or the newest installed ones that can read `data`.
    pub(super) async fn find(named: Option<&Path>, data: &Path) -> Result<Self, ClusterError> {
        let candidates = named.map_or_else(installed, |dir| vec![dir.to_owned()]);
        let mut usable = candidates.iter().filter(|dir| is_complete(dir)).peekable();
        if usable.peek().is_none() {
            let places =
                named.map_or_else(|| format!("{DEBIAN}/*/bin or PATH"), |dir| dir.display().to_string());
            return Err(ClusterError::NoBinaries(places));
        }
        let made = version_of_data(data)?;
        let mut newest = None;
        for dir in usable {
            let found = version_of_programs(dir).await?;
            match made {
                Some(made) if made != found => newest = newest.or(Some((made, found, dir))),
                Some(_) | None => return Ok(Self { dir: dir.clone() }),
            }
        }
        match newest {
            Some((made, found, dir)) => {
                Err(ClusterError::Version { data: data.to_owned(), made, found, found_in: dir.clone() })
            }
            None => Err(ClusterError::NoBinaries(DEBIAN.to_owned())),
        }
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }
}

fn is_complete(dir: &Path) -> bool {
    ["postgres", "initdb"].iter().all(|name| dir.join(name).is_file())
}

/// Newest first, and then what PATH has.
fn installed() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions.into_iter().map(|(_, dir)| dir).chain(std::env::split_paths(&path)).collect()
}

/// Major version that made the data; `None` where there is none yet.
fn version_of_data(data: &Path) -> Result<Option<u32>, ClusterError> {
    let path = data.join("PG_VERSION");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ClusterError::Io { action: "read", path, source }),
    };
    major(text.trim()).map(Some).ok_or_else(|| ClusterError::Io {
        action: "read a version in",
        path,
        source: std::io::ErrorKind::InvalidData.into(),
    })
}

async fn version_of_programs(dir: &Path) -> Result<u32, ClusterError> {
    let program = dir.join("postgres");
    let output = tokio::process::Command::new(&program)
        .arg("--version")
        .output()
        .await
        .map_err(|source| ClusterError::Io { action: "run", path: program.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&text)
        .ok_or(ClusterError::Program { program, said: format!("\"{}\" is no version", text.trim()) })
}

/// `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)` is 15.
fn parse_version(text: &str) -> Option<u32> {
    major(text.split_once("(PostgreSQL)")?.1.trim_start())
}

fn major(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_debian_and_others_write_them() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta2"), Some(19));
        assert_eq!(parse_version("bash 5.2"), None);
    }

    #[tokio::test]
    async fn a_directory_without_programs_is_told_by_name() {
        let empty = tempfile::tempdir().unwrap();
        let refused = Binaries::find(Some(empty.path()), empty.path()).await.unwrap_err().to_string();
        assert!(refused.contains(&empty.path().display().to_string()), "{refused}");
        assert!(refused.contains("--postgres-bin") && refused.contains("Debian package postgresql"));
    }
}
