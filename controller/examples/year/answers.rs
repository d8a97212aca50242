//! How long answers take, with their JSON.

use std::time::Instant;

use sekisho::service::{FlowName, Place, SweepRef};
use serde::Serialize;

use crate::{fleet::Fleet, nights::Dice};

pub(crate) async fn measure(fleet: &Fleet, seed: u64) {
    let services = &fleet.services;
    let mut dice = Dice(seed);
    let names: Vec<String> =
        sekisho_model::BuiltIn::Full.services().iter().map(|service| service.name()).collect();
    let mut flows = (0..200).map(|_| FlowName {
        vantage: format!("vlan{:04}", dice.below(fleet.vantages as u64)),
        target: format!("dc{}.corp.example", dice.below(20)),
        service: names[dice.below(25) as usize].clone(),
    });
    let flows: Vec<FlowName> = flows.by_ref().collect();
    time("history of a flow", 200, |run| services.history(&flows[run], 1_000)).await;
    time("diff of two nights", 40, |_| services.diff(SweepRef::Latest(1), SweepRef::Latest(0))).await;
    let site = Place { site: Some("site000".to_owned()), vantage: None };
    time("gaps of a site", 40, |_| services.gaps_of(SweepRef::Latest(0), &site)).await;
    time("matrix of a site", 40, |_| services.matrix_of(SweepRef::Latest(0), &site)).await;
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 200);
    time("matrix of a site 200 days ago", 40, |_| services.matrix_at(then, sekisho::service::FRESH, &site))
        .await;
    time("gaps of the whole fleet", 5, |_| services.gaps(SweepRef::Latest(0))).await;
}

async fn time<T: Serialize, E: std::fmt::Debug>(
    name: &str,
    runs: usize,
    ask: impl AsyncFn(usize) -> Result<T, E>,
) {
    let mut took = Vec::new();
    let mut bytes = 0;
    for run in 0..runs {
        let began = Instant::now();
        let answer = ask(run).await.unwrap();
        bytes = serde_json::to_vec(&answer).unwrap().len();
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    println!(
        "{name}: median {:.1} ms, 95th percentile {:.1} ms ({runs} runs, {:.1} kB of JSON)",
        at(0.5),
        at(0.95),
        bytes as f64 / 1e3
    );
}
