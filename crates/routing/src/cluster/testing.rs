//! Clusters for the tests of this folder.

use super::{Cluster, ClusterChange, Liveness, Member, Outcome, balance};

/// A node as it describes itself.
pub(super) fn member(name: &str, site: &str, witness: bool) -> Member {
    Member {
        id: 0,
        name: name.into(),
        site: site.into(),
        mesh: "127.0.0.1:7000".into(),
        http: "127.0.0.1:8000".into(),
        sip: vec!["127.0.0.1:5060".into()],
        witness,
        incarnation: 0,
        liveness: Liveness::Up,
        protocol: 1,
    }
}

/// Applies a change that must be made.
pub(super) fn make(cluster: &mut Cluster, change: &ClusterChange) {
    let outcome = cluster.apply(change);
    assert!(matches!(outcome, Outcome::Done { .. }), "{change:?}: {outcome:?}");
}

/// Nodes 1, 2, … of these sites; a site that begins with `w` holds a witness. Nothing is balanced yet.
pub(super) fn cluster(sites: &[&str]) -> Cluster {
    let mut cluster = Cluster::default();
    for (at, site) in sites.iter().enumerate() {
        let node = member(&format!("node-{}", at + 1), site, site.starts_with('w'));
        let change = if at == 0 {
            ClusterChange::Found { id: "lab".to_owned(), secret: [7; 32], founder: node }
        } else {
            ClusterChange::Join(node)
        };
        make(&mut cluster, &change);
    }
    cluster
}

/// Balances until there is nothing left to do; how many steps it took.
pub(super) fn settle(cluster: &mut Cluster) -> usize {
    for round in 0..2000 {
        let moves = balance(cluster);
        if moves.is_empty() {
            return round;
        }
        make(cluster, &ClusterChange::Place(moves));
    }
    panic!("balancing does not end");
}
