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
    std::thread::spawn(move || owner.serve(inbox));
    let spool = Spool { commands, held: watched };
    let mut held = spool.held();
    let patience = std::time::Duration::from_secs(10);
    spool.check();
    tokio::time::timeout(patience, held.changed()).await.unwrap().unwrap();
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
