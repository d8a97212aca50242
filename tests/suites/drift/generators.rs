//! Every device that the export offers, with the real Aerleon: addresses of both families, all transports, strange names.

use sekisho_domain::change_request::{ChangeRequest, aerleon};
use sekisho_model::{SweepState, SweepSummary};
use sekisho_tests::Aerleon;

/// Two rules, as the API gives them.
const REQUEST: &str = r#"{"untested": 0, "left_out": [], "rules": [
{"number": 1, "cause": "path-filter", "by": "10.0.0.1", "between": null, "since": "2026-01-01T02:00:00Z",
 "policies": ["サーバー"], "flows": [],
 "sources": [{"network": "10.1.0.0/16", "vantages": ["東京-サーバー"]}, {"network": "10.2.0.0/16", "vantages": ["1.2"]}],
 "destinations": [{"address": "10.9.0.1", "hosts": ["a-domain-controller-with-a-long-name.corp.example"]},
                  {"address": "10.9.0.2", "hosts": ["a-domain-controller-with-a-long-name.corp.example.com"]}],
 "services": [{"transport": "tcp", "first_port": 445, "last_port": 445, "services": ["smb"]},
              {"transport": "tcp", "first_port": 49152, "last_port": 65535, "services": ["rpc-netlogon", "rpc-drs"]},
              {"transport": "tcp", "first_port": 8443, "last_port": 8443, "services": ["tcp/8443"]},
              {"transport": "udp", "first_port": 389, "last_port": 389, "services": ["cldap"]},
              {"transport": "icmp", "first_port": null, "last_port": null, "services": ["icmp"]}]},
{"number": 2, "cause": "path-filter", "by": "10.0.0.1", "between": null, "since": null,
 "policies": ["p"], "flows": [],
 "sources": [{"network": "fd00:20::/64", "vantages": ["v6"]}],
 "destinations": [{"address": "fd00::10", "hosts": ["dc6.corp.example"]}],
 "services": [{"transport": "tcp", "first_port": 445, "last_port": 445, "services": ["smb"]},
              {"transport": "icmp", "first_port": null, "last_port": null, "services": ["icmp"]}]}
]}"#;

fn sweep() -> SweepSummary {
    let now = "2026-01-01T02:00:00Z".parse().unwrap();
    SweepSummary {
        id: 1,
        state: SweepState::Complete,
        profile: "ports".to_owned(),
        started_at: now,
        finished_at: Some(now),
        planned: 1,
        checks: 0,
        observed: 1,
        missed: 0,
    }
}

#[test]
fn aerleon_generates_for_every_device_that_is_offered() {
    let aerleon = Aerleon::new().unwrap();
    let both: ChangeRequest = serde_json::from_str(REQUEST).unwrap();
    for name in aerleon::Target::names() {
        let zones = Some(("users", "servers"));
        let target = aerleon::Target::new(name, None).or_else(|_| aerleon::Target::new(name, zones)).unwrap();
        let mut request = both.clone();
        let files = aerleon::files(&request, &sweep(), &target).unwrap_or_else(|error| {
            assert!(matches!(error, aerleon::BadTarget::NoIpv6(_)), "{name}: {error}");
            request.rules.truncate(1);
            aerleon::files(&request, &sweep(), &target).unwrap()
        });
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file.text).unwrap();
        }
        let lists = aerleon.generate(folder.path()).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let [(_, list)] = lists.as_slice() else { panic!("{name}: {lists:?}") };
        let mut wanted =
            vec!["10.1.0.0", "10.2.0.0", "10.9.0.1", "10.9.0.2", "49152", "65535", "8443", "389"];
        if request.rules.len() > 1 {
            wanted.extend(["fd00:20::", "fd00::10"]);
        }
        for part in wanted {
            assert!(list.contains(part), "{name} has no {part}:\n{list}");
        }
        assert!(!list.contains("not rendered"), "{name}:\n{list}");
    }
}
