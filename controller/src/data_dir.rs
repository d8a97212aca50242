//! The data directory of one controller: who may use it, and what lies where.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Names that only a data directory has.
const MARKS: [&str; 4] = ["lock", "identity", "postgres", "admin.token"];

/// A directory that holds the state of one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
}

/// Why a data directory cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A call of the operating system failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A directory with other things in it.
    #[error(
        "{0} is not empty and holds no Sekisho data; name an empty or new directory with --data-dir, so that nothing of yours is touched"
    )]
    Foreign(PathBuf),
    /// Somebody else's directory.
    #[error(
        "{path} belongs to user id {owner}, but this process runs as user id {uid}; run as the owner, or hand it over with: chown -R {uid} {path}"
    )]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// The user may not look into it or one of its parents.
    #[error(
        "user id {uid} cannot enter {blocked}, which is on the way to {path}; choose a data directory that it can reach, such as /var/lib/sekisho"
    )]
    Blocked {
        /// The data directory.
        path: PathBuf,
        /// The first directory that cannot be entered.
        blocked: PathBuf,
        /// Who we are.
        uid: u32,
    },
    /// Another controller runs on it.
    #[error(
        "another controller (process {holder}) is running on {path}; stop it first, or give this one a --data-dir of its own (several controllers share a database with --database-url)"
    )]
    Busy {
        /// The data directory.
        path: PathBuf,
        /// Process id in the lock file, or `unknown`.
        holder: String,
    },
}

/// Held while a controller runs. The lock goes with the process, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl DataDir {
    /// The data directory at `path`, made absolute. Touches nothing.
    ///
    /// # Errors
    /// When the current directory is gone.
    pub fn new(path: &Path) -> Result<Self, DataDirError> {
        let root = std::path::absolute(path).map_err(|e| failed("find", path, e))?;
        Ok(Self { root })
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where the private PostgreSQL lives.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.root.join("postgres")
    }

    /// Where this controller's key and certificate lie.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// The file with the administrator's token.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.root.join("admin.token")
    }

    /// The file with the address of the web listener, for commands on the same machine.
    #[must_use]
    pub fn server_url(&self) -> PathBuf {
        self.root.join("server.url")
    }

    /// Makes the directory where it is missing, and refuses one that is not ours. Run as the user who will own it.
    ///
    /// # Errors
    /// When it cannot be made, belongs to another user, or holds other things.
    pub fn prepare(&self) -> Result<(), DataDirError> {
        let uid = nix::unistd::geteuid().as_raw();
        self.check_way(uid)?;
        if let Some(parent) = self.root.parent() {
            fs::create_dir_all(parent).map_err(|e| failed("make", parent, e))?;
        }
        make_private(&self.root)?;
        let about = fs::metadata(&self.root).map_err(|e| failed("look at", &self.root, e))?;
        // Asked first: nobody is told to hand /etc over.
        let is_empty = self.is_empty();
        if is_empty.as_ref().is_ok_and(|empty| !empty)
            && !MARKS.iter().any(|mark| self.root.join(mark).exists())
        {
            return Err(DataDirError::Foreign(self.root.clone()));
        }
        if about.uid() != uid {
            return Err(DataDirError::Owner { path: self.root.clone(), owner: about.uid(), uid });
        }
        is_empty?;
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&self.root, private).map_err(|e| failed("protect", &self.root, e))
    }

    /// Whether nothing is in the directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_empty(&self) -> Result<bool, DataDirError> {
        let mut entries = fs::read_dir(&self.root).map_err(|e| failed("read", &self.root, e))?;
        Ok(entries.next().is_none())
    }

    /// Keeps every other controller off this directory.
    ///
    /// # Errors
    /// [`DataDirError::Busy`] when another controller has it.
    pub fn lock(&self) -> Result<Lock, DataDirError> {
        let path = self.root.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                let holder = if holder.is_empty() { "unknown".into() } else { holder };
                return Err(DataDirError::Busy { path: self.root.clone(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(failed("lock", &path, e)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| failed("write", &path, e))?;
        Ok(Lock { _file: file })
    }

    /// Names the first directory on the way that this user cannot enter.
    fn check_way(&self, uid: u32) -> Result<(), DataDirError> {
        let mut way: Vec<&Path> = self.root.ancestors().collect();
        way.reverse();
        for pair in way.windows(2) {
            let [above, below] = pair else { continue };
            if let Err(error) = fs::metadata(below)
                && error.kind() == io::ErrorKind::PermissionDenied
            {
                let (path, blocked) = (self.root.clone(), above.to_path_buf());
                return Err(DataDirError::Blocked { path, blocked, uid });
            }
        }
        Ok(())
    }
}

/// Makes a directory that only its owner can enter; an existing one is left alone.
///
/// # Errors
/// When it cannot be made.
pub fn make_private(path: &Path) -> Result<(), DataDirError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", path, e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a file that only its owner can read: whole or not at all, and on the disk when this returns.
///
/// # Errors
/// When the disk says no.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    if let Err(error) = written {
        // What there is of it may hold a secret; where it cannot be removed the first error says more.
        _ = fs::remove_file(&part);
        return Err(failed("write", path, error));
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes sure that renames in a directory survive a power cut.
///
/// # Errors
/// When the disk says no.
pub fn sync_directory(path: &Path) -> Result<(), DataDirError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| failed("sync", path, e))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, DataDir) {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::new(&place.path().join("a/b")).unwrap();
        dir.prepare().unwrap();
        (place, dir)
    }

    #[test]
    fn a_fresh_directory_is_private_and_may_be_prepared_again() {
        let (_place, dir) = fresh();
        assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o700);
        drop(dir.lock().unwrap());
        dir.prepare().unwrap();
    }

    #[test]
    fn two_controllers_cannot_hold_one_directory() {
        let (_place, dir) = fresh();
        let held = dir.lock().unwrap();
        let refused = dir.lock().unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        drop(dir.lock().unwrap());
    }

    #[test]
    fn a_directory_with_other_things_is_left_alone() {
        let (_place, dir) = fresh();
        fs::write(dir.path().join("thesis.odt"), "mine").unwrap();
        assert!(matches!(dir.prepare(), Err(DataDirError::Foreign(_))));
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let (_place, dir) = fresh();
        fs::create_dir(dir.admin_token()).unwrap();
        assert!(write_private(&dir.admin_token(), b"secret").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn private_files_replace_each_other_and_leave_nothing_behind() {
        let (_place, dir) = fresh();
        for text in ["one", "two"] {
            write_private(&dir.admin_token(), text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(dir.admin_token()).unwrap(), text);
        }
        assert_eq!(fs::metadata(dir.admin_token()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
