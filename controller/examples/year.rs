//! A year of nights in a real PostgreSQL: how fast they come in, how much room they take, how long answers take.
//!
//! Nights of which the observations are not kept any more leave spans only: those are written as the controller keeps them.
//! The last nights, as many as observations are kept, come in the way that probes hand them in, in batches of 256, and old
//! ones are retired on the way. See `tests/bench/README.md`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement fails by panicking, and prints")]

#[path = "year/answers.rs"]
mod answers;
#[path = "year/copy.rs"]
mod copy;
#[path = "year/fleet.rs"]
mod fleet;
#[path = "year/nights.rs"]
mod nights;

use std::{path::PathBuf, time::Instant};

use clap::Parser;
use sekisho::{database::cluster::Cluster, service::Settings};

use fleet::Fleet;
use nights::Year;

/// Simulates a year and measures.
#[derive(Debug, Parser)]
struct Args {
    /// A directory for the database; it must belong to the user who runs this, who cannot be root.
    #[arg(long)]
    dir: PathBuf,
    /// Vantages, each with 20 targets of 25 services.
    #[arg(long, default_value_t = 500)]
    vantages: usize,
    /// Nights of the year.
    #[arg(long, default_value_t = 365)]
    nights: usize,
    /// The last nights, of which observations are kept.
    #[arg(long, default_value_t = 30)]
    kept: usize,
    /// Probes that hand in at the same time.
    #[arg(long, default_value_t = 4)]
    hands: usize,
    /// Seed of what changes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let cluster = Cluster::start(args.dir.join("pg"), None).await.unwrap();
    let options = cluster.connect_options();
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(16).connect_with(options).await.unwrap();
    sekisho::store::migrate(&pool).await.unwrap();
    let fleet = Fleet::new(pool, Settings::default(), args.vantages).await;
    let flows = fleet.flows();
    println!("{} vantages, {flows} flows a night, {} nights, seed {}", args.vantages, args.nights, args.seed);

    let mut year = Year::new(args.seed, flows);
    let old = args.nights - args.kept;
    let began = Instant::now();
    for night in 0..old {
        year.pass(night);
    }
    fleet.write_spans(&year, old).await;
    println!("{old} old nights as spans: {:.0} s", began.elapsed().as_secs_f64());

    let mut rates = Vec::new();
    for night in old..args.nights {
        rates.push(fleet.night(&mut year, night, args.hands).await);
    }
    rates.sort_by(f64::total_cmp);
    println!("ingest, observations/s: median {:.0}, slowest night {:.0}", rates[rates.len() / 2], rates[0]);
    copy::compare(&fleet, rates[rates.len() / 2]).await;
    fleet.room(args.nights * flows).await;
    answers::measure(&fleet, args.seed).await;
    fleet.close().await;
    cluster.stop().await;
}
