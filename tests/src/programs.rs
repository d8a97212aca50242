//! The programs under test, where every user of this machine may run them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

/// Copies of the programs in a folder that everybody may enter.
#[derive(Debug)]
pub struct Programs {
    folder: tempfile::TempDir,
}

impl Programs {
    /// Takes `sekisho` and `sekisho-probe` from the folder of this test's own build.
    ///
    /// # Errors
    /// They are not built, or this is not root.
    pub fn new() -> anyhow::Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the suites need root: they build networks and drop privileges"
        );
        let test = std::env::current_exe().context("where is this test?")?;
        let built = test.parent().and_then(Path::parent).context("this test lies in no build folder")?;
        let folder = tempfile::Builder::new().prefix("sekisho-tests-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        for name in ["sekisho", "sekisho-probe"] {
            let from = built.join(name);
            fs::copy(&from, folder.path().join(name)).with_context(|| {
                format!(
                    "{} is missing: run `cargo build --workspace` first, as tests/run.sh does",
                    from.display()
                )
            })?;
        }
        Ok(Self { folder })
    }

    /// Path of a program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the controller's command line.
    #[must_use]
    pub fn sekisho(&self) -> Command {
        let mut command = Command::new(self.path("sekisho"));
        for name in ["SEKISHO_SERVER", "SEKISHO_TOKEN", "SEKISHO_DATA_DIR"] {
            command.env_remove(name);
        }
        command
    }
}
