//! Where an export goes: to standard output, or to a file that is there whole or not at all.

use std::{
    fs::{self, Permissions},
    io::{self, BufWriter, IsTerminal, Stdout, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use tempfile::NamedTempFile;

use crate::cli::table::{Column, Csv, Shape, Sheet, sheet};

/// In which format, and where to.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// csv for spreadsheets, json (one array), ndjson (one object a line), or parquet for data tools.
    #[arg(long, value_enum, hide_possible_values = true)]
    format: Format,
    /// The file to write; - or nothing is standard output. It appears when it is whole.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file where there is one.
    #[arg(long)]
    force: bool,
    /// CSV without the mark at its beginning that tells spreadsheets that it is UTF-8.
    #[arg(long)]
    no_bom: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Json,
    Ndjson,
    Parquet,
}

impl Output {
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }

    /// Does `work`, or ends it when the operator does: then nothing stays beside the file.
    pub(super) async fn whole<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let Some(file) = self.file() else { return work.await };
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted: {} is not written", file.display()),
        }
    }

    /// Begins a table there.
    pub(super) fn sheet<R: 'static>(
        &self,
        columns: &'static [Column<R>],
    ) -> anyhow::Result<Box<dyn Sheet<R, Destination>>> {
        let file = self.file();
        ensure!(
            self.format != Format::Parquet || file.is_some() || !io::stdout().is_terminal(),
            "Parquet is no text for a terminal: name a file with --output FILE"
        );
        let shape = match self.format {
            Format::Csv => Shape::Csv(Csv::Spreadsheet { bom: !self.no_bom }),
            Format::Json => Shape::Json,
            Format::Ndjson => Shape::Ndjson,
            Format::Parquet => Shape::Parquet,
        };
        let destination = match file {
            Some(path) => Destination::file(path, self.force)?,
            None => Destination::Stdout(BufWriter::new(io::stdout())),
        };
        sheet(shape, columns, destination)
    }
}

/// A place that is being written.
pub(in crate::cli) enum Destination {
    Stdout(BufWriter<Stdout>),
    /// A file beside the one that it becomes; gone when nothing comes of it.
    File {
        beside: BufWriter<NamedTempFile>,
        path: PathBuf,
        force: bool,
    },
}

impl Destination {
    /// A file that is not there yet; with `force` also one that is.
    pub(in crate::cli) fn file(path: &Path, force: bool) -> anyhow::Result<Self> {
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => bail!("{shown} is no file that could be replaced: name another"),
            Ok(_) if !force => {
                bail!("there is a {shown} already: name another file, or replace it with --force")
            }
            // What else is wrong with it is said where it is made.
            Ok(_) | Err(_) => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = tempfile::Builder::new()
            .prefix(".sekisho-export-")
            // As any file of this user: tempfile's own would be for nobody else to read.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .with_context(|| format!("cannot write {shown}"))?;
        Ok(Self::File { beside: BufWriter::new(beside), path: path.to_owned(), force })
    }

    /// Makes sure of what was written: the file is there from now on.
    pub(in crate::cli) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush().context("cannot write to standard output"),
            Self::File { beside, path, force } => {
                let doing = || format!("cannot write {}", path.display());
                let file = beside.into_inner().map_err(io::IntoInnerError::into_error).with_context(doing)?;
                file.as_file().sync_all().with_context(doing)?;
                let kept = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
                kept.map(drop).map_err(|error| error.error).with_context(doing)
            }
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File { beside, .. } => beside.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File { beside, .. } => beside.flush(),
        }
    }
}
