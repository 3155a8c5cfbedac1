//! Whatever comes to the port of the mesh: it is refused with the reason and counted, and harms nobody meanwhile.
//!
//! Without TLS, which takes everything to be on this machine, anybody may speak; with it nobody comes so far.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::agent::Waits;
use tests::cluster::Member;
use tests::process::{report, wait_until};
use tests::{Agent, Cluster, Lab};
use tokio::sync::mpsc::{Sender, channel};
use tonic::{Code, Status};

use crate::calls::wide;
use crate::distance::steady;
use crate::raw::{
    Answers, Ask, CONTROL, Control, HELLO, Heartbeat, Hello, Identity, PARCELS, Parcels, RAFT, RaftMessage, RaftReply,
    Raw, Release, ReleasedShard, join, nobody,
};

const WAIT: Duration = Duration::from_secs(4);
/// A connection that says nothing sensible is closed within this.
const CLOSED: Duration = Duration::from_secs(8);
/// More than a node takes at once.
const CONNECTIONS: usize = 700;
const STREAMS: usize = 400;
/// More than a message of gRPC may have.
const TOO_LARGE: usize = 5 << 20;
/// By how much the abused node may grow, in MB: what all limits allow together is more than it takes here.
const GROWTH: u64 = 150;
/// How HTTP/2 begins, with empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn refused(node: &Member, reason: &str) -> f64 {
    node.metric("tandem_mesh_refused_total", &format!("reason=\"{reason}\""))
}

/// In MB.
fn memory(node: &Member) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process_id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a process has memory");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") / 1024
}

/// Whether the node closes it, having read what it wants of these bytes.
#[track_caller]
fn is_closed_after(node: &Member, bytes: &[u8]) {
    let mut stream = TcpStream::connect(node.node().mesh).expect("it listens");
    stream.set_read_timeout(Some(CLOSED)).expect("a time-out can be set");
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("still open {CLOSED:?} after {:?}…", &bytes[..bytes.len().min(40)]);
            }
            Err(_) => return,
        }
    }
}

/// Bytes that mean nothing, the same in every run.
fn garbage(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(step).collect()
}

/// No HTTP/2, HTTP/2 that breaks off its rules, and a frame of 16 MB.
fn no_grpc(node: &Member) {
    for seed in 0..8 {
        is_closed_after(node, &garbage(seed, 1 << 16));
        is_closed_after(node, &[PREFACE, &garbage(seed, 1 << 16)].concat());
    }
    is_closed_after(node, &[PREFACE, b"\xff\xff\xff\0\0\0\0\0\x01", &garbage(1, 1 << 20)].concat());
    is_closed_after(node, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
}

#[track_caller]
fn is(told: &Status, code: Code, words: &str) {
    assert!(told.code() == code && told.message().contains(words), "{code:?} with `{words}` expected: {told:?}");
}

/// gRPC of someone who is not who it says it is.
async fn strangers(raw: &Raw, lon: &Identity) {
    let nothing = raw.ask::<Hello, Hello>("/tandem.v1.Mesh/Nothing", Hello::default()).await.expect_err("no such call");
    is(&nothing, Code::Unimplemented, "");
    let nothing = raw.ask::<Hello, Hello>("/nobody.v9.Other/Hello", Hello::default()).await.expect_err("no such thing");
    is(&nothing, Code::Unimplemented, "");
    let long = Identity { name: "x".repeat(TOO_LARGE), ..nobody() };
    let large =
        raw.ask::<Hello, Hello>(HELLO, Hello { from: Some(long), news: Vec::new() }).await.expect_err("too large");
    is(&large, Code::OutOfRange, "too large");
    let other = Identity { cluster: "0123".to_owned(), ..lon.clone() };
    is(&raw.hello(other).await.expect_err("another cluster"), Code::FailedPrecondition, "belongs to cluster 0123");
    let open = async |me: Identity, path: &'static str| {
        let (to, sent) = channel(1);
        to.send(Control { opening: Some(me), ..Control::default() }).await.expect("room");
        raw.stream::<Control, Control>(path, sent).await.map(drop)
    };
    for path in [CONTROL, PARCELS] {
        let older = Identity { incarnation: 0, ..lon.clone() };
        is(&open(older, path).await.expect_err("an older life"), Code::FailedPrecondition, "newer life");
        let renamed = Identity { name: "ams-1".to_owned(), ..lon.clone() };
        is(&open(renamed, path).await.expect_err("another's number"), Code::PermissionDenied, "is lon-1, not ams-1");
        let unknown = Identity { node: 99, name: "x".to_owned(), ..lon.clone() };
        is(&open(unknown, path).await.expect_err("no member"), Code::NotFound, "not known");
        is(&open(nobody(), path).await.expect_err("of no cluster"), Code::FailedPrecondition, "no cluster");
    }
    for call in 0..8 {
        let message = RaftMessage { from: Some(lon.clone()), call, body: garbage(u64::from(call), 5_000) };
        raw.ask::<_, RaftReply>(RAFT, message).await.expect_err("garbage is no message of Raft");
    }
}

/// One of the cluster that asks for much and never reads an answer: it is cut off, or its answers are dropped.
async fn never_reads(node: &Member, me: &Identity) {
    let full = |queue: &str| node.metric("tandem_queue_full_total", &format!("queue=\"{queue}\""));
    let raw = Raw::to(node).await.expect("it listens");
    let (to, sent): (Sender<Control>, _) = channel(64);
    to.send(Control { opening: Some(me.clone()), ..Control::default() }).await.expect("room");
    // A shard that is not its own, and an epoch that never was.
    let shards = (0..1024).map(|shard| ReleasedShard { shard, epoch: 1 << 20 }).collect();
    to.send(Control { release: Some(Release { shards }), ..Control::default() }).await.expect("room");
    let unread = raw.stream::<_, Control>(CONTROL, sent).await.expect("it is admitted");
    let mut sent_us = 0;
    while full("mesh_control") < 1.0 {
        for _ in 0..5_000 {
            sent_us += 1;
            let beat = Control { heartbeat: Some(Heartbeat { sent_us, news: 0 }), ..Control::default() };
            if tokio::time::timeout(Duration::from_secs(1), to.send(beat)).await.is_err() {
                break;
            }
        }
        assert!(sent_us < 2_000_000, "what is not read is kept somewhere");
    }
    drop(unread);
    let raw = Raw::to(node).await.expect("it listens");
    let (to, sent): (Sender<Parcels>, _) = channel(64);
    to.send(Parcels { opening: Some(me.clone()), ..Parcels::default() }).await.expect("room");
    let unread = raw.stream::<_, Answers>(PARCELS, sent).await.expect("it is admitted");
    let mut id = 0;
    while full("mesh") < 1.0 {
        for _ in 0..5_000 {
            id += 1;
            let ask = Ask { id, kind: 6, body: garbage(id, 200) };
            to.send(Parcels { ask: Some(ask), ..Parcels::default() }).await.expect("asks are taken");
        }
        assert!(id < 500_000, "what is not read is kept somewhere");
    }
    drop(unread);
    report(&format!("{sent_us} heartbeats and {id} questions, of which no answer was read"));
}

/// Streams that are opened and say nothing: each is ended, though its connection stands.
async fn mute_streams(raw: &Raw) {
    let open = |_| {
        let raw = raw.clone();
        tokio::spawn(async move {
            let (held, sent) = channel::<Control>(1);
            let told = raw.stream::<Control, Control>(CONTROL, sent).await;
            drop(held);
            told.map(drop)
        })
    };
    let streams: Vec<_> = (0..STREAMS).map(open).collect();
    for stream in streams {
        let told = tokio::time::timeout(Duration::from_secs(30), stream).await.expect("it ends").expect("no fault");
        is(&told.expect_err("it was never opened"), Code::DeadlineExceeded, "opening");
    }
}

/// More connections than there are places, none of which says anything: a node that comes back finds a place soon.
async fn mute_connections(node: &Member) {
    let full = refused(node, "connections");
    let held: Vec<_> = (0..CONNECTIONS).filter_map(|_| TcpStream::connect(node.node().mesh).ok()).collect();
    wait_until("some are refused", WAIT, || refused(node, "connections") > full);
    let began = Instant::now();
    loop {
        let hello = async { Raw::to(node).await.ok()?.hello(nobody()).await.ok() };
        if let Ok(Some(_)) = tokio::time::timeout(Duration::from_secs(1), hello).await {
            break;
        }
        assert!(began.elapsed() < CLOSED, "no place for anybody while {} connections say nothing", held.len());
    }
    report(&format!("{} mute connections: a place for another after {:?}", held.len(), began.elapsed()));
}

async fn abuse(cluster: &Cluster<'_>, lab: &Lab) {
    let (node, leader) = (cluster.member("fra-1"), cluster.leader().expect("somebody leads"));
    let raw = Raw::to(node).await.expect("it listens");
    let lon = Raw::to(cluster.member("lon-1")).await.expect("it listens").hello(nobody()).await.expect("who it is");
    let before = memory(node);
    no_grpc(node);
    strangers(&raw, &lon).await;
    let leader = Raw::to(cluster.member(&leader)).await.expect("it listens");
    let at = format!("{}:7060", lab.host(241));
    let reused = join(&leader, "lon-1", &at).await.refused.expect("the name is taken");
    assert_eq!(reused.reason, 2, "{reused:?}");
    let joined = join(&leader, "rude-1", &at).await.joined.expect("it is taken");
    let me = Identity {
        cluster: joined.cluster,
        node: joined.node,
        name: "rude-1".to_owned(),
        incarnation: joined.incarnation,
        ..nobody()
    };
    let known = async || raw.hello(me.clone()).await.is_ok() && cluster.member("fra-1").sees("rude-1").is_some();
    while !known().await {}
    never_reads(node, &me).await;
    mute_streams(&raw).await;
    mute_connections(node).await;
    for (reason, times) in [("admission", 9.0), ("unknown_call", 3.0), ("garbled", 3.0)] {
        assert!(refused(node, reason) >= times, "refused as {reason}: {}", refused(node, reason));
    }
    let after = memory(node);
    report(&format!("the abused node had {before} MB before and {after} MB after it"));
    assert!(after < before + GROWTH, "it has grown from {before} MB to {after} MB");
}

/// Calls and changes at every node until it is over; how long calls took.
#[track_caller]
fn meanwhile(cluster: &Cluster<'_>, pbx: &Agent, ended: &AtomicBool) -> Waits {
    let mut waits = Waits::default();
    while !ended.load(Ordering::Relaxed) {
        for member in cluster.members() {
            let text = format!("[[account]]\nname = \"of-{}\"\ncurrency = \"EUR\"\n", waits.waits.len());
            let taken = member.put_tables(&text);
            assert!(taken.is_ok(), "a change at {}: {taken:?}\n{}", member.name(), cluster.logs());
            let (began, node) = (Instant::now(), member.sip());
            let call = pbx.dial(&node, "4420123456", WAIT);
            waits.waits.push(began.elapsed());
            let call = call.unwrap_or_else(|code| panic!("{}: {code}\n{}", member.name(), cluster.logs()));
            assert_eq!(pbx.ask(&call, "BYE", &node).map(|(code, _)| code), Some(200));
        }
    }
    waits.waits.sort_unstable();
    waits
}

#[test]
fn whatever_comes_to_the_port_of_the_mesh_harms_nobody() {
    let lab = Lab::shared();
    let (cluster, pbx, _carrier) = wide(&lab);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| steady(&cluster, Duration::ZERO, &ended));
        let calls = scope.spawn(|| meanwhile(&cluster, &pbx, &ended));
        let abuser = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(abuse(&cluster, &lab));
        });
        let abused = abuser.join();
        ended.store(true, Ordering::Relaxed);
        let (waits, least) = (calls.join().expect("calls and changes go on"), watch.join().expect("nobody is harmed"));
        assert!(abused.is_ok(), "everything is refused as it should be");
        report(&format!("setups and changes meanwhile: {waits}; no lease had less than {least} ms left"));
    });
}
