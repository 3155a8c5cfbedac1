//! The cluster as this node sees it: what is replicated, and beside it what only a glimpse at each node can tell.

use super::Board;
use console::{Problem, api};
use routing::Cluster;
use routing::cluster::{ClusterChange, Liveness, Member, NodeId, Outcome, Stale};
use std::collections::BTreeSet;
use tables::Leadership;

/// What is not replicated of a node.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Glimpse {
    /// It is not heard.
    pub down: bool,
    /// What is left of its lease.
    pub lease_remaining_ms: Option<u64>,
    /// To it and back.
    pub rtt_ms: Option<f64>,
    /// What it says of itself.
    pub node: Option<api::Node>,
}

impl Board {
    /// This node, for the list of nodes.
    pub(super) fn node(&self) -> api::Node {
        api::Node {
            name: self.name.clone(),
            site: self.site.clone(),
            state: "up".to_owned(),
            calls: self.shell.calls.directory.len() as u64,
            registrations: self.shell.contacts.len() as u64,
            relay_sessions: self.shell.relay.gauges().sessions,
            revision: self.shell.tables.revision(),
            started: self.started.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The cluster. A leader is sure of its quorum; whoever follows has one while it knows its leader, and that is not dead.
    pub(super) async fn seen(&self) -> api::Cluster {
        let tables = &self.shell.tables;
        let leadership = tables.leadership().borrow().clone();
        let leader = leadership.leader.as_ref().map(|(id, _)| *id).filter(|id| !self.shell.cluster.is_dead(*id));
        let quorum = if leadership.me { tables.leads().await } else { leader.is_some() };
        let cluster = tables.cluster();
        let name = |id: NodeId| cluster.member(id).map(|member| member.name.to_string());
        let glimpse = |member: &Member| {
            let me = *member.name == *self.name;
            Glimpse { node: me.then(|| self.node()), ..Glimpse::default() }
        };
        api::Cluster {
            id: cluster.id.clone(),
            me: self.name.clone(),
            leader: leader.and_then(name),
            term: leadership.term,
            revision: tables.revision(),
            quorum,
            nodes: members(&cluster, &leadership, &tables.voters(), glimpse),
        }
    }

    /// Removes a member that has died or was emptied.
    pub(super) async fn take_out(&self, name: &str) -> Result<(), Problem> {
        let tables = &self.shell.tables;
        let Some(id) = tables.cluster().member_named(name).map(|member| member.id) else {
            let mend = "`tandem cluster status` lists its nodes";
            return Err(Problem::new(404, format!("there is no node `{name}` in the cluster")).mend(mend));
        };
        if *name == *self.name {
            let what = format!("`{name}` is the node that was asked, and takes part");
            return Err(Problem::new(409, what).mend("stop it, then ask another node"));
        }
        match tables.change_cluster(ClusterChange::Remove(id)).await? {
            Outcome::Done { .. } => Ok(()),
            Outcome::Stale(stale) => Err(not_removed(name, &stale)),
        }
    }
}

fn not_removed(name: &str, stale: &Stale) -> Problem {
    let Stale::Owns(_, shards) = stale else { return Problem::new(409, stale.to_string()) };
    Problem::new(409, format!("`{name}` still acts for {shards} shards"))
        .mend("stop it, and ask again when its shards are with the others: within seconds")
}

/// The members by name.
pub(super) fn members(
    cluster: &Cluster,
    leadership: &Leadership,
    voters: &BTreeSet<NodeId>,
    glimpse: impl Fn(&Member) -> Glimpse,
) -> Vec<api::Member> {
    let leader = leadership.leader.as_ref().map(|(id, _)| *id);
    let mut shown: Vec<api::Member> = cluster
        .members()
        .values()
        .map(|member| {
            let role = match () {
                () if leader == Some(member.id) => "leader",
                () if member.witness => "witness",
                () if voters.contains(&member.id) => "voter",
                () => "learner",
            };
            shown(cluster, member, role, glimpse(member))
        })
        .collect();
    shown.sort_by(|one, other| one.name.cmp(&other.name));
    shown
}

fn shown(cluster: &Cluster, member: &Member, role: &str, glimpse: Glimpse) -> api::Member {
    let state = match (member.liveness, glimpse.down) {
        (Liveness::Fenced, _) => "fenced",
        (Liveness::Up | Liveness::Draining, true) => "down",
        (Liveness::Draining, false) => "draining",
        (Liveness::Up, false) => "up",
    };
    let count = |of: fn(&routing::cluster::Shard) -> Option<NodeId>| {
        let count = cluster.shards().iter().filter(|shard| of(shard) == Some(member.id)).count();
        u16::try_from(count).unwrap_or(u16::MAX)
    };
    let Glimpse { lease_remaining_ms, rtt_ms, node, .. } = glimpse;
    api::Member {
        name: member.name.to_string(),
        site: member.site.to_string(),
        state: state.to_owned(),
        role: role.to_owned(),
        shards_owned: count(|shard| shard.owner),
        shards_backup: count(|shard| shard.backup),
        lease_remaining_ms,
        rtt_ms,
        calls: node.as_ref().map(|node| node.calls),
        registrations: node.as_ref().map(|node| node.registrations),
        relay_sessions: node.as_ref().map(|node| node.relay_sessions),
        revision: node.as_ref().map(|node| node.revision),
        version: node.map(|node| node.version),
        address: member.mesh.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::cluster::Move;

    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        let founder = tables::member("fra-1", "fra", "127.0.1.1:7060");
        let found = ClusterChange::Found { id: "x".to_owned(), secret: [1; 32], founder };
        let join = |name: &str| ClusterChange::Join(tables::member(name, "lon", "127.0.2.1:7060"));
        for change in [found, join("lon-1"), join("ams-1")] {
            assert!(matches!(cluster.apply(&change), Outcome::Done { .. }));
        }
        let step = Move { shard: 7, epoch: cluster.shard(7).epoch, owner: Some(2), backup: Some(1) };
        assert!(matches!(cluster.apply(&ClusterChange::Place(vec![step])), Outcome::Done { .. }));
        cluster
    }

    #[test]
    fn members_stand_with_their_shards_roles_and_what_is_known_of_them() {
        let mut cluster = cluster();
        assert!(matches!(cluster.apply(&ClusterChange::Fence { node: 3, incarnation: 1 }), Outcome::Done { .. }));
        let leadership = Leadership { leader: Some((1, String::new())), ..Leadership::default() };
        let glimpse = |member: &Member| match member.id {
            1 => Glimpse { node: Some(api::Node { calls: 4, ..api::Node::default() }), ..Glimpse::default() },
            _ => Glimpse { down: true, rtt_ms: Some(1.5), ..Glimpse::default() },
        };
        let shown = members(&cluster, &leadership, &BTreeSet::from([1, 2]), glimpse);
        let seen: Vec<_> = shown
            .iter()
            .map(|node| (&*node.name, &*node.state, &*node.role, node.shards_owned, node.shards_backup, node.calls))
            .collect();
        let expected = [
            ("ams-1", "fenced", "learner", 0, 0, None),
            ("fra-1", "up", "leader", 1023, 1, Some(4)),
            ("lon-1", "down", "voter", 1, 0, None),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn who_still_acts_is_not_removed_and_it_is_said_what_to_do() {
        let Outcome::Stale(stale) = cluster().apply(&ClusterChange::Remove(2)) else { panic!("it owns a shard") };
        let problem = not_removed("lon-1", &stale);
        assert_eq!((problem.status, problem.error.as_str()), (409, "`lon-1` still acts for 1 shards"));
        assert!(problem.mend.is_some());
    }
}
