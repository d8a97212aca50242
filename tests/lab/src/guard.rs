//! Holds on folders, so that commands which run at once do not meet.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::Path,
};

use anyhow::Context;

use crate::ui;

/// An exclusive hold on a folder. It ends when this value goes, and when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct Guard {
    _folder: File,
}

/// Waits for the folder, creating it where it is not there.
pub(crate) fn hold(folder: &Path) -> anyhow::Result<Guard> {
    let mut told = false;
    loop {
        match fs::create_dir_all(folder) {
            Ok(()) => {}
            // Whoever held the parent has just removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("create {}", folder.display())),
        }
        let Some(file) = open(folder)? else { continue };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    ui::note(&format!("waiting for another sekisho-lab that works on {}", folder.display()));
                }
                file.lock().with_context(|| format!("lock {}", folder.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", folder.display()));
            }
        }
        // The holder before us may have removed the folder: then this lock is on something that is gone.
        if same(folder, &file) {
            return Ok(Guard { _folder: file });
        }
    }
}

/// Whether somebody holds it at this moment.
pub(crate) fn is_held(folder: &Path) -> bool {
    open(folder)
        .is_ok_and(|file| file.is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock))))
}

fn open(folder: &Path) -> anyhow::Result<Option<File>> {
    match File::open(folder) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("open {}", folder.display())),
    }
}

fn same(folder: &Path, file: &File) -> bool {
    match (fs::metadata(folder), file.metadata()) {
        (Ok(path), Ok(open)) => path.ino() == open.ino() && path.dev() == open.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_with_its_value_and_survives_removal_of_the_folder() {
        let folder = std::env::temp_dir().join(format!("sekisho-lab-guard-{}", std::process::id()));
        let first = hold(&folder).unwrap();
        assert!(is_held(&folder));
        fs::remove_dir(&folder).unwrap();
        let second = hold(&folder).unwrap();
        assert!(folder.is_dir());
        drop((first, second));
        // A process that another test starts at this moment holds everything until it has become its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while is_held(&folder) {
            assert!(std::time::Instant::now() < deadline);
        }
        fs::remove_dir(&folder).unwrap();
    }
}
