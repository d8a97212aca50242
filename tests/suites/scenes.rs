//! The scenes of the lab: each is set up, checked again and again against its own truth, and struck.
//!
//! `SEKISHO_TRUTH_RUNS` sets how often (20), `SEKISHO_SCENES` which ones (a,b; all).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "progress of a long test")]

use std::{
    collections::{BTreeMap, VecDeque},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Context, ensure};
use sekisho_lab::{Expectation, ExpectedCheck, Lab, Options, Scene, User, scene, scenes};
use sekisho_model::Matrix;
use sekisho_tests::{Programs, compare, compare_checks, runs};

/// Labs at the same time. Most of a run is waiting for what does not come.
const LABS: usize = 3;

/// What a check of the vantage that concerns no target is asked with.
const ANY_TARGET: &str = "dc1";

/// What one command of the probe checks: a vantage and a target.
#[derive(Default)]
struct Work {
    flows: Vec<Expectation>,
    checks: Vec<ExpectedCheck>,
}

#[test]
fn every_scene_is_seen_as_it_is() {
    let wanted: VecDeque<&'static Scene> = match std::env::var("SEKISHO_SCENES") {
        Ok(names) => names.split(',').map(|name| scene(name).unwrap()).collect(),
        Err(_) => scenes().iter().collect(),
    };
    let programs = Programs::new().unwrap();
    let queue = Mutex::new(wanted);
    let (programs, queue) = (&programs, &queue);
    let wrong: usize = std::thread::scope(|scope| {
        let labs: Vec<_> =
            (0..LABS).map(|number| scope.spawn(move || work_off(number, programs, queue))).collect();
        labs.into_iter().map(|lab| lab.join().unwrap().unwrap()).sum()
    });
    assert_eq!(wrong, 0, "wrong verdicts");
}

/// Plays scenes in one lab until none is left. Gives the number of wrong verdicts.
fn work_off(
    number: usize,
    programs: &Programs,
    queue: &Mutex<VecDeque<&'static Scene>>,
) -> anyhow::Result<usize> {
    let mut lab = Lab::up(&Options::named(format!("t-scenes-{number}-{}", std::process::id())))?;
    let mut wrong = 0;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(scene) = next else { return Ok(wrong) };
        lab.scene(scene.name)?;
        wrong += play(programs, &lab, scene).with_context(|| format!("scene {}", scene.name))?;
        lab.end_scene(scene.name)?;
    }
}

fn play(programs: &Programs, lab: &Lab, scene: &Scene) -> anyhow::Result<usize> {
    let users = if scene.differs_for_root() { &[User::Nobody, User::Root][..] } else { &[User::Nobody] };
    let mut wrong = 0;
    for user in users {
        for run in 1..=runs()? {
            lab.rewind(scene)?;
            let began = Instant::now();
            let differences = run_once(programs, lab, scene, *user)?;
            let seconds = began.elapsed().as_secs_f32();
            eprintln!("{} as {user:?} run {run}: {} wrong, {seconds:.1} s", scene.name, differences.len());
            for difference in &differences {
                eprintln!("  {difference}");
            }
            wrong += differences.len();
        }
    }
    Ok(wrong)
}

fn run_once(programs: &Programs, lab: &Lab, scene: &Scene, user: User) -> anyhow::Result<Vec<String>> {
    let mut work: BTreeMap<(String, String), Work> = BTreeMap::new();
    for flow in scene.flows(user) {
        work.entry((flow.vantage.clone(), flow.target.clone())).or_default().flows.push(flow);
    }
    for check in scene.checks() {
        let target = check.target.as_deref().unwrap_or(ANY_TARGET).to_owned();
        work.entry((check.vantage.clone(), target)).or_default().checks.push(check.clone());
    }
    ensure!(!work.is_empty(), "a scene without truth");
    let mut running = Vec::new();
    for ((vantage, target), work) in work {
        let address = scene.address(&target).with_context(|| format!("there is no target {target}"))?;
        let mut argv = vec![programs.path("sekisho-probe").to_string_lossy().into_owned()];
        argv.extend(["check", "--domain", "corp.example", "--format", "json"].map(str::to_owned));
        argv.extend(work.flows.iter().flat_map(|flow| ["--service".to_owned(), flow.service.name()]));
        argv.extend(work.checks.iter().flat_map(|check| ["--check".to_owned(), check.check.to_string()]));
        argv.push(if scene.by_name { format!("{target}.corp.example") } else { address.to_string() });
        let mut command = match user {
            User::Root => lab.exec(&vantage, argv)?,
            User::Nobody => lab.exec_as("nobody", &vantage, argv)?,
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        running.push((work, child));
    }
    let mut wrong = Vec::new();
    for (work, child) in running {
        let output = child.wait_with_output()?;
        let matrix: Matrix = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let differences = compare(&work.flows, &matrix.cells).into_iter();
        let differences = differences.chain(compare_checks(&work.checks, &matrix.checks));
        wrong.extend(differences.map(|difference| difference.to_string()));
    }
    Ok(wrong)
}
