//! Clusters and moments for the tests of this crate.

use routing::cluster::{Cluster, ClusterChange, Liveness, Member, NodeId, Outcome, balance};
use sip::clock::Instant;

/// A moment, in milliseconds.
pub(crate) const fn at(ms: u64) -> Instant {
    Instant::from_micros(1_000_000_000 + ms * 1000)
}

/// A node as it describes itself; in a site that begins with `w` it is a witness.
pub(crate) fn member(id: NodeId, site: &str) -> Member {
    Member {
        id,
        name: format!("node-{id}").into(),
        site: site.into(),
        mesh: format!("127.0.0.{id}:7000").into(),
        http: "".into(),
        sip: vec![format!("127.0.0.{id}:5060").into()],
        witness: site.starts_with('w'),
        incarnation: 1,
        liveness: Liveness::Up,
        protocol: 1,
    }
}

/// Makes a change that must be possible.
pub(crate) fn make(cluster: &mut Cluster, change: &ClusterChange) {
    let outcome = cluster.apply(change);
    assert!(matches!(outcome, Outcome::Done { .. }), "{change:?}: {outcome:?}");
}

/// Nodes 1, 2, … of these sites. Node 1 owns every shard.
pub(crate) fn founded(sites: &[&str]) -> Cluster {
    let mut cluster = Cluster::default();
    for (id, site) in (1..).zip(sites) {
        let node = member(id, site);
        let change = if id == 1 {
            ClusterChange::Found { id: "lab".to_owned(), secret: [7; 32], founder: node }
        } else {
            ClusterChange::Join(node)
        };
        make(&mut cluster, &change);
    }
    cluster
}

/// The same, with the shards spread.
pub(crate) fn balanced(sites: &[&str]) -> Cluster {
    let mut cluster = founded(sites);
    while let Some(moves) = Some(balance(&cluster)).filter(|moves| !moves.is_empty()) {
        make(&mut cluster, &ClusterChange::Place(moves));
    }
    cluster
}
