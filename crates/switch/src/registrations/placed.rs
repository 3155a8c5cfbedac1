//! Registrations over the cluster: each address of record belongs to the owner of its shard, and the shard's backup, in
//! another site, has a copy. A REGISTER goes to the owner from wherever it comes in; whoever calls an address asks the owner.

use super::contacts::hops_in;
use super::said::{Copies, Said};
use crate::clock;
use crate::cluster::{Cluster, Whose};
use crate::resolver::Hops;
use crate::shell::Shell;
use mesh::Kind;
use routing::cluster::{NodeId, shard_of};
use sip::Flow;
use std::time::Duration;

/// How long an owner or a backup may take to say where an address is: within a call's setup.
const LOOKUP: Duration = Duration::from_millis(500);
/// How long a backup may take to hold a copy before the phone hears that it is registered.
const COPY: Duration = Duration::from_millis(500);

/// Where an address can be reached, if this node knows without asking another.
pub(crate) fn known(shell: &Shell, aor: &str) -> Option<Hops> {
    let now = clock::now();
    let (cluster, shard) = (&shell.cluster, shard_of(aor));
    let ours = match cluster.whose(shard, now.mono) {
        Whose::Ours | Whose::Nobody => true,
        Whose::Of(owner) => !cluster.is_up(owner) && cluster.replicated().shard(shard).backup == Some(cluster.me()),
    };
    let hops = ours.then(|| reachable(cluster, shell.contacts.hops(aor, now)));
    // A shard that has just come here may have left its rows behind.
    hops.filter(|hops| !hops.is_empty() || !shell.contacts.is_arriving(shard))
}

/// Asks the owner of an address where it can be reached, and its backup when the owner says nothing; while the shard's rows
/// are on their way here, all who may have them.
pub(crate) async fn find(shell: &Shell, aor: &str) -> Hops {
    let (replicated, number) = (shell.cluster.replicated(), shard_of(aor));
    let shard = replicated.shard(number);
    let before = shard.past.last().map(|(_, node)| *node);
    for node in [shard.owner, shard.backup, before].into_iter().flatten() {
        let hops = if node == shell.cluster.me() {
            shell.contacts.hops(aor, clock::now())
        } else {
            let question = Said::Lookup(aor.into()).encode();
            let Some(answer) = shell.cluster.ask(node, Kind::Registration, question, LOOKUP).await else { continue };
            let Some(copies) = Copies::decode(&answer) else { continue };
            hops_in(&copies, clock::now())
        };
        if !hops.is_empty() || !shell.contacts.is_arriving(number) {
            return reachable(&shell.cluster, hops);
        }
    }
    Hops::new()
}

/// A phone is reached through the node that it registered over: its NAT knows no other. If that node is gone, this one tries
/// the address itself.
fn reachable(cluster: &Cluster, mut hops: Hops) -> Hops {
    for hop in &mut hops {
        let Some(flow) = &mut hop.flow else { continue };
        if flow.edge == cluster.me() {
            flow.edge = 0;
        } else if flow.edge != 0 && !cluster.is_up(flow.edge) {
            hop.flow = None;
        }
    }
    hops
}

/// The flow of a REGISTER as a binding keeps it: whichever node reads it later must know whose socket it was.
pub(super) fn absolute(cluster: &Cluster, flow: Flow) -> Flow {
    Flow { edge: if flow.edge == 0 { cluster.me() } else { flow.edge }, ..flow }
}

/// Has the backup keep what an address holds now. Without a backup, or without its word in time, the registration stands all
/// the same and is counted: it would not survive this node. The keeper tells the backup once it can be reached.
pub(super) async fn protect(shell: &Shell, aor: &str) {
    let Some(backup) = backup_of(&shell.cluster, aor) else { return };
    let copies = Said::Copy(shell.contacts.copies([aor], clock::now())).encode();
    if shell.cluster.ask(backup, Kind::Registration, copies, COPY).await.is_none() {
        tracing::debug!(backup, "a registration stands without a copy");
        metrics::counter!("tandem_registrations_unprotected_total").increment(1);
        shell.contacts.lacks_copy(aor);
    }
}

fn backup_of(cluster: &Cluster, aor: &str) -> Option<NodeId> {
    cluster.mesh()?;
    cluster.replicated().shard(shard_of(aor)).backup
}
