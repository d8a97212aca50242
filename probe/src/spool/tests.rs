use super::*;

fn observation(job: Uuid, task: u32) -> v1::Observation {
    v1::Observation { job: job.as_bytes().to_vec(), task, ..Default::default() }
}

async fn settled(spool: &Spool, rows: u64) -> Held {
    let mut held = spool.held();
    let wait = held.wait_for(|h| h.rows == rows);
    tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.unwrap().unwrap().clone()
}

#[tokio::test]
async fn what_is_not_forgotten_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let job = Uuid::new_v4();
    let spool = Spool::open(dir.path()).unwrap();
    for task in 0..10 {
        spool.append(observation(job, task)).await;
    }
    let held = settled(&spool, 10).await;
    assert_eq!(held.jobs.get(&job), Some(&10));
    let first: Vec<u64> = spool.after(0, 4).await.unwrap().iter().map(|(n, _)| *n).collect();
    spool.forget(first.clone()).await;
    settled(&spool, 6).await;
    drop(spool);

    let spool = reopen(dir.path()).await;
    let left = spool.after(0, 100).await.unwrap();
    assert_eq!(left.iter().map(|(_, o)| o.task).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
    spool.append(observation(job, 10)).await;
    let held = settled(&spool, 7).await;
    assert!(first.iter().all(|n| *n < held.last), "numbers are never given twice while rows remain");
}

/// The thread of the old spool lets go of the file a moment after the handle.
async fn reopen(state: &Path) -> Spool {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match Spool::open(state) {
            Ok(spool) => return spool,
            Err(error) if std::time::Instant::now() > deadline => panic!("still locked: {error}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), b"this is not a database, but it is long enough to look like one")
        .unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.held().borrow().rows, 0);
    let names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|n| n.contains("damaged")), "{names:?}");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_told_of_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("away");
    let (commands, inbox) = mpsc::channel(1);
    let held = Held { failure: Some("No space left".to_owned()), ..Held::default() };
    let (news, watched) = watch::channel(held.clone());
    let owner = Owner { state: state.clone(), database: None, held, news };
    let report = report::Report::begin(dir.path(), &owner.held);
    std::thread::spawn(move || owner.serve(inbox, report));
    let spool = Spool { commands, held: watched };
    let mut held = spool.held();
    let patience = std::time::Duration::from_secs(10);
    spool.check();
    // Asked after it, and so answered after it.
    assert!(spool.after(0, 1).await.is_err());
    assert_eq!(held.borrow_and_update().failure.as_deref(), Some("No space left"));
    std::fs::create_dir(&state).unwrap();
    spool.check();
    let well = held.wait_for(|held| held.failure.is_none());
    tokio::time::timeout(patience, well).await.unwrap().unwrap();
    assert!(state.join(FILE).exists());
}

#[tokio::test]
async fn one_process_per_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _spool = Spool::open(dir.path()).unwrap();
    assert!(Spool::open(dir.path()).unwrap_err().to_string().contains("another"));
}

fn at(second: i64, job: Uuid, task: u32) -> v1::Observation {
    let observed_at = Some(prost_types::Timestamp { seconds: second, nanos: 0 });
    v1::Observation { observed_at, ..observation(job, task) }
}

/// A spool of ten observations, as a kill leaves it.
async fn ten(state: &Path, job: Uuid) -> Vec<u8> {
    let spool = Spool::open(state).unwrap();
    for task in 0..10 {
        spool.append(at(1_000 + i64::from(task), job, task)).await;
    }
    settled(&spool, 10).await;
    // What is on the disk while the file is open is what is there after a kill.
    std::fs::read(state.join(FILE)).unwrap()
}

#[tokio::test]
async fn a_file_that_is_cut_short_or_changed_never_keeps_the_probe_from_starting() {
    let (dir, job) = (tempfile::tempdir().unwrap(), Uuid::new_v4());
    let bytes = ten(dir.path(), job).await;
    let killed = tempfile::tempdir().unwrap();
    std::fs::write(killed.path().join(FILE), &bytes).unwrap();
    let spool = Spool::open(killed.path()).unwrap();
    assert_eq!(spool.after(0, 100).await.unwrap().len(), 10, "nothing is lost by a kill");
    assert_eq!(spool.tasks(job).await.unwrap(), (0..10).collect());
    assert!(spool.tasks(Uuid::new_v4()).await.unwrap().is_empty());

    let cuts = (0..bytes.len()).step_by(bytes.len() / 40).map(|length| bytes[..length].to_vec());
    let changes = (0..bytes.len()).step_by(bytes.len() / 80).map(|place| {
        let mut bytes = bytes.clone();
        // A page that the disk lost.
        bytes[place..].iter_mut().take(512).for_each(|byte| *byte = 0xa5);
        bytes
    });
    for (number, damaged) in cuts.chain(changes).enumerate() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), damaged).unwrap();
        let spool = Spool::open(dir.path()).unwrap_or_else(|error| panic!("{number}: {error:#}"));
        let before = spool.held().borrow().rows;
        assert!(before <= 10, "{number}");
        spool.append(observation(job, 99)).await;
        // It goes on, be it with what was there or with a new file.
        let mut held = spool.held();
        let wait = held.wait_for(|h| h.jobs.contains_key(&job) && (h.rows > before || h.dropped > 0));
        tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.unwrap().unwrap();
    }
}

/// What is told once nobody has the spool open any more: its writer ends a moment after the last handle is dropped.
async fn depth_without_agent(dir: &Path) -> report::Depth {
    let closed = async {
        loop {
            let depth = report::depth(dir).unwrap();
            if depth.agent.is_none() {
                return depth;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("the spool is closed")
}

#[tokio::test]
async fn what_is_too_old_is_dropped_and_counted_for_good() {
    let (dir, job) = (tempfile::tempdir().unwrap(), Uuid::new_v4());
    drop(ten(dir.path(), job).await);
    let spool = reopen(dir.path()).await;
    assert_eq!(spool.held().borrow().oldest, Some(1_000));
    spool.expire(jiff::Timestamp::from_second(1_004)).await;
    let held = settled(&spool, 6).await;
    assert_eq!((held.expired, held.dropped, held.oldest), (4, 0, Some(1_004)));
    drop(spool);
    let depth = depth_without_agent(dir.path()).await;
    assert_eq!((depth.observations, depth.dropped_old, depth.jobs), (6, 4, 1));
}

#[tokio::test]
async fn the_depth_can_be_read_while_the_spool_is_open_and_after() {
    let (dir, job) = (tempfile::tempdir().unwrap(), Uuid::new_v4());
    assert!(report::depth(dir.path()).unwrap_err().to_string().contains("sekisho-probe run"));
    let spool = Spool::open(dir.path()).unwrap();
    let depth = report::depth(dir.path()).unwrap();
    assert_eq!((depth.observations, depth.agent), (0, Some(std::process::id())));
    spool.append(at(1_000, job, 1)).await;
    settled(&spool, 1).await;
    drop(spool);
    let depth = depth_without_agent(dir.path()).await;
    assert_eq!((depth.observations, depth.oldest), (1, jiff::Timestamp::from_second(1_000).ok()));
}
