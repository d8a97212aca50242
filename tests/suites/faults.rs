//! Random kills, pauses and cuts of everything, around nights that run by the clock. After each round of faults: what is planned
//! is observed or missed, nothing is there twice, nothing that was observed is lost, and the next night runs.
//!
//! `SEKISHO_FAULTS` sets how many faults there are (4), `SEKISHO_FAULTS_SEED` repeats those of an earlier run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "progress of a long test")]

#[path = "faults/books.rs"]
mod books;
#[path = "faults/plan.rs"]
mod plan;
#[path = "faults/stage.rs"]
mod stage;

use std::{env::VarError, str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use jiff::Timestamp;
use sekisho_tests::{Controller, Postgres, Programs, Proxy, Severed, wait_for};

use plan::Fault;
use stage::Stage;

#[test]
fn no_fault_loses_or_doubles_anything() {
    let faults = setting("SEKISHO_FAULTS", 4).unwrap();
    let seed = setting("SEKISHO_FAULTS_SEED", u64::from(Timestamp::now().subsec_nanosecond().unsigned_abs()))
        .unwrap();
    eprintln!(
        "{faults} faults of seed {seed}; the same again: SEKISHO_FAULTS={faults} SEKISHO_FAULTS_SEED={seed}"
    );
    let mut stage = Stage::new().unwrap();
    let rounds = plan::rounds(seed, faults);
    for (number, round) in rounds.iter().enumerate() {
        let what = format!("seed {seed}, round {} of {}", number + 1, rounds.len());
        eprintln!("{} {what}", Timestamp::now());
        for fault in round {
            eprintln!("  {fault}");
        }
        if let Err(error) = play(&mut stage, round) {
            panic!("{what}: {error:#}");
        }
    }
    eprintln!("{faults} faults of seed {seed}: {}", stage.sums().unwrap());
}

/// A firewall forgets the connections of a controller that only waits for news: it must notice by itself.
#[test]
fn a_controller_whose_connections_were_forgotten_listens_again() {
    let postgres = Postgres::start().unwrap();
    let proxy = Proxy::start(&postgres.socket()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let programs = Arc::new(Programs::new().unwrap());
    let data = folder.path().join("controller");
    let controller = Controller::start(programs, &data, &["--database-url", &proxy.url()]).unwrap();
    let listens = |count: &str| {
        wait_for(&format!("{count} listeners"), Duration::from_secs(60), || {
            let listening = postgres.query(stage::LISTENING)?;
            if listening == count { Ok(Some(())) } else { Err(anyhow::anyhow!(listening)) }
        })
        .unwrap();
    };
    listens("1");
    proxy.cut(Severed::Forgotten);
    proxy.mend();
    listens("0");
    listens("1");
    assert!(controller.readiness().unwrap().contains("connected"));
}

/// A round: the faults around a night, the night after them, and the books.
fn play(stage: &mut Stage, round: &[Fault]) -> anyhow::Result<()> {
    stage.suffer(round).context("making the faults")?;
    stage.recover().context("after the faults")?;
    let well = Timestamp::now();
    let night = stage.next_night(well)?;
    eprintln!(
        "  well at {well:.0}; sweep {night} is complete and all before it have ended at {:.0}",
        Timestamp::now()
    );
    stage.books().with_context(|| format!("after sweep {night}"))
}

fn setting<T: FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) => text.parse().ok().with_context(|| format!("{name} is not a number")),
        Err(VarError::NotPresent) => Ok(default),
        Err(error) => Err(error).context(name.to_owned()),
    }
}
