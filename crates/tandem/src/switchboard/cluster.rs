//! The cluster as this node sees it: what is replicated, and beside it what only a glimpse at each node can tell.

use super::Board;
use super::peers::Heard;
use super::question::{Answer, Question};
use console::api::Missing;
use console::{Problem, api};
use routing::Cluster;
use routing::cluster::{ClusterChange, Liveness, Member, NodeId, Outcome, Stale};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tables::Leadership;

/// What is not replicated of a node.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Glimpse {
    /// It is not heard.
    pub down: bool,
    /// To it and back.
    pub rtt_ms: Option<f64>,
    /// What it says of itself.
    pub node: Option<api::Node>,
}

impl Glimpse {
    /// Of a node that nobody here knows more of than that it is a member.
    fn nothing() -> Self {
        Self { down: true, ..Self::default() }
    }
}

impl Board {
    /// A glimpse at every node, and who gave none.
    async fn glimpses(&self) -> (BTreeMap<NodeId, Glimpse>, Vec<Missing>) {
        let read = |told| if let Answer::Node { node } = told { Some(node) } else { None };
        let Heard { told, missing } = self.peers.ask(&Question::Node, read).await;
        let cluster = &self.shell.cluster;
        let mut glimpses: BTreeMap<NodeId, Glimpse> = BTreeMap::new();
        for peer in cluster.mesh().map(mesh::Handle::peers).unwrap_or_default() {
            // Whole microseconds: what is below is no measurement.
            let micros = |rtt: Duration| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
            let rtt_ms = peer.rtt.map(|rtt| f64::from(micros(rtt)) / 1000.0);
            // How far it was says nothing of one that is gone.
            let rtt_ms = rtt_ms.filter(|_| peer.is_up());
            glimpses.insert(peer.id, Glimpse { down: !peer.is_up(), rtt_ms, node: None });
        }
        for (id, node) in told {
            let glimpse = glimpses.entry(id).or_default();
            // Whoever answers is there, whatever was thought of it a moment ago.
            *glimpse = Glimpse { down: false, node: Some(node), ..glimpse.clone() };
        }
        glimpses.insert(cluster.me(), Glimpse { node: Some(self.local.node().await), ..Glimpse::default() });
        (glimpses, missing)
    }

    /// The nodes, those that do not answer among them.
    pub(super) async fn all_nodes(&self) -> api::Nodes {
        let (glimpses, missing) = self.glimpses().await;
        let replicated = self.shell.cluster.replicated();
        let mut nodes: Vec<api::Node> = replicated
            .members()
            .values()
            .map(|member| node(member, glimpses.get(&member.id).cloned().unwrap_or_else(Glimpse::nothing)))
            .collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        api::Nodes { nodes, missing }
    }

    /// The cluster. A leader is sure of its quorum; whoever follows has one while it knows its leader, and that is not dead.
    pub(super) async fn seen(&self) -> api::Cluster {
        let tables = &self.shell.tables;
        let (glimpses, missing) = self.glimpses().await;
        let leadership = tables.leadership().borrow().clone();
        let leader = leadership.leader.as_ref().map(|(id, _)| *id).filter(|id| !self.shell.cluster.is_dead(*id));
        let quorum = if leadership.me { tables.leads().await } else { leader.is_some() };
        let cluster = tables.cluster();
        let name = |id: NodeId| cluster.member(id).map(|member| member.name.to_string());
        let glimpse = |member: &Member| glimpses.get(&member.id).cloned().unwrap_or_else(Glimpse::nothing);
        api::Cluster {
            id: cluster.id.clone(),
            me: self.local.name.clone(),
            leader: leader.and_then(name),
            term: leadership.term,
            revision: tables.revision(),
            quorum,
            nodes: members(&cluster, &leadership, &tables.voters(), glimpse),
            missing,
        }
    }

    /// Begins to empty a member, or ends that.
    pub(super) async fn empty(&self, asked: &api::Drain) -> Result<(), Problem> {
        let tables = &self.shell.tables;
        let cluster = tables.cluster();
        let Some(member) = cluster.member_named(&asked.node) else { return Err(no_node(&asked.node)) };
        let others = cluster.members().values().filter(|other| other.id != member.id && other.carries());
        if asked.draining && others.count() == 0 {
            let what = format!("no other node could take the calls of `{}`", asked.node);
            return Err(Problem::new(409, what).mend("start another one first, or end the draining of one"));
        }
        let change = ClusterChange::Drain { node: member.id, draining: asked.draining };
        match tables.change_cluster(change).await? {
            Outcome::Done { .. } => Ok(()),
            // It takes part again when it starts, and drains no more.
            Outcome::Stale(Stale::Fenced(_)) if !asked.draining => Ok(()),
            Outcome::Stale(stale) => Err(Problem::new(409, stale.to_string())),
        }
    }

    /// Removes a member that has died or was emptied.
    pub(super) async fn take_out(&self, name: &str) -> Result<(), Problem> {
        let tables = &self.shell.tables;
        let Some(id) = tables.cluster().member_named(name).map(|member| member.id) else {
            return Err(no_node(name));
        };
        if *name == *self.local.name {
            let what = format!("`{name}` is the node that was asked, and takes part");
            return Err(Problem::new(409, what).mend("stop it, then ask another node"));
        }
        self.let_leave(id).await;
        match tables.change_cluster(ClusterChange::Remove(id)).await? {
            Outcome::Done { .. } => Ok(()),
            Outcome::Stale(stale) => Err(not_removed(name, &stale)),
        }
    }

    /// Asks a member that lives to bring its records to another node first. One that is gone leaves what its copy holds.
    async fn let_leave(&self, id: NodeId) {
        let cluster = &self.shell.cluster;
        if !cluster.is_up(id) || cluster.owns_any(id) {
            return;
        }
        let answer = cluster.question(id, Question::Leave.encode().into(), LEAVE).await;
        let is_ready = answer.is_ok_and(|bytes| Answer::decode(&bytes) == Some(Answer::Leave { ready: true }));
        if !is_ready {
            tracing::warn!(node = id, "removes a node that has not said that another one has all of its records");
        }
    }
}

/// How long a node may take to bring its records to another one.
const LEAVE: Duration = Duration::from_secs(5);

fn no_node(name: &str) -> Problem {
    let mend = "`tandem cluster status` lists its nodes";
    Problem::new(404, format!("there is no node `{name}` in the cluster")).mend(mend)
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

/// What the cluster has decided of a node, or else whether it is heard.
fn state(member: &Member, glimpse: &Glimpse) -> &'static str {
    match (member.liveness, glimpse.down) {
        (Liveness::Fenced, _) => "fenced",
        (Liveness::Up | Liveness::Draining, true) => "down",
        (Liveness::Draining, false) => "draining",
        (Liveness::Up, false) => "up",
    }
}

/// A node in the list of nodes: its own word, under the name and in the state that the cluster knows.
fn node(member: &Member, glimpse: Glimpse) -> api::Node {
    api::Node {
        name: member.name.to_string(),
        site: member.site.to_string(),
        state: state(member, &glimpse).to_owned(),
        rtt_ms: glimpse.rtt_ms,
        ..glimpse.node.unwrap_or_default()
    }
}

fn shown(cluster: &Cluster, member: &Member, role: &str, glimpse: Glimpse) -> api::Member {
    let state = state(member, &glimpse);
    let count = |of: fn(&routing::cluster::Shard) -> Option<NodeId>| {
        let count = cluster.shards().iter().filter(|shard| of(shard) == Some(member.id)).count();
        u16::try_from(count).unwrap_or(u16::MAX)
    };
    let Glimpse { rtt_ms, node, .. } = glimpse;
    let node = node.unwrap_or_default();
    api::Member {
        name: member.name.to_string(),
        site: member.site.to_string(),
        state: state.to_owned(),
        role: role.to_owned(),
        shards_owned: count(|shard| shard.owner),
        shards_backup: count(|shard| shard.backup),
        lease_remaining_ms: node.lease_remaining_ms,
        rtt_ms,
        calls: node.calls,
        registrations: node.registrations,
        relay_sessions: node.relay_sessions,
        revision: node.revision,
        version: node.version,
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
            1 => Glimpse { node: Some(api::Node { calls: Some(4), ..api::Node::default() }), ..Glimpse::default() },
            _ => Glimpse { down: true, rtt_ms: Some(1.5), node: None },
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
    fn a_node_that_does_not_answer_is_shown_with_what_the_cluster_knows_of_it() {
        let cluster = cluster();
        let said = api::Node { name: "else".into(), state: "up".into(), calls: Some(4), ..api::Node::default() };
        let of = |id, glimpse| node(cluster.member(id).expect("a member"), glimpse);
        let first = of(1, Glimpse { rtt_ms: Some(1.5), node: Some(said), ..Glimpse::default() });
        assert_eq!((&*first.name, &*first.state, first.calls, first.rtt_ms), ("fra-1", "up", Some(4), Some(1.5)));
        let expected =
            api::Node { name: "lon-1".into(), site: "lon".into(), state: "down".into(), ..api::Node::default() };
        assert_eq!(of(2, Glimpse::nothing()), expected);
    }

    #[test]
    fn who_still_acts_is_not_removed_and_it_is_said_what_to_do() {
        let Outcome::Stale(stale) = cluster().apply(&ClusterChange::Remove(2)) else { panic!("it owns a shard") };
        let problem = not_removed("lon-1", &stale);
        assert_eq!((problem.status, problem.error.as_str()), (409, "`lon-1` still acts for 1 shards"));
        assert!(problem.mend.is_some());
    }
}
