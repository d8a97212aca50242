//! What is written for people and programs.

use sekisho_model::{SweepState, SweepSummary};

use super::{super::aerleon, *};

const SWEEP: &str = "vlan20 dc1 icmp rejected by=10.0.0.1
    vlan20 dc1 dns-udp open
    vlan20 dc1 smb rejected by=10.0.0.1
    vlan20 dc1 kerberos-udp rejected by=10.0.0.1
    vlan20 dc1 rpc-epm rejected by=10.0.0.1
    vlan20 dc1 rpc-netlogon rejected by=10.0.0.1 port=49160
    vlan20 dc1 ldaps closed rst-origin=target
    vlan20 dc1 gc mute syn-proxy";

fn summary() -> SweepSummary {
    SweepSummary {
        id: 17,
        state: SweepState::Complete,
        profile: "domain-join".to_owned(),
        started_at: "2026-01-01T02:00:00Z".parse().unwrap(),
        finished_at: Some("2026-01-01T02:01:00Z".parse().unwrap()),
        planned: 8,
        checks: 0,
        observed: 8,
        missed: 0,
    }
}

fn request() -> ChangeRequest {
    let (cells, mut found) = swept(SWEEP);
    for gap in &mut found.gaps {
        gap.since = Some("2025-12-31T02:00:00Z".parse().unwrap());
    }
    change_request(&found.gaps, 3, &cells, &inventory(), &Domains::new())
}

#[test]
fn the_ticket_says_what_where_why_and_what_not() {
    let ticket = markdown(&request(), &summary());
    for part in [
        "# Firewall change request: 1 rule to open 5 flows\n",
        "| at 10.0.0.1 | path-filter | 1 | 5 | 2025-12-31 02:00:00Z |\n",
        "3 flows that policies speak of could not be tested",
        "| 1 | permit | 10.77.20.0/24 (`vlan20`) | 10.77.1.10 (`dc1`) | 135/tcp (rpc-epm)<br>445/tcp (smb)<br>49152-65535/tcp (rpc-netlogon)<br>88/udp (kerberos-udp)<br>icmp echo (icmp) | 2025-12-31 02:00:00Z | `all-reach` |\n",
        "They were seen on 49160.",
        "The endpoint mapper (135/tcp) is among what is blocked.",
        "| 1 | `vlan20` | `dc1` 10.77.1.10 | smb 445/tcp | rejected | at 10.0.0.1 | 2025-12-31 02:00:00Z | dns-udp to `dc1` is open from `vlan20`: the way to the target works |\n",
        "### A device on the way interferes\n",
        "### The service does not work\n\n1 flow left out, because the target is reached",
        "ldaps 636/tcp | closed | - |\n",
        "sekisho diff 17 latest\n",
        "has 5 changes of kind `fix`",
        "Remove rule 1 from the devices above",
    ] {
        assert!(ticket.contains(part), "{part}\n----\n{ticket}");
    }
}

#[test]
fn nothing_to_open_is_said_with_what_is_left_out() {
    let request = asked("vlan10 dc1 icmp open\nvlan10 dc1 ldaps closed rst-origin=target");
    let ticket = markdown(&request, &summary());
    assert!(ticket.starts_with("# Nothing to open: sweep 17\n"), "{ticket}");
    assert!(ticket.contains("### The service does not work") && !ticket.contains("roll back"), "{ticket}");
}

#[test]
fn a_name_cannot_break_out_of_its_cell() {
    let mut request = request();
    request.rules[0].sources[0].vantages = vec!["a`|b\nc".to_owned()];
    assert!(markdown(&request, &summary()).contains("(`a  b c`)"));
}

#[test]
fn a_line_for_each_source_destination_and_service() {
    let csv = csv(&request());
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[0].starts_with("\u{feff}rule,action,cause,by,"), "{}", lines[0]);
    assert_eq!(
        lines[3],
        "1,permit,path-filter,10.0.0.1,,,vlan20,10.77.20.0/24,dc1,10.77.1.10,tcp,49152-65535,rpc-netlogon,\
         2025-12-31T02:00:00Z,all-reach"
    );
}

#[test]
fn a_spreadsheet_finds_no_formula_and_no_further_column() {
    let mut request = request();
    for gap in &mut request.rules[0].flows {
        gap.policy = "=HYPERLINK(\"x\"),b".to_owned();
        gap.vantage = "-1+1".to_owned();
    }
    request.rules[0].sources[0].vantages = vec!["-1+1".to_owned()];
    let csv = csv(&request);
    assert!(
        csv.contains(",'-1+1,10.77.20.0/24,") && csv.contains(",\"'=HYPERLINK(\"\"x\"\"),b\"\r\n"),
        "{csv}"
    );
}

fn file(files: &[aerleon::File], path: &str) -> String {
    files.iter().find(|file| file.path == path).unwrap().text.clone()
}

#[test]
fn aerleon_gets_a_policy_for_each_device_and_its_definitions() {
    let files = aerleon::files(&request(), &summary(), &"nftables".parse().unwrap()).unwrap();
    let policy = file(&files, "policies/pol/path-filter-at-10-0-0-1.yaml");
    let expected = "filters:
  - header:
      comment: \"Change request of sweep 17, at 10.0.0.1\"
      targets:
        nftables: \"inet forward ACCEPT\"
    terms:
      - name: rule-1-tcp
        comment: \"path-filter since 2025-12-31T02:00:00Z, policy all-reach\"
        source-address: NET_VLAN20
        destination-address: HOST_DC1
        protocol: tcp
        destination-port: SVC_RPC_EPM SVC_SMB SVC_RPC_DYNAMIC
        action: accept
      - name: rule-1-udp
        comment: \"path-filter since 2025-12-31T02:00:00Z, policy all-reach\"
        source-address: NET_VLAN20
        destination-address: HOST_DC1
        protocol: udp
        destination-port: SVC_KERBEROS_UDP
        action: accept
      - name: rule-1-icmp
        comment: \"path-filter since 2025-12-31T02:00:00Z, policy all-reach\"
        source-address: NET_VLAN20
        destination-address: HOST_DC1
        protocol: icmp
        icmp-type: echo-request echo-reply
        action: accept
";
    assert_eq!(policy, expected);
    let networks = file(&files, "def/networks.yaml");
    assert!(
        networks.contains("  NET_VLAN20:\n    values:\n      - address: \"10.77.20.0/24\"\n"),
        "{networks}"
    );
    assert!(networks.contains("- address: \"10.77.1.10/32\"\n        comment: \"dc1\""), "{networks}");
    let services = file(&files, "def/services.yaml");
    assert!(
        services.contains("  SVC_RPC_DYNAMIC:\n    - protocol: tcp\n      port: \"49152-65535\"\n"),
        "{services}"
    );
}

#[test]
fn strange_names_come_out_in_ascii() {
    let mut request = request();
    request.rules[0].sources[0].vantages = vec!["東京\"".to_owned()];
    request.rules[0].policies = vec!["サーバー".to_owned()];
    let files = aerleon::files(&request, &summary(), &"cisco".parse().unwrap()).unwrap();
    assert!(files.iter().filter(|file| file.path.ends_with("yaml")).all(|file| file.text.is_ascii()));
    let networks = file(&files, "def/networks.yaml");
    assert!(networks.contains(r#"comment: "\U00006771\U00004EAC\"""#), "{networks}");
    assert!(networks.contains("NET_10_77_20_0_24:"), "{networks}");
}

#[test]
fn targets_say_what_they_need() {
    let error = |name: &str, zones| aerleon::Target::new(name, zones).unwrap_err().to_string();
    assert!(error("fwsm", None).contains("nftables, iptables, cisco"));
    assert!(error("paloalto", None).contains("--from-zone"));
    assert!(error("cisco", Some(("a", "b"))).contains("srx, paloalto"));
    assert!(error("srx", Some(("a b", "c"))).contains("\"a b\""));
    let mut request = request();
    request.rules[0].sources[0].network = "fd00::/64".parse().unwrap();
    let files = aerleon::files(&request, &summary(), &"ciscoasa".parse().unwrap());
    assert_eq!(files, Err(aerleon::BadTarget::NoIpv6("ciscoasa")));
    let target = aerleon::Target::new("paloalto", Some(("users", "servers"))).unwrap();
    let files = aerleon::files(&request, &summary(), &target).unwrap();
    let policy = file(&files, "policies/pol/path-filter-at-10-0-0-1.yaml");
    assert!(policy.contains("paloalto: \"from-zone users to-zone servers inet6\""), "{policy}");
    assert!(policy.contains("protocol: icmpv6\n"), "{policy}");
}
