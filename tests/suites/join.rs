//! Rights to join, asked of a real directory as real accounts; and that the password is seen by nobody else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use sekisho_lab::{Lab, Options};
use sekisho_model::{Check, CheckKind, CheckStatus, Matrix};
use sekisho_tests::{Programs, wait_for};

const ADMINISTRATOR: (&str, &str) = ("administrator", "Sekisho-Lab-1");
const PLAIN: (&str, &str) = ("plain", "Plain-Passw0rd");
const DELEGATE: (&str, &str) = ("delegate@corp.example", "Delegate-Passw0rd");
const WRONG: &str = "Not-The-Passw0rd";
const DOMAIN: &str = "DC=corp,DC=example";
const SERVERS: &str = "OU=Servers,DC=corp,DC=example";
/// schemaIDGUID of the class `computer`.
const COMPUTER_CLASS: &str = "bf967a86-0de6-11d0-a285-00aa003049e2";
const NO_PIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

struct World {
    lab: Lab,
    programs: Programs,
    pin: String,
}

impl World {
    /// A lab with an ordinary user and one who may create computers in an organizational unit.
    fn new(name: &str) -> Self {
        let lab = Lab::up(&Options::named(format!("t-join-{name}-{}", std::process::id()))).unwrap();
        let mut world = Self { lab, programs: Programs::new().unwrap(), pin: NO_PIN.to_owned() };
        world.tool(&["user", "create", "plain", PLAIN.1]);
        world.tool(&["user", "create", "delegate", DELEGATE.1]);
        world.tool(&["ou", "create", SERVERS]);
        let sddl = format!("(OA;CI;CC;{COMPUTER_CLASS};;{})", world.attribute("delegate", "objectSid"));
        world.tool(&["dsacl", "set", &format!("--objectdn={SERVERS}"), &format!("--sddl={sddl}")]);
        // Without a threshold Samba counts no wrong passwords.
        world.tool(&["domain", "passwordsettings", "set", "--account-lockout-threshold=100"]);
        world.pin = word(&world.one(ADMINISTRATOR, &[]), "certificate-sha256");
        world
    }

    fn samba(&self, tool: &str, arguments: &[&str], input: &str) -> String {
        let mut argv = vec![tool];
        argv.extend(arguments);
        let mut child = self
            .lab
            .exec("dc1", argv)
            .unwrap()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// samba-tool, over LDAP as that account.
    fn tool_as(&self, (user, password): (&str, &str), arguments: &[&str]) -> String {
        let account = format!("{user}%{password}");
        let whole = [arguments, &["-H", "ldap://10.77.1.10", "-U", &account]].concat();
        self.samba("samba-tool", &whole, "")
    }

    fn tool(&self, arguments: &[&str]) -> String {
        self.tool_as(ADMINISTRATOR, arguments)
    }

    fn attribute(&self, user: &str, name: &str) -> String {
        let shown = self.tool(&["user", "show", user, &format!("--attributes={name}")]);
        let line = shown.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
        line.to_owned()
    }

    fn quota(&self, quota: u32) {
        let change = format!(
            "dn: {DOMAIN}\nchangetype: modify\nreplace: ms-DS-MachineAccountQuota\nms-DS-MachineAccountQuota: {quota}\n"
        );
        let account = format!("{}%{}", ADMINISTRATOR.0, ADMINISTRATOR.1);
        self.samba("ldbmodify", &["-H", "ldap://10.77.1.10", "-U", &account], &change);
    }

    /// Says who made a computer account, which over LDAP nobody may.
    fn made_by(&self, computer: &str, user: &str) {
        let file = format!("/run/sekisho-lab/{}/samba/dc1/private/sam.ldb", self.lab.name());
        let sid = self.attribute(user, "objectSid");
        let change = format!(
            "dn: CN={computer},CN=Computers,{DOMAIN}\nchangetype: modify\nadd: ms-DS-CreatorSID\nms-DS-CreatorSID: {sid}\n"
        );
        self.samba("ldbmodify", &["-H", &file, "--controls=relax:0"], &change);
    }

    /// The probe as nobody, which takes its password from file descriptor 3: the other end is the child's stdin.
    fn probe(&self, vlan: &str, user: &str, pin: &str, arguments: &[&str]) -> Command {
        let program = self.programs.path("sekisho-probe");
        let mut argv = vec!["sh", "-c", "exec 3<&0 </dev/null; exec \"$@\"", "sh", program.to_str().unwrap()];
        argv.extend(["check", "corp.example", "--check", "join-rights", "--format", "json"]);
        argv.extend(["--join-user", user, "--ldap-pin", pin, "--password-fd", "3"]);
        argv.extend(arguments);
        let mut command = self.lab.exec_as("nobody", vlan, argv).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn checks(&self, account: (&str, &str), pin: &str, arguments: &[&str]) -> Vec<Check> {
        let child = self.probe("vlan10", account.0, pin, arguments).spawn().unwrap();
        read(&finish(child, account.1))
    }

    fn one(&self, account: (&str, &str), arguments: &[&str]) -> Check {
        let mut checks = self.checks(account, &self.pin, arguments);
        assert_eq!(checks.len(), 1, "{checks:?}");
        checks.remove(0)
    }
}

fn finish(mut child: Child, password: &str) -> Output {
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn read(output: &Output) -> Vec<Check> {
    let matrix: Result<Matrix, _> = serde_json::from_slice(&output.stdout);
    let checks =
        matrix.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))).checks;
    assert!(checks.iter().all(|check| check.check == CheckKind::JoinRights));
    checks
}

fn word(check: &Check, fact: &str) -> String {
    check.facts.get(fact).map(ToString::to_string).unwrap_or_default()
}

/// The status, the reason, and the facts that are wanted.
#[track_caller]
fn expect(check: &Check, status: CheckStatus, reason: &str, facts: &[(&str, &str)]) {
    assert_eq!((check.status, word(check, "reason").as_str()), (status, reason), "{:#?}", check.facts);
    let wanted: BTreeMap<&str, String> =
        facts.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let found: BTreeMap<&str, String> = facts.iter().map(|(name, _)| (*name, word(check, name))).collect();
    assert_eq!(found, wanted, "{:#?}", check.facts);
}

#[test]
fn rights_are_those_that_the_directory_gives() {
    let world = World::new("rights");
    let created = |container, may| [("container", container), ("create-child", may), ("sealed-by", "ldaps")];
    let computers = "CN=Computers,DC=corp,DC=example";
    let admin = world.one(ADMINISTRATOR, &[]);
    expect(&admin, CheckStatus::Ok, "", &created(computers, "true"));
    expect(&admin, CheckStatus::Ok, "", &[("quota-exempt", "true"), ("dc", "dc1.corp.example")]);

    let quota =
        [("quota", "10"), ("quota-used", "0"), ("quota-exempt", "false"), ("quota-path-unproved", "true")];
    let plain = world.one(PLAIN, &[]);
    expect(&plain, CheckStatus::Warning, "quota-path", &quota);
    assert_eq!(word(&plain, "joiner-sid"), world.attribute("plain", "objectSid"));
    let same = world.one(("CORP\\plain", PLAIN.1), &[]);
    assert_eq!(same.facts["joiner-sid"], plain.facts["joiner-sid"]);

    let delegate = world.one(DELEGATE, &["--join-ou", SERVERS]);
    expect(&delegate, CheckStatus::Ok, "", &created(SERVERS, "true"));
    let elsewhere = world.one(DELEGATE, &[]);
    expect(&elsewhere, CheckStatus::Warning, "quota-path", &created(computers, "false"));
    let missing = world.one(DELEGATE, &["--join-ou", "OU=Nowhere,DC=corp,DC=example"]);
    expect(&missing, CheckStatus::Problem, "container-missing", &[]);

    world.tool(&["computer", "create", "MADE"]);
    world.made_by("MADE", "plain");
    expect(&world.one(PLAIN, &[]), CheckStatus::Warning, "quota-path", &[("quota-used", "1")]);
    let exceeded = |used| [("windows-error", "8557"), ("quota-used", used)];
    world.quota(1);
    expect(&world.one(PLAIN, &[]), CheckStatus::Problem, "quota-exceeded", &exceeded("1"));
    world.quota(0);
    expect(&world.one(PLAIN, &[]), CheckStatus::Problem, "quota-exceeded", &exceeded("1"));
    expect(&world.one(DELEGATE, &["--join-ou", SERVERS]), CheckStatus::Ok, "", &[("quota", "0")]);
}

#[test]
fn computers_are_free_or_taken() {
    let world = World::new("computers");
    let servers = format!("--computerou={}", SERVERS.trim_end_matches(&format!(",{DOMAIN}")));
    world.tool_as(("delegate", DELEGATE.1), &["computer", "create", "DELEGATES", &servers]);
    world.tool(&["computer", "create", "ADMINS"]);
    world.tool(&["computer", "create", "OTHER"]);
    world.tool(&["spn", "add", "RestrictedKrbHost/free2.corp.example", "OTHER$"]);
    let computers = ["FREE1", "free2", "DELEGATES", "ADMINS", "DC1", "bad/name"];
    let named: Vec<&str> = computers.iter().flat_map(|name| ["--computer", name]).collect();
    let found = world.checks(ADMINISTRATOR, &world.pin, &named);
    let names: Vec<String> = found.iter().map(|check| word(check, "computer")).collect();
    assert_eq!(names, computers);
    let [free, duplicate, delegates, admins, dc, bad] = found.try_into().unwrap();
    expect(&free, CheckStatus::Ok, "", &[("account-exists", "false"), ("forest-not-searched", "")]);
    let other = [("duplicate-1", "CN=OTHER,CN=Computers,DC=corp,DC=example"), ("account-exists", "false")];
    expect(&duplicate, CheckStatus::Problem, "duplicate-spn", &other);
    let owner = world.attribute("delegate", "objectSid");
    let unproved =
        [("account-reuse", "unproved"), ("account-owner", owner.as_str()), ("account-disabled", "true")];
    expect(&delegates, CheckStatus::Warning, "account-reuse-unproved", &unproved);
    expect(
        &admins,
        CheckStatus::Ok,
        "",
        &[("account-reuse", "owned-by-administrators"), ("account-writable", "true")],
    );
    expect(&dc, CheckStatus::Problem, "name-of-domain-controller", &[("duplicates", "")]);
    // Nobody was asked.
    expect(&bad, CheckStatus::Problem, "name-characters", &[("dc", "")]);

    let plain = world.one(PLAIN, &["--computer", "admins"]);
    expect(&plain, CheckStatus::Warning, "account-not-writable", &[("account-exists", "true")]);
    world.made_by("ADMINS", "delegate");
    let maker = world.one(DELEGATE, &["--computer", "ADMINS"]);
    expect(&maker, CheckStatus::Warning, "account-not-writable", &[("account-reuse", "creator")]);
}

#[test]
fn a_password_is_sent_once_and_to_the_trusted_alone() {
    let world = World::new("secret");
    let wrong = (PLAIN.0, WRONG);
    let pcs = ["--computer", "A1", "--computer", "A2", "--computer", "A3"];

    let untrusted = world.checks(wrong, NO_PIN, &pcs);
    for check in &untrusted {
        let pin = [("certificate-sha256", world.pin.as_str()), ("result-code", "")];
        expect(check, CheckStatus::Unknown, "certificate-not-trusted", &pin);
    }
    assert_eq!((untrusted.len(), world.attribute("plain", "badPwdCount").as_str()), (3, "0"));

    let refused = world.checks(wrong, &world.pin, &pcs);
    for check in &refused {
        expect(
            check,
            CheckStatus::Problem,
            "logon-failure",
            &[("ldap-data", "52e"), ("windows-error", "1326")],
        );
    }
    assert_eq!((refused.len(), world.attribute("plain", "badPwdCount").as_str()), (3, "1"));
}

#[test]
fn a_password_is_seen_nowhere() {
    let world = World::new("hidden");
    // Wrong and right, because a refusal and an error are where one would slip out.
    for (password, status) in [(WRONG, CheckStatus::Problem), (PLAIN.1, CheckStatus::Warning)] {
        let mut command = world.probe("vlan10", PLAIN.0, &world.pin, &["--computer", "PC8"]);
        command.env("RUST_LOG", "trace");
        let child = command.spawn().unwrap();
        let process = format!("/proc/{}", child.id());
        wait_for("the probe to ask for its password", Duration::from_secs(10), || {
            Ok((fs::read_to_string(format!("{process}/comm"))?.trim() == "sekisho-probe").then_some(()))
        })
        .unwrap();
        let line = fs::read_to_string(format!("{process}/cmdline")).unwrap();
        let environment =
            String::from_utf8_lossy(&fs::read(format!("{process}/environ")).unwrap()).into_owned();
        assert!(line.contains("--password-fd") && environment.contains("RUST_LOG"));
        let output = finish(child, password);
        for text in [
            &line,
            &environment,
            &*String::from_utf8_lossy(&output.stdout),
            &*String::from_utf8_lossy(&output.stderr),
        ] {
            assert!(!text.contains(password), "{text}");
        }
        assert_eq!(read(&output)[0].status, status);
    }
    let mut command = world.probe("vlan10", PLAIN.0, &world.pin, &["--password", PLAIN.1]);
    assert!(!command.output().unwrap().status.success(), "there is an option for the password");
}

#[test]
fn the_environment_may_have_the_password() {
    let world = World::new("variable");
    let program = world.programs.path("sekisho-probe");
    let argv = [
        program.to_str().unwrap(),
        "check",
        "corp.example",
        "--check",
        "join-rights",
        "--format",
        "json",
        "--join-user",
        PLAIN.0,
        "--ldap-pin",
        &world.pin,
    ];
    let run = |password: Option<&str>| {
        let mut command = world.lab.exec_as("nobody", "vlan10", argv).unwrap();
        if let Some(password) = password {
            command.env("SEKISHO_JOIN_PASSWORD", password);
        }
        // A session of its own has no terminal to ask at.
        let mut detached = Command::new("setsid");
        detached.arg("--wait").arg(command.get_program()).args(command.get_args());
        detached.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        detached.stdin(Stdio::null()).output().unwrap()
    };
    let output = run(Some(PLAIN.1));
    expect(&read(&output)[0], CheckStatus::Warning, "quota-path", &[]);
    let output = run(Some(WRONG));
    expect(&read(&output)[0], CheckStatus::Problem, "logon-failure", &[]);
    assert!(!String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains(WRONG));
    for (password, word) in [(Some(""), "empty"), (None, "no password")] {
        let output = run(password);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(word), "{said}");
    }
}

#[test]
fn a_channel_is_found_or_nothing_is_sent() {
    let world = World::new("channel");
    let child = world.probe("vlan20", PLAIN.0, &world.pin, &[]).spawn().unwrap();
    // Its access list refuses 636 and 389.
    let check = read(&finish(child, PLAIN.1)).remove(0);
    expect(&check, CheckStatus::Unknown, "no-sealed-channel", &[("result-code", "")]);

    let acl = "table ip sealed {\n chain forward {\n  type filter hook forward priority -10;\n  \
               tcp dport 636 reject with tcp reset\n  tcp dport { 3268, 3269 } reject with tcp reset\n }\n}\n";
    world.lab.nft("edge", acl).unwrap();
    let check = world.one(ADMINISTRATOR, &["--computer", "PC8"]);
    // No global catalog, but the forest has one domain.
    expect(&check, CheckStatus::Ok, "", &[("sealed-by", "starttls"), ("forest-not-searched", "")]);
    // One attempt under way at a time.
    let narrow = world.one(ADMINISTRATOR, &["--computer", "PC8", "--concurrency", "1"]);
    assert_eq!(narrow.status, CheckStatus::Ok);
}
