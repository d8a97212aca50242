//! The lab against the machine: it comes up, works, keeps to itself, and goes without a trace.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use sekisho_lab::{Condition, Lab, Options, list, scenes};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sekisho-lab");

/// A name that no other test of this machine has.
fn unique(test: &str) -> String {
    format!("t-{test}-{}", std::process::id())
}

fn sekisho_lab(argv: &[&str]) -> Output {
    Command::new(PROGRAM).args(argv).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn succeeds(lab: &Lab, node: &str, argv: &[&str]) -> bool {
    lab.exec(node, argv).unwrap().output().unwrap().status.success()
}

fn pings(lab: &Lab, node: &str, address: &str) -> bool {
    succeeds(lab, node, &["ping", "-n", "-c", "1", "-W", "1", address])
}

/// Whatever this machine still has of a lab.
fn traces(name: &str) -> Vec<String> {
    let prefix = format!("skl-{name}-");
    let mut found = Vec::new();
    for folder in ["/run/netns", "/etc/netns"] {
        let entries =
            fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().file_name())).ok();
        let names = entries.into_iter().flatten().map(|name| name.into_string().unwrap());
        found.extend(names.filter(|name| name.starts_with(&prefix)).map(|name| format!("{folder}/{name}")));
    }
    let state = Path::new("/run/sekisho-lab").join(name);
    if state.exists() {
        found.push(state.display().to_string());
    }
    for process in fs::read_dir("/proc").unwrap() {
        let path = process.unwrap().path().join("cmdline");
        let line = fs::read(&path).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.contains(&format!("{}/", state.display())) || line.contains(&prefix) {
            found.push(format!("{} {line}", path.display()));
        }
    }
    found
}

fn assert_no_traces(name: &str) {
    assert_eq!(traces(name), Vec::<String>::new());
}

/// Takes a lab down that the command line brought up, also when the test fails.
struct TakenDown<'a>(&'a str);

impl Drop for TakenDown<'_> {
    fn drop(&mut self) {
        Lab::down(self.0).unwrap();
    }
}

/// A folder of this test alone, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(unique(test));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn archives(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn it_comes_up_works_and_goes_without_a_trace() {
    let name = unique("whole");
    let lab = Lab::up(&Options::named(&name)).unwrap();
    let interface = management_interface(&lab);
    assert!(pings(&lab, "vlan10", "10.77.1.10"));
    assert!(pings(&lab, "vlan30", "10.77.1.10"));
    assert!(!pings(&lab, "vlan30", "10.77.1.20"));
    assert!(!pings(&lab, "vlan10", "10.77.1.99"));
    let unprivileged =
        lab.exec_as("nobody", "vlan20", ["grep", "-E", "^(Cap(Prm|Eff)|Uid):", "/proc/self/status"]).unwrap();
    let status = text(&{ unprivileged }.output().unwrap());
    assert!(status.contains("65534") && status.matches("0000000000000000").count() == 2, "{status}");

    assert!(Lab::up(&Options::named(&name)).unwrap_err().to_string().contains("is up already"));
    assert!(pings(&lab, "vlan10", "10.77.1.10"), "a second `up` harms the first");

    let started = Instant::now();
    drop(lab);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_no_traces(&name);
    assert!(!interface.exists(), "{}", interface.display());
    Lab::down(&name).unwrap();
    assert_no_traces(&name);
}

/// The machine's end of the cable, found by its address.
fn management_interface(lab: &Lab) -> PathBuf {
    let address = lab.controller_address();
    let output = Command::new("ip").args(["-brief", "-4", "addr"]).output().unwrap();
    let lines = text(&output);
    let line = lines.lines().find(|line| line.contains(&format!(" {address}/"))).unwrap();
    let interface = line.split(['@', ' ']).next().unwrap();
    Path::new("/sys/class/net").join(interface)
}

#[test]
fn every_flow_is_as_the_truth_says() {
    let lab = Lab::up(&Options::named(unique("truth"))).unwrap();
    let output = sekisho_lab(&["verify", "--name", lab.name()]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_controller_of_this_machine_is_reached_from_the_vlans_and_nothing_else_is() {
    let lab = Lab::up(&Options::named(unique("controller"))).unwrap();
    let controller = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = controller.local_addr().unwrap().port().to_string();
    let reaches = |node: &str, address: &str| {
        let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
        succeeds(&lab, node, &["timeout", "1", "bash", "-c", &connect])
    };
    for vlan in ["vlan10", "vlan20", "vlan30"] {
        assert!(reaches(vlan, &lab.controller_address().to_string()), "{vlan}");
    }
    let [a, b, slot, d] = lab.controller_address().octets();
    let of_another_lab = Ipv4Addr::new(a, b, slot ^ 1, d).to_string();
    assert!(!reaches("vlan10", &of_another_lab), "there is a way out");

    // Even a machine with a route into the lab, and a lab with a route back, come to nothing: the edge lets no one in.
    assert!(succeeds(&lab, "core", &["ip", "route", "add", "10.203.0.0/16", "via", "10.77.254.1"]));
    let into = |argv: &[&str]| assert!(Command::new("ip").args(argv).status().unwrap().success(), "{argv:?}");
    let edge = u32::from(lab.controller_address()) + 1;
    let dc = "10.77.1.10/32";
    into(&["route", "add", dc, "via", &Ipv4Addr::from(edge).to_string(), "metric", &edge.to_string()]);
    let ping = Command::new("ping").args(["-n", "-c", "1", "-W", "1", "10.77.1.10"]).output().unwrap();
    into(&["route", "del", dc, "metric", &edge.to_string()]);
    assert!(!ping.status.success(), "{}", text(&ping));
}

#[test]
fn labs_live_side_by_side_and_provision_once() {
    let cache = Folder::new("cache");
    let up =
        |name: &str| Lab::up(&Options { cache: cache.0.clone(), ..Options::named(unique(name)) }).unwrap();
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| up("left"));
        let second = scope.spawn(|| up("right"));
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_ne!(first.controller_address(), second.controller_address());
    assert_eq!(cache.archives().len(), 1, "{:?}", cache.archives());
    for lab in [&first, &second] {
        assert!(pings(lab, "vlan10", "10.77.1.10"), "{}", lab.name());
    }
    let name = first.name().to_owned();
    drop(first);
    assert_no_traces(&name);
    assert!(pings(&second, "vlan20", "10.77.1.10"), "one lab's end is the other's");
    drop(second);

    // A damaged archive is made anew.
    let archive = cache.archives().pop().unwrap();
    let whole = fs::metadata(&archive).unwrap().len();
    fs::File::options().write(true).open(&archive).unwrap().set_len(whole / 2).unwrap();
    let third = up("third");
    assert!(pings(&third, "vlan10", "10.77.1.10"));
    assert!(fs::metadata(&archive).unwrap().len() > whole / 2);
}

#[test]
fn what_a_killed_up_leaves_goes_with_the_next_command() {
    for (round, delay) in [2, 20, 60, 120, 250, 400, 600].into_iter().enumerate() {
        let name = unique(&format!("killed{round}"));
        let _end = TakenDown(&name);
        let mut up = Command::new(PROGRAM).args(["up", "--name", &name]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        up.kill().unwrap();
        up.wait().unwrap();
        if round % 2 == 0 {
            let again = sekisho_lab(&["up", "--name", &name]);
            assert!(again.status.success(), "killed after {delay} ms: {}", text(&again));
            let ping =
                sekisho_lab(&["exec", "--name", &name, "vlan10", "--", "ping", "-c1", "-W1", "10.77.1.10"]);
            assert!(ping.status.success(), "killed after {delay} ms: {}", text(&ping));
        }
        let down = sekisho_lab(&["down", "--name", &name]);
        assert!(down.status.success(), "killed after {delay} ms: {}", text(&down));
        assert_no_traces(&name);
    }
}

#[test]
fn a_dead_domain_controller_is_noticed_and_replaced() {
    let name = unique("dead");
    let _end = TakenDown(&name);
    assert!(sekisho_lab(&["up", "--name", &name]).status.success());
    let namespace = format!("skl-{name}-dc1");
    let pids = text(&Command::new("ip").args(["netns", "pids", &namespace]).output().unwrap());
    // Those that serve a connection may have gone by themselves by now.
    Command::new("kill").arg("-9").args(pids.split_whitespace()).output().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let condition = || list().unwrap().into_iter().find(|lab| lab.name == name).unwrap().condition;
    while condition() != Condition::Broken {
        assert!(Instant::now() < deadline, "{:?}", condition());
    }
    assert!(!sekisho_lab(&["status", "--name", &name]).status.success());
    let up = sekisho_lab(&["up", "--name", &name]);
    assert!(up.status.success() && condition() == Condition::Ready, "{}", text(&up));
    assert!(sekisho_lab(&["down", "--name", &name]).status.success());
    assert_no_traces(&name);
}

#[test]
fn the_lab_of_a_killed_test_goes_with_the_next_lab() {
    let name = unique("orphan");
    let _end = TakenDown(&name);
    let up = sekisho_lab(&["up", "--name", &name]);
    assert!(up.status.success(), "{}", text(&up));
    // As a test writes it that is dead now: no process starts with the machine's first tick and this number.
    let state = Path::new("/run/sekisho-lab").join(&name).join("state.toml");
    let mut content = fs::read_to_string(&state).unwrap();
    content.push_str("\n[owner]\npid = 4194304\nstarted = 1\n");
    fs::write(&state, content).unwrap();
    let condition = || list().unwrap().into_iter().find(|lab| lab.name == name).map(|lab| lab.condition);
    assert!(matches!(condition(), Some(Condition::Abandoned | Condition::Busy) | None), "{:?}", condition());
    let _next = Lab::up(&Options::named(unique("next"))).unwrap();
    assert_no_traces(&name);
}

#[test]
fn ping_can_be_left_forbidden_and_an_access_list_changed() {
    let lab = Lab::up(&Options { ping: false, ..Options::named(unique("options")) }).unwrap();
    let range = lab.exec("vlan10", ["cat", "/proc/sys/net/ipv4/ping_group_range"]).unwrap().output().unwrap();
    assert_eq!(text(&range).split_whitespace().collect::<Vec<_>>(), ["1", "0"]);

    let smb = ["timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/10.77.1.10/445"];
    assert!(!succeeds(&lab, "vlan20", &smb));
    lab.nft("edge", "flush chain ip sekisho restricted").unwrap();
    assert!(succeeds(&lab, "vlan20", &smb));
    assert!(lab.nft("edge", "no such command").unwrap_err().to_string().contains("edge"));
    assert!(lab.exec("vlan99", ["true"]).unwrap_err().to_string().contains("vlan20"));
}

#[test]
fn loss_comes_and_goes_and_spares_the_controller() {
    let mut lab = Lab::up(&Options::named(unique("loss"))).unwrap();
    let controller = lab.controller_address().to_string();
    let received = |lab: &Lab, address: &str| -> u32 {
        let output = text(
            &lab.exec("vlan10", ["ping", "-n", "-q", "-f", "-c", "4000", address]).unwrap().output().unwrap(),
        );
        let words: Vec<&str> = output.split_whitespace().collect();
        let index = words.iter().position(|word| word.starts_with("received")).unwrap();
        words[index - 1].parse().unwrap()
    };
    lab.loss(5).unwrap();
    // Two chances to be lost: 90.25 % come back, give or take five standard deviations. With one it would be 95 %.
    let with_loss = received(&lab, "10.77.1.10");
    assert!((3516..=3704).contains(&with_loss), "{with_loss} of 4000");
    assert_eq!(received(&lab, &controller), 4000);
    lab.loss(0).unwrap();
    assert_eq!(received(&lab, "10.77.1.10"), 4000);
}

#[test]
fn a_farm_stands_behind_the_core() {
    let mut lab = Lab::up(&Options::named(unique("farm"))).unwrap();
    assert!(lab.farm(201).is_err());
    lab.farm(200).unwrap();
    assert_eq!(lab.farm_hosts().last(), Some(&Ipv4Addr::new(10, 77, 2, 200)));
    let scan = |node: &str| {
        let ports = "53,88,135,389,445,636,3268,3269,464,5985,9389,49152";
        let argv = ["nmap", "-n", "-Pn", "-sS", "-T4", "--reason", "-p", ports, "10.77.2.200"];
        text(&lab.exec(node, argv).unwrap().output().unwrap())
    };
    let (clean, restricted) = (scan("vlan10"), scan("vlan20"));
    assert_eq!((clean.matches(" open ").count(), clean.matches(" closed ").count()), (11, 1), "{clean}");
    assert_eq!(restricted.matches(" open ").count(), 8, "{restricted}");
    assert_eq!(restricted.matches("no-response").count(), 2, "{restricted}");
    assert_eq!(restricted.matches("admin-prohibited from 10.77.20.1").count(), 1, "{restricted}");
    assert_eq!(restricted.matches("reset ttl 62").count(), 1, "{restricted}");
    lab.farm(5).unwrap();
    assert!(pings(&lab, "vlan10", "10.77.2.5"));
    assert!(!pings(&lab, "vlan10", "10.77.2.6"));
}

#[test]
fn scenes_come_as_their_truth_says_and_go_without_a_trace() {
    let mut lab = Lab::up(&Options::named(unique("scenes"))).unwrap();
    let before = fingerprint(&lab);
    for scene in scenes() {
        lab.scene(scene.name).unwrap();
        let output = sekisho_lab(&["verify", "--name", lab.name(), "--scene", scene.name]);
        assert!(output.status.success(), "{}: {}", scene.name, text(&output));
        lab.end_scene(scene.name).unwrap();
        assert_eq!(fingerprint(&lab), before, "{}", scene.name);
    }
    let output = sekisho_lab(&["verify", "--name", lab.name()]);
    assert!(output.status.success(), "{}", text(&output));
    let name = lab.name().to_owned();
    drop(lab);
    assert_no_traces(&name);
}

/// What a scene could leave in the routers, and the namespaces of the lab.
fn fingerprint(lab: &Lab) -> String {
    let mut all = String::new();
    for node in ["edge", "core"] {
        for what in ["ip rule", "ip route show table all", "ip -brief link", "nft list ruleset", "sysctl -a"]
        {
            let output = text(&lab.exec(node, ["sh", "-c", what]).unwrap().output().unwrap());
            // Counters of random numbers and of what is under way.
            let still =
                |line: &&str| ["fib_multipath_hash_policy", "tcp_loose"].iter().any(|key| line.contains(key));
            let lines: Vec<&str> = output.lines().filter(|line| what != "sysctl -a" || still(line)).collect();
            all.push_str(&lines.join("\n"));
        }
    }
    let namespaces = traces(lab.name()).into_iter().filter(|trace| trace.starts_with("/run/netns"));
    let mut namespaces: Vec<String> = namespaces.collect();
    namespaces.sort();
    all + &namespaces.join("\n")
}

#[test]
fn paths_are_as_narrow_as_their_scenes_say() {
    let mut lab = Lab::up(&Options::named(unique("paths"))).unwrap();
    let ping = |lab: &Lab, size: &str, fragments: &str| {
        let argv = ["ping", "-n", "-c", "1", "-W", "1", "-M", fragments, "-s", size, "10.77.1.10"];
        text(&lab.exec("vlan10", argv).unwrap().output().unwrap())
    };
    let received = |output: &str| output.contains(" 1 received");
    // 28 bytes of headers come on top.
    for (scene, told) in [("narrow", true), ("black-hole", false)] {
        lab.scene(scene).unwrap();
        assert!(received(&ping(&lab, "1252", "do")), "{scene}");
        let large = ping(&lab, "1253", "do");
        assert!(!received(&large), "{scene}: {large}");
        assert_eq!(large.contains("mtu = 1280") || large.contains("mtu=1280"), told, "{scene}: {large}");
        assert!(received(&ping(&lab, "3000", "dont")), "{scene}");
        lab.end_scene(scene).unwrap();
        assert!(received(&ping(&lab, "1472", "do")), "{scene} has left something");
    }
}

#[test]
fn a_scene_that_cannot_be_set_up_leaves_nothing() {
    let mut lab = Lab::up(&Options::named(unique("half"))).unwrap();
    let before = fingerprint(&lab);
    // The edge has this route already, so that the scene's own cannot be added.
    assert!(succeeds(
        &lab,
        "edge",
        &["ip", "route", "add", "10.77.1.0/24", "via", "10.77.254.2", "table", "61"]
    ));
    let error = format!("{:#}", lab.scene("narrow").unwrap_err());
    assert!(error.contains("set up scene narrow"), "{error}");
    assert_eq!(fingerprint(&lab), before);
    assert!(lab.scene("no-such").unwrap_err().to_string().contains("there are"));
    assert!(lab.end_scene("narrow").unwrap_err().to_string().contains("is not on"));
    lab.scene("other-certificate").unwrap();
    let error = lab.scene("clock-off").unwrap_err().to_string();
    assert!(error.contains("other-certificate"), "{error}");
}
