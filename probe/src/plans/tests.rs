use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair, SigningKey as _};
use sekisho_proto::PLAN_CONTEXT;

use super::*;

/// A controller: its CA certificate and its key.
struct Signer {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Signer {
    fn new() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().der().clone();
        Self { key, certificate }
    }

    fn sign(&self, body: &v1::PlannedJob) -> v1::Plan {
        let body = body.encode_to_vec();
        let signature = self.key.sign(&[PLAN_CONTEXT, &body].concat()).unwrap();
        v1::Plan { body, signature }
    }
}

fn time(text: &str) -> Option<prost_types::Timestamp> {
    Some(convert::timestamp(text.parse().unwrap()))
}

const PROBE: Uuid = Uuid::from_u128(7);

fn planned(job: u128, tasks: u32) -> v1::PlannedJob {
    let task = |number| v1::Task { number, kind: None };
    v1::PlannedJob {
        probe: PROBE.as_bytes().to_vec(),
        schedule: "nightly".to_owned(),
        due: time("2026-11-27T02:00:00Z"),
        start: time("2026-11-27T02:00:10Z"),
        end: time("2026-11-27T04:00:00Z"),
        alone_seconds: 20,
        turn_seconds: 0,
        silent_seconds: 80,
        made_at: time("2026-11-26T02:00:00Z"),
        job: Some(v1::Job {
            id: Uuid::from_u128(job).as_bytes().to_vec(),
            tasks: (0..tasks).map(task).collect(),
            ..v1::Job::default()
        }),
    }
}

struct Ground {
    folder: tempfile::TempDir,
    signer: Signer,
}

impl Ground {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), signer: Signer::new() }
    }

    fn trust(&self) -> Vec<CertificateDer<'static>> {
        vec![Signer::new().certificate, self.signer.certificate.clone()]
    }

    fn open(&self) -> Plans {
        Plans::open(self.folder.path(), PROBE, &self.trust()).unwrap()
    }

    fn take(&self, plans: &mut Plans, planned: &v1::PlannedJob) -> Result<Uuid, String> {
        plans.take(&self.signer.sign(planned), &self.trust())
    }

    fn file(&self, job: u128) -> PathBuf {
        self.folder.path().join(FOLDER).join(format!("{}.plan", Uuid::from_u128(job)))
    }
}

#[test]
fn a_plan_is_there_after_a_restart_with_what_it_says() {
    let ground = Ground::new();
    let mut plans = ground.open();
    let id = ground.take(&mut plans, &planned(1, 3)).unwrap();
    let held = plans.held.clone();
    drop(plans);
    let mut plans = ground.open();
    assert_eq!(plans.held, held);
    assert_eq!((held[&id].schedule.as_str(), held[&id].tasks), ("nightly", 3));
    assert_eq!(held[&id].times.start, "2026-11-27T02:00:10Z".parse().unwrap());
    assert_eq!(plans.job(id, &ground.trust()).unwrap().tasks.len(), 3);
    let mode = std::fs::metadata(ground.file(1)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    plans.done(id);
    let plans = ground.open();
    assert!(plans.record.done.contains_key(&id), "a job that was done stays done");
}

#[test]
fn only_a_plan_for_this_probe_that_a_trusted_controller_signed_is_taken() {
    let ground = Ground::new();
    let mut plans = ground.open();
    let good = ground.signer.sign(&planned(1, 1));
    let mut changed = good.clone();
    *changed.body.last_mut().unwrap() ^= 1;
    let other = v1::PlannedJob { probe: Uuid::from_u128(8).as_bytes().to_vec(), ..planned(1, 1) };
    let bare = v1::Plan { signature: ground.signer.key.sign(&good.body).unwrap(), ..good.clone() };
    let endless = v1::PlannedJob { end: None, ..planned(1, 1) };
    let refused = [
        (changed, "signed"),
        (v1::Plan { signature: Vec::new(), ..good.clone() }, "signed"),
        // Without what tells it from anything else that the key signs.
        (bare, "signed"),
        (Signer::new().sign(&planned(1, 1)), "signed"),
        (ground.signer.sign(&other), "another probe"),
        (ground.signer.sign(&endless), "when it ends"),
        (ground.signer.sign(&v1::PlannedJob { job: None, ..planned(1, 1) }), "no job"),
    ];
    for (plan, why) in refused {
        let said = plans.take(&plan, &ground.trust()).unwrap_err();
        assert!(said.contains(why), "{why}: {said}");
        assert!(plans.held.is_empty() && !ground.file(1).exists());
    }
    plans.take(&good, &ground.trust()).unwrap();
}

#[test]
fn files_that_are_cut_short_or_changed_are_deleted_and_the_others_stay() {
    let ground = Ground::new();
    let whole = {
        let mut plans = ground.open();
        ground.take(&mut plans, &planned(1, 40)).unwrap();
        ground.take(&mut plans, &planned(2, 1)).unwrap();
        std::fs::read(ground.file(1)).unwrap()
    };
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(ground.file(1), &whole[..length]).unwrap();
        let plans = ground.open();
        assert_eq!(plans.held.keys().copied().collect::<Vec<_>>(), [Uuid::from_u128(2)], "{length} bytes");
        assert!(!ground.file(1).exists());
    }
    for place in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x40;
        std::fs::write(ground.file(1), bytes).unwrap();
        assert_eq!(ground.open().held.len(), 1, "byte {place}");
    }
    // Another job under this name, and what a kill leaves of a write.
    std::fs::copy(ground.file(2), ground.file(3)).unwrap();
    std::fs::write(ground.file(4).with_extension("new"), &whole).unwrap();
    std::fs::write(ground.folder.path().join(FOLDER).join("record.json"), "{\"done\": {").unwrap();
    let plans = ground.open();
    assert_eq!(plans.held.len(), 1);
    assert_eq!(plans.record.fates.iter().map(|fate| fate.what).collect::<Vec<_>>(), [What::Damaged]);
}

#[test]
fn plans_are_bounded_in_number_and_replaced_in_place() {
    let ground = Ground::new();
    let mut plans = ground.open();
    for job in 0..limits::PLANNED_JOBS as u128 {
        ground.take(&mut plans, &planned(job, 0)).unwrap();
    }
    assert!(ground.take(&mut plans, &planned(9_999, 0)).unwrap_err().contains("256 planned jobs"));
    ground.take(&mut plans, &planned(5, 2)).unwrap();
    assert_eq!(plans.held[&Uuid::from_u128(5)].tasks, 2);
    let large = v1::PlannedJob { schedule: "x".repeat(2_000), ..planned(5, 0) };
    assert!(ground.take(&mut plans, &large).unwrap_err().contains("too large"));
}

#[test]
fn what_the_controller_does_not_name_is_withdrawn() {
    let ground = Ground::new();
    let mut plans = ground.open();
    for job in 1..=3 {
        ground.take(&mut plans, &planned(job, 1)).unwrap();
    }
    plans.done(Uuid::from_u128(3));
    plans.keep_only(&HashSet::from([Uuid::from_u128(1)]));
    let plans = ground.open();
    assert_eq!(plans.held.keys().copied().collect::<Vec<_>>(), [Uuid::from_u128(1)]);
    assert!(plans.record.done.is_empty() && !ground.file(3).exists());
    let fates: Vec<_> = plans.record.fates.iter().map(|fate| (fate.job, fate.what)).collect();
    assert_eq!(fates, [(Uuid::from_u128(2), What::Withdrawn)], "what was done is not withdrawn");
}

#[test]
fn the_clock_is_compared_and_remembered() {
    let ground = Ground::new();
    let mut plans = ground.open();
    assert_eq!(plans.now(), Err(Unsure::Never));
    let ahead = Timestamp::now() + jiff::SignedDuration::from_secs(300);
    plans.compare(ahead);
    let now = ground.open().now().unwrap();
    assert!(now.duration_since(ahead).abs().as_secs() < 30, "{now}");
}
