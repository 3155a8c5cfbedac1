//! A node of a release to come speaks to one of today: what is not known is ignored or refused and counted, the rest is heard.

use std::time::Duration;

use tests::cluster::Member;
use tests::process::wait_until;
use tests::{Cluster, Lab};
use tokio::sync::mpsc::{Sender, channel};
use tonic::Streaming;

use crate::raw::{
    Answers, Ask, CONTROL, Control, Heartbeat, Identity, PARCELS, Parcels, RAFT, RaftMessage, RaftReply, Raw, Tell,
    join, nobody,
};

/// A kind of parcel, a call of Raft and a protocol that nobody has thought of yet.
const KIND: u32 = 200;
const CALL: u32 = 77;
const PROTOCOL: u32 = 9;
/// How long an answer may take.
const SOON: Duration = Duration::from_secs(5);

/// One node, and how often it has refused for this reason.
fn refused(node: &Member, reason: &str) -> f64 {
    node.metric("tandem_mesh_refused_total", &format!("reason=\"{reason}\""))
}

#[track_caller]
fn wait_refused(node: &Member, reason: &str, times: f64) {
    wait_until(&format!("{times} refused as {reason}"), SOON, || refused(node, reason) >= times);
}

async fn next<T>(stream: &mut Streaming<T>) -> T {
    let next = tokio::time::timeout(SOON, stream.message()).await.expect("it comes soon");
    next.expect("the stream stands").expect("it has not ended")
}

#[tokio::test]
async fn a_newer_peer_is_heard_as_far_as_it_is_understood() {
    let lab = Lab::shared();
    let mut cluster = Cluster::new(&lab, topology::bundled::three_sites().expect("valid"));
    cluster.restart("fra-1");
    let node = cluster.member("fra-1");
    let raw = Raw::to(node).await.expect("it listens");
    wait_until("it leads", SOON, || cluster.leader().as_deref() == Some("fra-1"));
    // It says more of itself than is known, and speaks newer protocols too.
    let newer = Identity { protocol: PROTOCOL, news: "more of me".to_owned(), ..nobody() };
    assert_eq!(raw.hello(newer.clone()).await.expect("it is heard").name, "fra-1");
    let only = Identity { oldest_protocol: PROTOCOL, ..newer.clone() };
    let too_new = raw.hello(only).await.expect_err("nothing is spoken by both");
    assert!(too_new.message().contains("too new"), "{too_new}");
    let joined = join(&raw, "new-1", &format!("{}:7060", lab.host(241))).await.joined.expect("it is taken");
    let me = Identity {
        cluster: joined.cluster,
        node: joined.node,
        name: "new-1".to_owned(),
        incarnation: joined.incarnation,
        ..newer
    };
    let strange = RaftMessage { from: Some(me.clone()), call: CALL, body: b"x".to_vec() };
    let strange = raw.ask::<_, RaftReply>(RAFT, strange).await.expect_err("no such call");
    assert_eq!(strange.code(), tonic::Code::Unimplemented, "{strange}");
    wait_refused(node, "unknown_call", 1.0);
    control(node, &raw, &me).await;
    parcels(node, &raw, &me).await;
}

/// A frame that is not known is counted and skipped; a field that is not known does not hide the others.
async fn control(node: &Member, raw: &Raw, me: &Identity) {
    let before = refused(node, "unknown_frame");
    let (to, sent): (Sender<Control>, _) = channel(16);
    let beat = |sent_us| Heartbeat { sent_us, news: 7 };
    to.send(Control { opening: Some(me.clone()), ..Control::default() }).await.expect("room");
    to.send(Control { news: Some(beat(1)), ..Control::default() }).await.expect("room");
    to.send(Control { heartbeat: Some(beat(2)), ..Control::default() }).await.expect("room");
    let mut heard: Streaming<Control> = raw.stream(CONTROL, sent).await.expect("it is admitted");
    assert_eq!(next(&mut heard).await.opening.expect("the first").name, "fra-1");
    assert_eq!(next(&mut heard).await.heartbeat.map(|echo| echo.sent_us), Some(2), "the stream goes on after it");
    wait_refused(node, "unknown_frame", before + 1.0);
}

/// A kind that is not known is counted, and refused where an answer is waited for; the next one is heard.
async fn parcels(node: &Member, raw: &Raw, me: &Identity) {
    let before = refused(node, "unknown_frame");
    let (to, sent): (Sender<Parcels>, _) = channel(16);
    let body = || br#"{"v":1}"#.to_vec();
    to.send(Parcels { opening: Some(me.clone()), ..Parcels::default() }).await.expect("room");
    to.send(Parcels { news: Some(Heartbeat::default()), ..Parcels::default() }).await.expect("room");
    to.send(Parcels { tell: Some(Tell { kind: KIND, body: body() }), ..Parcels::default() }).await.expect("room");
    for id in [1, 2] {
        to.send(Parcels { ask: Some(Ask { id, kind: KIND, body: body() }), ..Parcels::default() }).await.expect("room");
    }
    let mut heard: Streaming<Answers> = raw.stream(PARCELS, sent).await.expect("it is admitted");
    assert_eq!(next(&mut heard).await.opening.expect("the first").name, "fra-1");
    for id in [1, 2] {
        let answer = next(&mut heard).await.answer.expect("an answer");
        assert!(answer.id == id && answer.refused, "{answer:?}");
    }
    wait_refused(node, "unknown_kind", 3.0);
    wait_refused(node, "unknown_frame", before + 1.0);
}
