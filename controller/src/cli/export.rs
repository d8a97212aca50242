//! `sekisho export ...`: results as files for other programs.

use clap::Subcommand;

use super::{Exit, change_request, connection::Global};

#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// The rules that close the gaps of a sweep: a ticket, a table, or input of Aerleon.
    ChangeRequest(change_request::ChangeRequestArgs),
}

pub(super) async fn run(command: ExportCommand, global: &Global) -> anyhow::Result<Exit> {
    match command {
        ExportCommand::ChangeRequest(args) => change_request::run(args, global).await,
    }
}
