//! Where a change request goes.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, ensure};
use sekisho_domain::change_request::aerleon::File;

use crate::cli::{export::Destination, output};

/// Writes a text to a file, which appears when it is whole, or to standard output where none, or -, is named.
pub(super) fn write(path: Option<&Path>, force: bool, text: &str) -> anyhow::Result<()> {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else { return output::text(text) };
    let mut file = Destination::file(path, force)?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    file.finish()
}

/// Writes files into a folder that is new or empty: what an earlier request left there would be generated as well.
pub(super) fn folder(folder: &Path, files: &[File]) -> anyhow::Result<()> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot use the folder {}", folder.display()));
        }
    };
    ensure!(is_empty, "{} is not empty: name a new folder", folder.display());
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        write(Some(&path), false, &file.text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced_unasked() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ticket.md");
        write(Some(&path), false, "one, longer").unwrap();
        let refused = write(Some(&path), false, "two").unwrap_err().to_string();
        assert!(refused.contains("--force"), "{refused}");
        write(Some(&path), true, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let file = File { path: "def/networks.yaml".to_owned(), text: "x".to_owned() };
        let refused = folder(place.path(), std::slice::from_ref(&file)).unwrap_err().to_string();
        assert!(refused.contains("is not empty"), "{refused}");
        folder(&place.path().join("new"), &[file]).unwrap();
        assert!(place.path().join("new/def/networks.yaml").exists());
    }
}
