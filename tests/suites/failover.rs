//! The primary dies in the middle of a sweep and its standby is promoted: controllers go on there, without a restart and
//! without losing anything that they acknowledged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it tells how long it took")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use sekisho_model::SweepState;
use sekisho_tests::{Controller, Programs, Replicated, World, wait_for};

const DC_NETWORK: &[&str] = &["10.77.1.0/24"];
const VLANS: [&str; 3] = ["vlan10", "vlan20", "vlan30"];
const SOON: Duration = Duration::from_secs(60);
/// Everything that probes handed in.
const ROWS: &str = "SELECT (SELECT count(*) FROM observation) + (SELECT count(*) FROM check_result)";

/// What a listener of a controller answers.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// How many results a controller has written: the commit was answered before it counts them, and it counts them before it
/// acknowledges them to a probe.
fn written(controller: &Controller) -> i64 {
    let answer = get(&format!("127.0.0.1:{}", controller.metrics_port.unwrap()), "/metrics");
    let count = answer
        .lines()
        .find_map(|line| line.strip_prefix("sekisho_ingest_observations_total{result=\"new\"} "))
        .unwrap_or_else(|| panic!("{answer}"));
    count.parse().unwrap()
}

fn ready(controller: &Controller) -> String {
    get(&controller.web().0, "/readyz")
}

fn is_ready(controller: &Controller) -> bool {
    ready(controller).starts_with("HTTP/1.1 200 ")
}

#[test]
fn a_standby_takes_over_in_the_middle_of_a_sweep() {
    let mut database = Replicated::start().unwrap();
    let arguments = ["--database-url", &database.url(), "--metrics-listen", "127.0.0.1:0"];
    let mut world = World::with("failover", "", &arguments).unwrap();
    let second = world.further_controller_with("second", &arguments).unwrap();
    for (place, vlan) in VLANS.iter().enumerate() {
        let mut controllers = [&world.controller, &second];
        controllers.rotate_left(place % 2);
        let probe = world.probe_of(&controllers, vlan, DC_NETWORK).unwrap();
        world.probes.push(probe);
    }
    world.online(3).unwrap();
    let logs = [world.controller.log(), second.log()];
    assert!(logs.iter().all(|log| log.contains("/a:5432") && !log.contains("/b:5432")), "{logs:?}");

    world.controller.ok(&["sweep", "run"]).unwrap();
    wait_for("some results", SOON, || Ok((database.primary(ROWS)?.parse::<u32>()? >= 40).then_some(())))
        .unwrap();
    // From here on nothing can be acknowledged: what is observed waits in commits that are not answered.
    database.hold_standby().unwrap();
    wait_for("a commit that waits for the standby", SOON, || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        Ok((database.primary(waiting)? != "0").then_some(()))
    })
    .unwrap();
    let acknowledged = written(&world.controller) + written(&second);
    database.kill_primary().unwrap();
    let died = Instant::now();
    database.promote().unwrap();
    let promoted = died.elapsed();
    let there: i64 = database.standby(ROWS).unwrap().parse().unwrap();
    assert!(acknowledged >= 40 && there >= acknowledged, "{acknowledged} acknowledged, {there} are there");

    for controller in [&world.controller, &second] {
        wait_for("a controller that is ready", SOON, || {
            if is_ready(controller) { Ok(Some(())) } else { Err(anyhow::anyhow!("{}", ready(controller))) }
        })
        .unwrap();
        assert!(ready(controller).contains("/b:5432 answered in"), "{}", ready(controller));
    }
    wait_for("further results", SOON, || Ok((database.standby(ROWS)?.parse::<i64>()? > there).then_some(())))
        .unwrap();
    println!(
        "promoted {:.1} s after the kill, results {:.1} s after it; {acknowledged} acknowledged before, {there} there",
        promoted.as_secs_f32(),
        died.elapsed().as_secs_f32()
    );
    let sweep = wait_for("the end of the sweep", Duration::from_secs(180), || {
        Ok(world.controller.matrix("1")?.sweep.filter(|sweep| sweep.state != SweepState::Running))
    })
    .unwrap();
    assert_eq!(
        (sweep.state, sweep.planned, sweep.observed, sweep.missed),
        (SweepState::Complete, 198, 198, 0),
        "{sweep:?}"
    );
    assert_eq!(world.controller.matrix("1").unwrap(), second.matrix("1").unwrap());
    for (table, job, count) in [("observation", "job", "171|171"), ("check_result", "job_id", "27|27")] {
        let rows = format!("SELECT count(*), count(DISTINCT ({job}, task)) FROM {table}");
        assert_eq!(database.standby(&rows).unwrap(), count, "{table}");
    }
    an_old_primary_that_comes_back_is_left_alone(&mut database, &world);
}

/// It takes writes and stands in the list, but what is written there is lost.
fn an_old_primary_that_comes_back_is_left_alone(database: &mut Replicated, world: &World) {
    database.revive_primary().unwrap();
    assert_eq!(database.primary("SELECT pg_is_in_recovery()").unwrap(), "f");
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_control_system%'
                 AND pid <> pg_backend_pid()";
    wait_for("both controllers to ask it", SOON, || Ok((database.primary(asked)? == "2").then_some(())))
        .unwrap();
    let before = database.primary(ROWS).unwrap();
    let sweep = world.sweep(&["--profile", "ports", "--vantage", "vlan10"]).unwrap();
    assert_eq!((sweep.state, sweep.missed), (SweepState::Complete, 0));
    assert_eq!(database.primary(ROWS).unwrap(), before);
    assert_eq!(database.primary("SELECT max(id) FROM sweep").unwrap(), "1");
    // Rather nobody than that one.
    database.kill_promoted().unwrap();
    wait_for("a controller that does without", SOON, || {
        let answer = ready(&world.controller);
        anyhow::ensure!(answer.contains("its timeline is 1, and 2 was seen"), "{answer}");
        Ok(Some(()))
    })
    .unwrap();
}

#[test]
fn a_primary_that_falls_silent_holds_nobody_up() {
    let mut database = Replicated::start().unwrap();
    let mut world = World::with("silent", "", &["--database-url", &database.url()]).unwrap();
    world.probe("vlan10", DC_NETWORK).unwrap();
    world.online(1).unwrap();
    // A round and the probe's session are in the middle of something when it happens.
    database.occupy(&["probe", "sweep"]).unwrap();
    wait_for("work that waits", SOON, || {
        let waiting = "SELECT count(DISTINCT relation) FROM pg_locks WHERE NOT granted";
        Ok((database.primary(waiting)? == "2").then_some(()))
    })
    .unwrap();
    database.silence_primary().unwrap();
    let silent = Instant::now();
    wait_for("a controller that is not ready", SOON, || Ok((!is_ready(&world.controller)).then_some(())))
        .unwrap();
    database.promote().unwrap();
    wait_for("a controller that is ready", SOON, || Ok(is_ready(&world.controller).then_some(()))).unwrap();
    println!("ready {:.1} s after the primary fell silent", silent.elapsed().as_secs_f32());
    // The session, the rounds and the listener are all at work again.
    let sweep = world.sweep(&["--profile", "ports", "--vantage", "vlan10"]).unwrap();
    assert_eq!((sweep.state, sweep.missed), (SweepState::Complete, 0));
}

#[test]
fn a_standby_alone_is_refused() {
    let database = Replicated::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let programs = Arc::new(Programs::new().unwrap());
    let arguments = ["--database-url", &database.standby_url()];
    let refused = Controller::start(programs, &folder.path().join("controller"), &arguments).unwrap_err();
    let said = format!("{refused:#}");
    assert!(said.contains("/b:5432: it is a standby, and a controller works on the primary only"), "{said}");
    assert_eq!(database.standby("SELECT to_regclass('sweep') IS NULL").unwrap(), "t");
}
