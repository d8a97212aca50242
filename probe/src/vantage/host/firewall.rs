//! This host's packet filter, as nftables tells it to root: whether chains on the way out drop what no rule accepts.
//!
//! Only that is certain enough for a warning. What single rules drop depends on the packet, so they are counted. Rules of
//! the older iptables that are not kept by nftables cannot be read.

use std::{process::Stdio, time::Duration};

use sekisho_checks::vantage::host::Firewall;
use serde::Deserialize;
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

/// Where the program is. Not looked for in PATH, because root runs it.
const PROGRAMS: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"];
/// Most octets of its output. A longer ruleset is not judged.
const OUTPUT: u64 = 4 << 20;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Tables of the older iptables that are in use.
const LEGACY: &str = "/proc/net/ip_tables_names";

#[derive(Debug, Deserialize)]
struct Ruleset {
    nftables: Vec<Entry>,
}

/// Tables, sets and others have neither.
#[derive(Debug, Deserialize)]
struct Entry {
    chain: Option<Chain>,
    rule: Option<Rule>,
}

#[derive(Debug, Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    family: String,
    table: String,
    chain: String,
    #[serde(default)]
    expr: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// Reads it, if this process may.
pub(super) async fn read() -> Firewall {
    if !nix::unistd::geteuid().is_root() {
        return Firewall::Unreadable("only root may read the rules".to_owned());
    }
    if std::fs::read_to_string(LEGACY).is_ok_and(|tables| !tables.trim().is_empty()) {
        return Firewall::Unreadable("rules of the older iptables are in use".to_owned());
    }
    match output().await.and_then(|json| judge(&json)) {
        Ok(firewall) => firewall,
        Err(why) => Firewall::Unreadable(why),
    }
}

async fn output() -> Result<Vec<u8>, String> {
    let program = PROGRAMS.iter().find(|program| std::path::Path::new(program).exists());
    let program = *program.ok_or("there is no program nft to read the rules with")?;
    let mut child = Command::new(program)
        .args(["-j", "list", "ruleset"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("run {program}: {error}"))?;
    let stdout = child.stdout.take().ok_or("nft has no output")?;
    let read = async {
        let mut json = Vec::new();
        stdout.take(OUTPUT + 1).read_to_end(&mut json).await?;
        Ok::<_, std::io::Error>((json, child.wait().await?))
    };
    match timeout(PATIENCE, read).await {
        Ok(Ok((json, _))) if json.len() as u64 > OUTPUT => {
            Err("the ruleset is too long to be read".to_owned())
        }
        Ok(Ok((json, status))) if status.success() => Ok(json),
        Ok(Ok((_, status))) => Err(format!("{program}: {status}")),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => Err(format!("{program} does not end")),
    }
}

/// What the ruleset does on the way out (libnftables-json(5)).
fn judge(json: &[u8]) -> Result<Firewall, String> {
    let ruleset: Ruleset =
        serde_json::from_slice(json).map_err(|error| format!("read the ruleset: {error}"))?;
    let concerns = |chain: &&Chain| {
        let ip = matches!(chain.family.as_str(), "ip" | "ip6" | "inet");
        ip && matches!(chain.hook.as_deref(), Some("output" | "postrouting"))
    };
    let chains: Vec<&Chain> =
        ruleset.nftables.iter().filter_map(|e| e.chain.as_ref()).filter(concerns).collect();
    let dropping = chains.iter().filter(|chain| chain.policy.as_deref() == Some("drop"));
    let dropping = dropping.map(|chain| format!("{} {} {}", chain.family, chain.table, chain.name)).collect();
    let rules = ruleset.nftables.iter().filter_map(|entry| entry.rule.as_ref()).filter(|rule| {
        let of = |chain: &&Chain| {
            (&chain.family, &chain.table, &chain.name) == (&rule.family, &rule.table, &rule.chain)
        };
        let refuses = |e: &serde_json::Map<_, _>| e.contains_key("drop") || e.contains_key("reject");
        chains.iter().any(of) && rule.expr.iter().any(refuses)
    });
    Ok(Firewall::Read { dropping, rules: rules.count() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_on_the_way_out() {
        let json = br#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
            {"table": {"family": "inet", "name": "filter", "handle": 1}},
            {"chain": {"family": "inet", "table": "filter", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "inet", "table": "filter", "name": "out", "handle": 2, "type": "filter", "hook": "output", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "ip", "table": "filter", "name": "out", "handle": 2, "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}},
            {"chain": {"family": "bridge", "table": "filter", "name": "out", "handle": 2, "type": "filter", "hook": "output", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "ip", "table": "filter", "name": "other", "handle": 3}},
            {"rule": {"family": "ip", "table": "filter", "chain": "out", "handle": 4, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 445}}, {"reject": {"type": "tcp reset"}}]}},
            {"rule": {"family": "ip", "table": "filter", "chain": "out", "handle": 5, "expr": [{"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]}},
            {"rule": {"family": "ip", "table": "filter", "chain": "out", "handle": 6, "expr": [{"accept": null}]}},
            {"rule": {"family": "ip", "table": "filter", "chain": "other", "handle": 7, "expr": [{"drop": null}]}}]}"#;
        let expected = Firewall::Read { dropping: vec!["inet filter out".to_owned()], rules: 2 };
        assert_eq!(judge(json), Ok(expected));
        assert_eq!(judge(br#"{"nftables": []}"#), Ok(Firewall::Read { dropping: Vec::new(), rules: 0 }));
        assert!(judge(b"[]").is_err() && judge(b"").is_err());
    }
}
