//! Progress on the terminal.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// It is shown this often.
const EVERY: Duration = Duration::from_millis(200);

/// One line on the terminal while it takes long.
pub(super) struct Progress {
    planned: usize,
    began: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(planned: usize) -> Self {
        Self { planned, began: Instant::now(), shown: None, terminal: std::io::stderr().is_terminal() }
    }

    pub(super) fn show(&mut self, done: usize) {
        if !self.terminal || self.shown.unwrap_or(self.began).elapsed() < EVERY {
            return;
        }
        self.shown = Some(Instant::now());
        eprint!("\r{done} of {} flows tested, {:.0} s", self.planned, self.began.elapsed().as_secs_f32());
    }

    pub(super) fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r{:60}\r", "");
        }
    }
}
