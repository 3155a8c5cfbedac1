//! Whether the one who speaks may: who it says it is against its certificate and the tables.

use crate::lines::Me;
use crate::proto::{Identity, OLDEST_PROTOCOL, PROTOCOL};
use routing::cluster::{Cluster, Liveness};
use tonic::Status;

/// What is asked for, from the least trust to the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// To know who is here.
    Hello,
    /// Raft keeps itself safe over lives of a node, and must reach nodes whose tables are behind: a member that the tables
    /// do not know yet is taken by its certificate.
    Raft,
    /// To be heard and to hold a lease.
    Control,
    /// To send messages to actors: not while fenced, since others act for its shards.
    Parcels,
}

/// Refuses with the reason. What may be otherwise a moment later is `Unavailable`; one that is not known here is told so by
/// `NotFound`, which may be otherwise as well.
pub(crate) fn admit(
    me: &Me,
    cluster: &Cluster,
    from: &Identity,
    certificate: Option<&str>,
    purpose: Purpose,
) -> Result<(), Status> {
    check_protocol(from)?;
    check_certificate(from, certificate)?;
    if !me.cluster.is_empty() && !from.cluster.is_empty() && me.cluster != from.cluster {
        let text = format!("node {} belongs to cluster {}, this is {}", from.name, from.cluster, me.cluster);
        return Err(Status::failed_precondition(text));
    }
    if purpose == Purpose::Hello {
        return Ok(());
    }
    if me.cluster.is_empty() {
        return Err(Status::unavailable("this node has not joined a cluster yet"));
    }
    if from.cluster.is_empty() {
        return Err(Status::failed_precondition(format!(
            "node {} belongs to no cluster; let it join first",
            from.name
        )));
    }
    let Some(member) = cluster.member(from.node) else {
        return match purpose {
            Purpose::Raft => Ok(()),
            Purpose::Hello | Purpose::Control | Purpose::Parcels => Err(Status::not_found(format!(
                "node {} ({}) is not known here; it is new, or was removed",
                from.node, from.name
            ))),
        };
    };
    if *member.name != *from.name {
        let text = format!("node {} is {}, not {}", from.node, member.name, from.name);
        return Err(Status::permission_denied(text));
    }
    match purpose {
        Purpose::Hello | Purpose::Raft => Ok(()),
        Purpose::Control => check_life(from, cluster, false),
        Purpose::Parcels => check_life(from, cluster, true),
    }
}

/// Both sides must speak some protocol in common.
pub(crate) fn check_protocol(from: &Identity) -> Result<(), Status> {
    let (theirs, ours) = (from.oldest_protocol..=from.protocol, OLDEST_PROTOCOL..=PROTOCOL);
    if theirs.start() <= ours.end() && ours.start() <= theirs.end() {
        return Ok(());
    }
    let age = if theirs.start() > ours.end() { "new" } else { "old" };
    Err(Status::failed_precondition(format!(
        "node {} is too {age}: it speaks protocols {} to {}, this node {} to {}",
        from.name,
        theirs.start(),
        theirs.end(),
        ours.start(),
        ours.end()
    )))
}

/// The certificate must be for the name. Without TLS there is none, and everything is loopback.
pub(crate) fn check_certificate(from: &Identity, certificate: Option<&str>) -> Result<(), Status> {
    match certificate {
        Some(certified) if certified != from.name => Err(Status::unauthenticated(format!(
            "it says it is node {}, but its certificate is for {certified}",
            from.name
        ))),
        Some(_) | None => Ok(()),
    }
}

fn check_life(from: &Identity, cluster: &Cluster, carrying: bool) -> Result<(), Status> {
    let Some(member) = cluster.member(from.node) else { return Ok(()) };
    if from.incarnation < member.incarnation {
        let text =
            format!("node {} has begun a newer life, {}, than {}", from.name, member.incarnation, from.incarnation);
        return Err(Status::failed_precondition(text));
    }
    if carrying && member.liveness == Liveness::Fenced && from.incarnation == member.incarnation {
        return Err(Status::failed_precondition(format!(
            "node {} is fenced in this life, {}",
            from.name, from.incarnation
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::cluster::ClusterChange;
    use tonic::Code;

    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        let founder = tables::member("fra-1", "fra", "127.0.0.1:7060");
        cluster.apply(&ClusterChange::Found { id: "blue".to_owned(), secret: [1; 32], founder });
        cluster.apply(&ClusterChange::Join(tables::member("lon-1", "lon", "127.0.0.2:7060")));
        let again = routing::cluster::Member { id: 2, ..tables::member("lon-1", "lon", "127.0.0.2:7060") };
        cluster.apply(&ClusterChange::Start(again));
        cluster
    }

    fn lon(incarnation: u64) -> Identity {
        Identity {
            protocol: PROTOCOL,
            oldest_protocol: OLDEST_PROTOCOL,
            cluster: "blue".to_owned(),
            node: 2,
            name: "lon-1".to_owned(),
            incarnation,
        }
    }

    fn told(from: &Identity, certificate: Option<&str>, purpose: Purpose) -> Result<(), Code> {
        let me = Me { cluster: "blue".to_owned(), node: 1, incarnation: 1 };
        admit(&me, &cluster(), from, certificate, purpose).map_err(|status| status.code())
    }

    #[test]
    fn an_older_life_may_only_speak_raft() {
        assert_eq!(told(&lon(2), None, Purpose::Parcels), Ok(()));
        assert_eq!(told(&lon(3), None, Purpose::Parcels), Ok(()), "the tables may be behind");
        for purpose in [Purpose::Control, Purpose::Parcels] {
            assert_eq!(told(&lon(1), None, purpose), Err(Code::FailedPrecondition));
        }
        assert_eq!(told(&lon(1), None, Purpose::Raft), Ok(()));
    }

    #[test]
    fn a_fenced_life_sends_no_parcels() {
        let mut cluster = cluster();
        cluster.apply(&ClusterChange::Fence { node: 2, incarnation: 2 });
        let me = Me { cluster: "blue".to_owned(), node: 1, incarnation: 1 };
        admit(&me, &cluster, &lon(2), None, Purpose::Parcels).expect_err("fenced");
        admit(&me, &cluster, &lon(2), None, Purpose::Control).expect("still heard");
        admit(&me, &cluster, &lon(3), None, Purpose::Parcels).expect("its next life is not fenced");
    }

    #[test]
    fn name_certificate_cluster_and_protocol_must_fit() {
        assert_eq!(told(&lon(2), Some("lon-1"), Purpose::Raft), Ok(()));
        assert_eq!(told(&lon(2), Some("fra-1"), Purpose::Hello), Err(Code::Unauthenticated));
        let other = Identity { cluster: "red".to_owned(), ..lon(2) };
        assert_eq!(told(&other, None, Purpose::Raft), Err(Code::FailedPrecondition));
        let renamed = Identity { name: "lon-9".to_owned(), ..lon(2) };
        assert_eq!(told(&renamed, None, Purpose::Raft), Err(Code::PermissionDenied));
        let newer = Identity { protocol: PROTOCOL + 9, oldest_protocol: PROTOCOL + 1, ..lon(2) };
        assert_eq!(told(&newer, None, Purpose::Hello), Err(Code::FailedPrecondition));
        let bridging = Identity { protocol: PROTOCOL + 9, ..lon(2) };
        assert_eq!(told(&bridging, None, Purpose::Hello), Ok(()));
    }

    #[test]
    fn one_that_the_tables_do_not_know_may_only_speak_raft() {
        let stranger = Identity { node: 9, name: "new-1".to_owned(), ..lon(1) };
        assert_eq!(told(&stranger, None, Purpose::Raft), Ok(()));
        assert_eq!(told(&stranger, None, Purpose::Control), Err(Code::NotFound));
    }
}
