//! `sekisho-probe spool` and `sekisho-probe plan`: what a state directory holds.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    identity::Identity,
    plans::{Fate, Plans},
    spool::report::{Depth, depth},
};

/// Fates that the table shows; JSON has all that are kept.
const FATES: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct State {
    /// State directory of an enrolled probe
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What no controller has committed yet. While the agent runs, as it stood some seconds ago at most.
pub(super) fn spool(args: &State) -> anyhow::Result<ExitCode> {
    let depth = depth(&args.state_dir)?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&depth)?),
        Format::Table => print!("{}", spool_table(&depth)),
    }
    Ok(ExitCode::SUCCESS)
}

fn spool_table(depth: &Depth) -> String {
    let oldest = depth.oldest.map_or_else(|| "-".to_owned(), |oldest| oldest.to_string());
    let source = match depth.agent {
        Some(process) => format!("as the agent (process {process}) wrote it at {}", depth.at),
        None => "as it stands in the file; no agent runs".to_owned(),
    };
    let Depth { observations, bytes, jobs, dropped_full, dropped_old, .. } = depth;
    format!(
        "observations  {observations}\njobs          {jobs}\nbytes         {bytes}\noldest        {oldest}\n\
         dropped       {dropped_full} (full), {dropped_old} (too old)\n{source}\n"
    )
}

/// A plan, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    schedule: String,
    due: Timestamp,
    start: Timestamp,
    end: Timestamp,
    job: Uuid,
    tasks: usize,
    bytes: u64,
    /// Without a session it is begun this long after the start.
    alone_seconds: u64,
    /// When it ended here, where it did.
    done: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Report {
    plans: Vec<Row>,
    /// What became of plans, the oldest first.
    fates: Vec<Fate>,
    /// When a controller was last heard, by this host's clock.
    heard_at: Option<Timestamp>,
    /// The controller's clock minus this host's, then.
    clock_offset_ms: Option<i128>,
    /// Why no plan is followed, where this host's clock is not believed.
    clock_problem: Option<String>,
}

/// What the probe does when no controller is there.
pub(super) fn plan(args: &State) -> anyhow::Result<ExitCode> {
    let identity = Identity::read(&args.state_dir)?;
    let plans = Plans::look(&args.state_dir, identity.about.id, &identity.trust)?;
    let report = report(&plans);
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Format::Table => print!("{}", plan_table(&report)),
    }
    Ok(ExitCode::SUCCESS)
}

fn report(plans: &Plans) -> Report {
    let mut rows: Vec<Row> = plans
        .held
        .iter()
        .map(|(job, planned)| Row {
            schedule: planned.schedule.clone(),
            due: planned.due,
            start: planned.times.start,
            end: planned.times.end,
            job: *job,
            tasks: planned.tasks,
            bytes: planned.bytes,
            alone_seconds: planned.times.alone.saturating_add(planned.times.turn).as_secs(),
            done: plans.record.done.get(job).copied(),
        })
        .collect();
    rows.sort_by_key(|row| (row.start, row.job));
    Report {
        plans: rows,
        fates: plans.record.fates.iter().cloned().collect(),
        heard_at: plans.anchor.as_ref().map(|anchor| anchor.reading.wall),
        clock_offset_ms: plans.anchor.as_ref().map(|anchor| anchor.offset().as_millis()),
        clock_problem: plans.now().err().map(|why| why.to_string()),
    }
}

fn plan_table(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    if report.plans.is_empty() {
        line("no plans: no controller has sent any for a night to come".to_owned());
    } else {
        line(format!("{:<20}  {:<20}  {:>6}  {:<36}  SCHEDULE", "START", "END", "TASKS", "JOB"));
    }
    for row in &report.plans {
        let done = row.done.map(|at| format!("  (done at {at:.0})")).unwrap_or_default();
        line(format!(
            "{:<20}  {:<20}  {:>6}  {:<36}  {}{done}",
            format!("{:.0}", row.start),
            format!("{:.0}", row.end),
            row.tasks,
            row.job.to_string(),
            row.schedule
        ));
    }
    match (&report.clock_problem, report.clock_offset_ms, report.heard_at) {
        (Some(problem), _, _) => line(format!("\nno plan is followed: {problem}")),
        (None, Some(offset), Some(heard)) => {
            line(format!("\nclock: the controller's is {offset} ms ahead of this host's, as of {heard:.0}"));
        }
        (None, _, _) => {}
    }
    if !report.fates.is_empty() {
        line("\nwhat became of plans, newest first:".to_owned());
    }
    for fate in report.fates.iter().rev().take(FATES) {
        let (at, what) = (fate.at, fate.what.word());
        let run = fate.due.map(|due| format!(" of {} {due:.0}", fate.schedule.as_deref().unwrap_or("-")));
        let why = fate.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        line(format!("{at:.0}  {what:<9}  job {}{}{why}", fate.job, run.unwrap_or_default()));
    }
    text
}
