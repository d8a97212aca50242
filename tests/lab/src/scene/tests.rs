use std::collections::BTreeSet;

use super::*;
use crate::topology::topology;

fn nodes(scene: &Scene) -> BTreeSet<&str> {
    topology().nodes.iter().chain(&scene.nodes).map(|node| node.name.as_str()).collect()
}

#[test]
fn parts_belong_to_nodes_that_exist() {
    for scene in scenes() {
        let (name, nodes) = (scene.name, nodes(scene));
        assert_eq!(nodes.len(), topology().nodes.len() + scene.nodes.len(), "{name}: a node twice");
        let ends = scene.links.iter().flat_map(|link| [&link.a.node, &link.b.node]);
        let named = scene.routes.iter().map(|route| &route.node).chain(ends);
        let named = named.chain(scene.commands.iter().map(|command| &command.node));
        let named = named.chain(scene.ip.keys()).chain(scene.nft.keys()).chain(scene.controllers.keys());
        for node in named {
            assert!(nodes.contains(node.as_str()), "{name}: {node}");
        }
        for end in scene.links.iter().flat_map(|link| [&link.a, &link.b]) {
            assert!(topology().campus.contains(&end.address.addr()), "{name}: {}", end.address);
            assert!(end.interface.len() <= 15, "{name}: {}", end.interface);
        }
        // They end with their node.
        for program in &scene.programs {
            assert!(scene.nodes.iter().any(|node| node.name == program.node), "{name}: {}", program.node);
        }
    }
}

#[test]
fn each_scene_says_what_is_wrong_and_what_is_then_true() {
    assert!(!scenes().is_empty());
    for scene in scenes() {
        let name = scene.name;
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        assert!(scene.about.ends_with('.'), "{name}");
        assert!(!scene.flows.is_empty() || !scene.checks.is_empty(), "{name}");
        for flow in &scene.flows {
            assert!(scene.address(&flow.target).is_some(), "{name}: {}", flow.target);
        }
        let vantages = scene.flows.iter().map(|f| &f.vantage).chain(scene.checks.iter().map(|c| &c.vantage));
        for vantage in vantages {
            assert!(topology().vantages().any(|node| node.name == *vantage), "{name}: {vantage}");
        }
        for target in scene.checks.iter().filter_map(|check| check.target.as_ref()) {
            assert!(scene.address(target).is_some(), "{name}: {target}");
        }
    }
}

#[test]
fn each_flow_is_said_once_and_can_be_true() {
    for (scene, user) in scenes().iter().flat_map(|scene| [(scene, User::Nobody), (scene, User::Root)]) {
        let flows = scene.flows(user);
        let once: BTreeSet<_> = flows.iter().map(|e| (&e.vantage, &e.target, e.service.name())).collect();
        assert_eq!(once.len(), flows.len(), "{}", scene.name);
        for flow in &flows {
            assert!(flow.is_sound(), "{}: {flow:?}", scene.name);
        }
    }
}

#[test]
fn root_sees_more_of_some_flows() {
    let text = "about = \"x\"\n[[flow]]\nvantage = \"vlan10\"\ntarget = \"dc1\"\nservices = [\"smb\"]\n\
        outcome = \"closed\"\nsignal = \"rst\"\nfacts = { a = 1, b = 1 }\n\
        root = { outcome = \"rejected\", by = \"10.77.254.2\", facts = { b = 2 } }";
    let scene: Scene = toml::from_str(text).unwrap();
    let seen = |user| scene.flows(user).pop().unwrap();
    let words =
        |e: &Expectation| e.facts.iter().map(|(n, f)| format!("{n}={f}")).collect::<Vec<_>>().join(" ");
    let (nobody, root) = (seen(User::Nobody), seen(User::Root));
    assert_eq!((nobody.outcome, nobody.by, words(&nobody)), (Outcome::Closed, None, "a=1 b=1".to_owned()));
    let core = Some(Ipv4Addr::new(10, 77, 254, 2));
    assert_eq!((root.outcome, root.by, words(&root)), (Outcome::Rejected, core, "a=1 b=2".to_owned()));
    assert!(scene.differs_for_root());
}

#[test]
fn what_is_not_known_is_refused() {
    for text in [
        "",
        "about = \"x\"\nnew = 1",
        "about = \"x\"\n[[program]]\nnode = \"a\"\nrun = []\nlistens = [\"53\"]",
    ] {
        assert!(toml::from_str::<Scene>(text).is_err(), "{text}");
    }
    assert!(scene("no-such").unwrap_err().to_string().contains("rst-last"));
}
