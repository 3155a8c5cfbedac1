//! Whose a data folder is: written once, and checked at every use.

use crate::actor::{Shared, blocking};
use crate::store::{self, Batch, Engine, Family};
use crate::{Error, Identity};
use rand::RngCore;
use routing::cluster::{Cluster, ClusterChange, Member, NodeId, Outcome};
use std::sync::Arc;

const KEY: &[u8] = b"identity";

pub(crate) fn read(engine: &Engine) -> Result<Option<Identity>, Error> {
    store::read(engine, Family::Meta, KEY)
}

/// Writes what makes the folder the founder's of a new cluster, in one batch. The rows that are there come along.
pub(crate) async fn found(shared: &Shared, me: &Member) -> Result<(NodeId, u64), Error> {
    if let Some(identity) = &*shared.identity.lock() {
        return Err(taken(identity, format!("a new cluster of {}", me.name)));
    }
    let (id, secret) = {
        let mut random = shared.random.lock();
        let mut secret = [0; 32];
        random.fill_bytes(&mut secret);
        (format!("{:016x}{:016x}", random.next_u64(), random.next_u64()), secret)
    };
    let mut cluster = Cluster::default();
    let founding = ClusterChange::Found { id: id.clone(), secret, founder: me.clone() };
    let Outcome::Done { node, incarnation } = cluster.apply(&founding) else {
        return Err(Error::Fault("an empty cluster could not be founded".into()));
    };
    let mut batch = Batch::default();
    shared.core.founding(&mut batch, &cluster, node, &me.mesh)?;
    keep(shared, batch, Identity { cluster: id, node, name: me.name.to_string() }).await?;
    Ok((node, incarnation))
}

/// Makes the folder one of a node that a cluster has taken in.
pub(crate) async fn join_as(shared: &Shared, identity: Identity) -> Result<(), Error> {
    let there = shared.identity.lock().clone();
    match there {
        Some(there) if there == identity => return Ok(()),
        Some(there) => return Err(taken(&there, named(&identity))),
        None => {}
    }
    let revision = shared.core.replica.publisher.guard().revision;
    if revision > 0 {
        let found = format!("a node that stood alone, with tables at revision {revision}");
        return Err(Error::Identity { found, asked: named(&identity) });
    }
    keep(shared, Batch::default(), identity).await
}

/// Refuses a member that the folder does not belong to.
pub(crate) fn check(shared: &Shared, me: &Member) -> Result<Identity, Error> {
    let identity = shared.identity.lock().clone().ok_or(Error::NotFounded)?;
    if *identity.name != *me.name {
        return Err(taken(&identity, format!("node {}", me.name)));
    }
    let cluster = shared.core.replica.publisher.cluster();
    if !cluster.id.is_empty() && cluster.id != identity.cluster {
        return Err(taken(&identity, format!("a node of cluster {}", cluster.id)));
    }
    Ok(identity)
}

async fn keep(shared: &Shared, mut batch: Batch, identity: Identity) -> Result<(), Error> {
    batch.put(Family::Meta, KEY, store::encode(&identity)?);
    let replica = Arc::clone(&shared.core.replica);
    blocking(&shared.core.replica, move || {
        replica.engine.write(batch, true)?;
        replica.reload()
    })
    .await?;
    *shared.identity.lock() = Some(identity);
    Ok(())
}

fn taken(identity: &Identity, asked: String) -> Error {
    Error::Identity { found: named(identity), asked }
}

fn named(identity: &Identity) -> String {
    format!("node {} ({}) of cluster {}", identity.name, identity.node, identity.cluster)
}
