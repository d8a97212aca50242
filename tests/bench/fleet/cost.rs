//! What processes use.

use std::{fs, time::Duration};

use sekisho_tests::{Controller, Postgres};

/// What controller and PostgreSQL have used so far.
pub(crate) struct Cost {
    /// Resident memory of the controller, bytes.
    pub(crate) resident: u64,
    pub(crate) controller: Duration,
    /// All processes of the server.
    pub(crate) postgres: Duration,
}

impl Cost {
    pub(crate) fn of(controller: &Controller, postgres: &Postgres) -> Self {
        let pid = controller.pid().unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let server = postgres.pid();
        let of_server = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let times = Times::of(pid)?;
            Some(match pid == server {
                true => times.own + times.of_children,
                false if times.parent == server => times.own,
                false => Duration::ZERO,
            })
        });
        let own = Times::of(pid).unwrap().own;
        Self { resident: resident * 1_024, controller: own, postgres: of_server.sum() }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            resident: self.resident,
            controller: self.controller.saturating_sub(earlier.controller),
            postgres: self.postgres.saturating_sub(earlier.postgres),
        }
    }
}

struct Times {
    parent: u32,
    own: Duration,
    /// Of children that have ended.
    of_children: Duration,
}

impl Times {
    /// Of /proc/PID/stat, see proc(5).
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |from: usize| -> Option<Duration> {
            let ticks: u64 =
                fields.get(from)?.parse::<u64>().ok()? + fields.get(from + 1)?.parse::<u64>().ok()?;
            Some(Duration::from_millis(ticks * 10))
        };
        Some(Self { parent: fields.get(1)?.parse().ok()?, own: ticks(11)?, of_children: ticks(13)? })
    }
}
