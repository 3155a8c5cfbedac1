//! Messages of actors to actors of other nodes.

use crate::lab::{Lab, parcel};
use bytes::Bytes;
use mesh::{Error, Kind, LARGEST, Parcel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn tell_and_ask_reach_the_other_node_and_this_one() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon"]).await;
    for to in [1, 2] {
        nodes[0].handle.tell(to, parcel(Kind::Sip, "BYE")).expect("goes out");
        let answer = nodes[0].handle.ask(to, parcel(Kind::Trunk, "abc"), PATIENCE).await.expect("answers");
        assert_eq!(answer, Bytes::from_static(b"cba"));
        let refused = nodes[0].handle.ask(to, parcel(Kind::Query, ""), PATIENCE).await;
        assert!(matches!(refused, Err(Error::Refused(node)) if node == to), "{refused:?}");
    }
    // What was told before was taken before the answer was given.
    for node in &nodes {
        assert_eq!(*node.inbox.told.lock().expect("whole"), [(1, parcel(Kind::Sip, "BYE"))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_ends_with_the_askers_patience() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon"]).await;
    let asked = tokio::time::Instant::now();
    let answer = nodes[0].handle.ask(2, parcel(Kind::Checkpoint, "x"), PATIENCE).await;
    assert!(matches!(answer, Err(Error::TimedOut(2))), "{answer:?}");
    assert_eq!(asked.elapsed().as_secs(), PATIENCE.as_secs());
    // The late answer finds nobody, and harms nobody.
    nodes[1].inbox.kept.lock().expect("whole").remove(0).send(Bytes::from_static(b"late"));
    assert!(nodes[0].handle.ask(2, parcel(Kind::Trunk, "ok"), PATIENCE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_at_once() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon"]).await;
    let large = Parcel { kind: Kind::Call, body: Bytes::from(vec![0; LARGEST + 1]) };
    assert!(matches!(nodes[0].handle.tell(2, large), Err(Error::TooLarge { .. })));
    assert!(matches!(nodes[0].handle.tell(9, parcel(Kind::Sip, "x")), Err(Error::Unreachable(9))));
    let largest = Parcel { kind: Kind::Call, body: Bytes::from(vec![1; LARGEST]) };
    let answer = nodes[0].handle.ask(2, largest.clone(), PATIENCE).await.expect("the largest passes");
    assert_eq!(answer, largest.body);
}

/// A node that does not read costs the sender a bounded queue, and no other node anything: neither parcels nor leases.
#[tokio::test(start_paused = true)]
async fn a_stuck_node_hurts_nobody_else() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon", "ams"]).await;
    nodes[2].socket.close();
    let body = Bytes::from(vec![0; 64 << 10]);
    let mut full = 0;
    for _ in 0..1000 {
        let sent = nodes[0].handle.tell(3, Parcel { kind: Kind::Checkpoint, body: body.clone() });
        full += usize::from(matches!(sent, Err(Error::Full(3))));
        let asked = tokio::time::Instant::now();
        nodes[0].handle.ask(2, parcel(Kind::Trunk, "abc"), PATIENCE).await.expect("the other answers");
        assert!(asked.elapsed() < Duration::from_millis(50));
    }
    assert!(full > 500, "{full} of 1000 were refused; 16 MB may wait");
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(nodes[0].leased() && nodes[1].leased());
    }
}
