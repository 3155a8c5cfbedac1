//! Whether lines and trunks are registered, by the word of whoever holds their addresses of record: each node is asked once for
//! all that it holds.

use super::Board;
use super::question::{AORS, Answer, Question};
use futures_util::future::join_all;
use routing::cluster::{NodeId, shard_of};
use routing::model::Destination;
use std::collections::{BTreeMap, HashMap, HashSet};
use switch::registrations::{trunk_aor, user_aor};

impl Board {
    /// Which node can say whether an address is registered: the owner of its shard, else who has a copy.
    fn holder(&self, aor: &str) -> Option<NodeId> {
        let (cluster, replicated) = (&self.shell.cluster, self.shell.cluster.replicated());
        let shard = replicated.shard(shard_of(aor));
        let up = |node: &NodeId| cluster.is_up(*node);
        shard.owner.filter(up).or_else(|| shard.backup.filter(up))
    }

    /// Which of these addresses are registered, by one node's word; nothing if it does not answer.
    async fn registered_at(&self, node: NodeId, aors: &[String]) -> Option<HashSet<String>> {
        let read = |told| if let Answer::Registered { aors } = told { Some(aors) } else { None };
        let mut found = HashSet::new();
        for some in aors.chunks(AORS) {
            let question = Question::Registered { aors: some.to_vec() };
            let told = if node == self.shell.cluster.me() {
                read(self.local.answer(question).await)?
            } else {
                let member = self.shell.cluster.replicated().member(node)?.clone();
                self.peers.one(&member, &question, read).await.ok()?
            };
            found.extend(told);
        }
        Some(found)
    }

    /// The address of record of a line or a trunk, if the tables have it.
    fn aor(&self, of: &Destination) -> Option<String> {
        let view = self.shell.tables.view();
        match of {
            Destination::User(name) => view.user(name).map(|user| user_aor(user)),
            Destination::Trunk(name) => view.trunk(name).map(|trunk| trunk_aor(trunk)),
            Destination::Number(_) | Destination::Plan(_) => None,
        }
    }

    /// Which of these are registered. What no node that answers can say is left out.
    pub(super) async fn registrations_of(&self, whom: Vec<Destination>) -> HashMap<Destination, bool> {
        let (mut by_node, mut answer) = (BTreeMap::<NodeId, Vec<String>>::new(), HashMap::new());
        let aors: Vec<(Destination, Option<String>)> =
            whom.into_iter().map(|one| (one.clone(), self.aor(&one))).collect();
        for aor in aors.iter().filter_map(|(_, aor)| aor.as_ref()) {
            if let Some(node) = self.holder(aor) {
                by_node.entry(node).or_default().push(aor.clone());
            }
        }
        let asked = by_node.iter().map(|(node, aors)| async move { (aors, self.registered_at(*node, aors).await) });
        let mut known = HashMap::new();
        for (aors, found) in join_all(asked).await {
            let Some(found) = found else { continue };
            known.extend(aors.iter().map(|aor| (aor.as_str(), found.contains(aor))));
        }
        for (one, aor) in aors {
            match aor.as_deref() {
                // What the tables do not have nobody can register as.
                None => drop(answer.insert(one, false)),
                Some(aor) => answer.extend(known.get(aor).map(|registered| (one, *registered))),
            }
        }
        answer
    }
}
