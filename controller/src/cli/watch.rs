//! The progress of a sweep, on standard error.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use sekisho_model::{SweepState, table};

use super::{
    client::{Client, ClientError},
    output::{note, terminal_size},
    sweep::fetch,
};
use crate::service::{JobKind, SweepDetail, SweepPhase};

/// How often the controller is asked.
const POLL: Duration = Duration::from_millis(700);
/// How long the controller may be away: it may just be restarting.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most vantages shown at a time.
const LINES: usize = 12;

/// How watching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the sweep.
    Done,
    /// By the operator.
    Interrupted,
}

/// Watches a sweep until it ends or the operator has seen enough.
pub(super) async fn until_done(client: &Client, first: SweepDetail) -> Result<End, ClientError> {
    let id = first.summary.id.to_string();
    let mut display = Display::new();
    let mut detail = first;
    let mut answered = Instant::now();
    loop {
        display.show(&detail);
        if detail.summary.state != SweepState::Running {
            display.end();
            return Ok(End::Done);
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                display.end();
                return Ok(End::Interrupted);
            }
            () = tokio::time::sleep(POLL) => {}
        }
        match fetch(client, &id).await {
            Ok(next) => {
                answered = Instant::now();
                detail = next;
            }
            Err(error) if error.is_passing() && answered.elapsed() < PATIENCE => {
                display.away(&format!("{error}; trying again"));
            }
            Err(error) => return Err(error),
        }
    }
}

/// A block of lines that is drawn over, or plain lines where that cannot be.
struct Display {
    terminal: bool,
    drawn: usize,
    last: String,
}

impl Display {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), drawn: 0, last: String::new() }
    }

    fn show(&mut self, detail: &SweepDetail) {
        let rows =
            terminal_size(io::stderr()).map_or(LINES, |(_, rows)| rows.saturating_sub(4).clamp(1, LINES));
        let lines = if self.terminal { block(detail, rows) } else { vec![overall(detail)] };
        self.put(lines);
    }

    fn away(&mut self, said: &str) {
        self.put(vec![said.to_owned()]);
    }

    fn put(&mut self, lines: Vec<String>) {
        if !self.terminal {
            let text = lines.join("\n");
            if text != self.last {
                note(&text);
                self.last = text;
            }
            return;
        }
        // A line that wraps would be drawn over wrongly.
        let width = terminal_size(io::stderr()).map_or(80, |(columns, _)| columns).saturating_sub(1);
        let mut text = self.erase();
        for line in &lines {
            text.push_str(&table::cut(line, width));
            text.push('\n');
        }
        self.drawn = lines.len();
        write(&text);
    }

    /// Takes a drawn block away: the result follows in its place.
    fn end(&mut self) {
        let text = self.erase();
        self.drawn = 0;
        write(&text);
    }

    fn erase(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\u{1b}[{}A\u{1b}[J", self.drawn) }
    }
}

fn write(text: &str) {
    let mut err = io::stderr().lock();
    // Progress that cannot be shown is no failure of the sweep.
    _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

fn overall(detail: &SweepDetail) -> String {
    let sweep = &detail.summary;
    match detail.phase {
        SweepPhase::Discovery => format!("sweep {}: looking for targets", sweep.id),
        SweepPhase::Checking | SweepPhase::Done => {
            let missed = if sweep.missed > 0 { format!(", {} missed", sweep.missed) } else { String::new() };
            format!(
                "sweep {}: {} of {} observed ({}){missed}",
                sweep.id,
                sweep.observed,
                sweep.planned,
                sweep.planned_words()
            )
        }
    }
}

fn block(detail: &SweepDetail, most: usize) -> Vec<String> {
    let elapsed = jiff::Timestamp::now().duration_since(detail.summary.started_at).as_secs().max(0);
    let mut lines = vec![format!("{}, {elapsed} s", overall(detail))];
    let vantages = vantages(detail);
    let running = vantages.iter().filter(|(_, v)| v.done < v.planned);
    let finished = vantages.iter().filter(|(_, v)| v.done >= v.planned);
    let row = |(name, vantage): (&&str, &Vantage)| {
        let counts = format!("{:>4} of {:>4}", vantage.done, vantage.planned);
        vec![(*name).to_owned(), counts, vantage.reasons.join(", ")]
    };
    let rows: Vec<Vec<String>> = running.chain(finished).take(most).map(row).collect();
    lines.extend(table::columns(&rows).lines().map(|line| format!("  {line}")));
    if vantages.len() > most {
        lines.push(format!("  and {} more vantages", vantages.len() - most));
    }
    lines
}

#[derive(Default)]
struct Vantage {
    planned: i64,
    done: i64,
    reasons: Vec<String>,
}

/// Progress by vantage: of the jobs of this phase.
fn vantages(detail: &SweepDetail) -> BTreeMap<&str, Vantage> {
    let is_of_phase = |kind: JobKind| match detail.phase {
        SweepPhase::Discovery => kind == JobKind::Discovery,
        SweepPhase::Checking | SweepPhase::Done => kind != JobKind::Discovery,
    };
    let mut vantages: BTreeMap<&str, Vantage> = BTreeMap::new();
    for job in detail.jobs.iter().filter(|job| is_of_phase(job.kind)) {
        let vantage = vantages.entry(&job.vantage).or_default();
        vantage.planned += job.planned;
        vantage.done += job.observed + job.missed;
        if let Some(reason) = &job.reason
            && !vantage.reasons.contains(reason)
        {
            vantage.reasons.push(reason.clone());
        }
    }
    vantages
}
