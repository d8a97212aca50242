//! Aerleon, which writes access lists from exported change requests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

/// An installed Aerleon.
#[derive(Debug)]
pub struct Aerleon(PathBuf);

impl Aerleon {
    /// The one that tests/run.sh installs, or the one whose folder SEKISHO_AERLEON names.
    ///
    /// # Errors
    /// It is not there.
    pub fn new() -> anyhow::Result<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folder = std::env::var_os("SEKISHO_AERLEON")
            .map_or_else(|| repository.join("target/aerleon"), PathBuf::from);
        let program = folder.join("bin/aclgen");
        ensure!(
            program.exists(),
            "{} is missing: install Aerleon with `tests/run.sh e2e`, or `python3 -m venv {2} && {2}/bin/pip install -r {1}`",
            program.display(),
            repository.join("tests/python/aerleon.txt").display(),
            folder.display()
        );
        Ok(Self(program))
    }

    /// Generates what an exported folder says, as its user would, and gives the access lists by the names of their files.
    ///
    /// # Errors
    /// Aerleon refuses it.
    pub fn generate(&self, folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
        let output = Command::new(&self.0).current_dir(folder).output().context("cannot run aclgen")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !said.contains("error encountered"), "aclgen: {said}");
        let mut lists = Vec::new();
        for entry in
            fs::read_dir(folder.join("generated")).with_context(|| format!("nothing came of it: {said}"))?
        {
            let entry = entry?;
            lists.push((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?));
        }
        lists.sort();
        Ok(lists)
    }
}
