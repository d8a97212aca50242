//! Which controller a command talks to, and as whom.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::data_dir::DataDir;

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// Address of the controller, such as http://127.0.0.1:8080.
    #[arg(long, global = true, env = "SEKISHO_SERVER", value_name = "URL")]
    pub(super) server: Option<String>,
    /// Token of the operator; better in the environment than on the command line.
    #[arg(long, global = true, env = "SEKISHO_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// Data directory of a controller on this machine: its state, its address and its token.
    #[arg(long, global = true, env = "SEKISHO_DATA_DIR", value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// When to colour: auto (on a terminal, unless `NO_COLOR` is set), always or never.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true
    )]
    pub(super) color: Color,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A controller and a token, and where they came from.
pub(super) struct Connection {
    pub(super) server: String,
    pub(super) token: String,
    /// For messages: the token is never shown.
    pub(super) token_source: String,
}

impl Global {
    /// What is named wins; what is not comes from the data directory.
    pub(super) fn connection(&self) -> anyhow::Result<Connection> {
        // A variable that is set to nothing says nothing.
        let named = |word: &Option<String>| word.clone().filter(|word| !word.trim().is_empty());
        let data = self.data_dir.as_deref().map(DataDir::new).transpose()?;
        let server = match (named(&self.server), &data) {
            (Some(server), _) => server,
            (None, Some(data)) => read_server(data)?,
            (None, None) => bail!(
                "which controller? Name its data directory with --data-dir DIR (or SEKISHO_DATA_DIR), or its address and your token with --server URL and --token TOKEN (or SEKISHO_SERVER and SEKISHO_TOKEN)"
            ),
        };
        let (token, token_source) = match (named(&self.token), &data) {
            (Some(token), _) => (token.trim().to_owned(), "--token or SEKISHO_TOKEN".to_owned()),
            (None, Some(data)) => {
                let path = data.admin_token();
                (read_token(&path)?, path.display().to_string())
            }
            (None, None) => bail!(
                "no token for the controller: give one with SEKISHO_TOKEN or --token, or name the controller's data directory with --data-dir"
            ),
        };
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("the token from {token_source} is none: a token is one word of visible ASCII characters");
        }
        Ok(Connection { server, token, token_source })
    }
}

fn read_server(data: &DataDir) -> anyhow::Result<String> {
    let path = data.server_url();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "no controller is running on {dir}; start one with: sekisho serve --data-dir {dir}",
            dir = data.path().display()
        ),
        Err(error) => Err(error).with_context(|| unreadable(&path)),
    }
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| unreadable(path))?;
    Ok(text.trim().to_owned())
}

fn unreadable(path: &Path) -> String {
    format!(
        "cannot read {}; run this as the user that the controller runs as, or as root, or use --server and --token",
        path.display()
    )
}
