//! The outbox of a process that was killed: another process, SIGKILL, and what the next one finds.

use call::CallId;
use call::record::{EndedBy, Record, Row};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip::clock::Wall;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use switch::cdr::{Handle, Options, read};
use switch::clock;

const FOLDER: &str = "KILLED_TEST_FOLDER";

fn open(dir: &Path) -> Handle {
    let (node, site) = ("fra-1".to_owned(), "fra".to_owned());
    Handle::open(Options { data_dir: dir.to_owned(), node, site, alone: true, shelf: None }).expect("opens")
}

fn row(call: u64, answered: bool) -> Box<Row> {
    let now = clock::now().wall;
    Box::new(Row {
        call: CallId { shard: 1, epoch: 1, call },
        attempt: 1,
        is_final: true,
        started: now,
        ringing: None,
        answered: answered.then_some(now),
        ended: now,
        duration_ms: 0,
        ingress_trunk: "acme".into(),
        egress_trunk: "alpha".into(),
        ingress_account: "acme".into(),
        egress_account: "alpha".into(),
        caller_in: "1".into(),
        called_in: "2".into(),
        caller_out: "1".into(),
        called_out: "2".into(),
        lrn: "".into(),
        prefix: "".into(),
        pdd_ms: None,
        sip_code: 200,
        q850: 16,
        ended_by: EndedBy::Caller,
        reason: "".into(),
        codec: "PCMA".into(),
        mos: 0.0,
        jitter_ms: 0.0,
        loss_percent: 0.0,
        takeovers: 0,
        ingress_call_id: "a".into(),
        egress_call_id: "b".into(),
    })
}

/// Above the actor of the records, as the node's tree is.
struct Root;

impl Actor for Root {
    type Msg = ();
    type State = ();
    type Arguments = Handle;

    async fn pre_start(&self, myself: ActorRef<()>, handle: Handle) -> Result<(), ActorProcessingErr> {
        handle.spawn(myself.get_cell()).await?;
        Ok(())
    }
}

/// The process that gets killed; started by the test below only. Ten calls are over, five are up.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let handle = open(&dir);
        let _root = Actor::spawn(None, Root, handle.clone()).await.expect("starts");
        for call in 0..10 {
            handle.put(&Record::Open(row(call, true))).expect("kept");
            handle.put(&Record::Close(row(call, true))).expect("kept");
        }
        for call in 10..15 {
            handle.put(&Record::Open(row(call, true))).expect("kept");
        }
        std::fs::write(dir.join("ready"), clock::now().wall.0.to_string()).expect("written");
        std::future::pending::<()>().await;
    });
}

/// Ends its process however the test ends.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn calls_that_were_up_are_closed_as_ended_by_the_switch() {
    let dir = tempfile::tempdir().expect("a folder");
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "victim"])
        .env(FOLDER, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut victim = Victim(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    let up = loop {
        let said = std::fs::read_to_string(dir.path().join("ready")).ok();
        if let Some(at) = said.and_then(|text| text.parse::<u64>().ok()) {
            break at;
        }
        assert!(Instant::now() < deadline, "the other process is not ready");
        assert!(victim.0.try_wait().expect("a child").is_none(), "the other process ended");
        std::thread::sleep(Duration::from_millis(20));
    };
    // It goes on until its heart has beaten some time after the calls were answered.
    while clock::now().wall.0 < up + 2_500 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed_at = clock::now().wall;
    drop(victim);
    finish(dir.path(), killed_at);
}

/// Opens what was left, exports it and looks.
fn finish(dir: &Path, killed_at: Wall) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let handle = open(dir);
    runtime.block_on(async {
        let (root, _) = Actor::spawn(None, Root, handle.clone()).await.expect("starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while handle.pending() > 0 {
            assert!(Instant::now() < deadline, "never exported");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        root.stop_and_wait(None, None).await.expect("stops");
    });
    let rows = read::rows(&handle.folder(), &read::Filter { limit: 1_000, ..read::Filter::default() }).expect("reads");
    let mut ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), rows.len()), (15, 15), "each call once");
    let orphans: Vec<_> = rows.iter().filter(|row| row["reason"] == "process_died").collect();
    assert_eq!(orphans.len(), 5);
    for row in orphans {
        assert_eq!((row["ended_by"].as_str(), row["final"].as_str()), ("switch", "true"));
        let seconds: u64 = row["duration_ms"].parse::<u64>().expect("a number") / 1_000;
        assert!((1..=3).contains(&seconds), "charged to the last heartbeat: {row:?}, killed at {}", killed_at.0);
    }
}
