//! Where a probe keeps the packets of flows that an operator asked for: a folder of its state directory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use uuid::Uuid;

/// Name of the folder.
const FOLDER: &str = "captures";
/// Most files, and most bytes of all of them. The oldest are removed for a new one.
const FILES: usize = 64;
const BYTES: u64 = 256 << 20;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(PathBuf);

impl Shelf {
    /// The folder of a state directory.
    pub(crate) fn of(state: &Path) -> Self {
        Self(state.join(FOLDER))
    }

    /// A file for a task of a job, in place of old ones where there are too many.
    ///
    /// # Errors
    /// It cannot be created.
    pub(crate) fn place(&self, job: Uuid, task: u32) -> io::Result<(PathBuf, File)> {
        fs::create_dir_all(&self.0)?;
        self.make_room()?;
        let path = self.0.join(format!("{job}-{task}.pcapng"));
        let file = super::create(&path)?;
        Ok((path, file))
    }

    fn make_room(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let about = entry.metadata()?;
            files.push((about.modified()?, about.len(), entry.path()));
        }
        files.sort();
        let (mut count, mut bytes) = (files.len(), files.iter().map(|(_, bytes, _)| bytes).sum::<u64>());
        for (_, size, path) in files {
            if count < FILES && bytes < BYTES {
                break;
            }
            fs::remove_file(path)?;
            count -= 1;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_make_room() {
        let state = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(state.path());
        let job = Uuid::from_u128(7);
        let mut paths = Vec::new();
        for task in 0..u32::try_from(FILES).unwrap() + 3 {
            let (path, file) = shelf.place(job, task).unwrap();
            let age = std::time::Duration::from_secs(1_000 - u64::from(task));
            file.set_modified(SystemTime::now() - age).unwrap();
            paths.push(path);
        }
        let there: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(there[..3], [false; 3]);
        assert!(there[3..].iter().all(|there| *there));
    }
}
