//! How this node comes to take part: it founds a cluster, joins one, or starts again with its data.
//!
//! What may work a moment later is tried until it does; what will never work ends it with the reason.

use crate::Error;
use crate::backoff::Backoff;
use crate::core::Core;
use crate::lines::Me;
use crate::proto::join_reply::Answer;
use crate::proto::{HelloRequest, Identity, JoinRequest, Joined, Leader, Reason, Refused};
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use routing::cluster::{Member, NodeId};
use std::time::Duration;
use tokio::time::Instant;

/// How long one node may take to answer a newcomer: it commits the join.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long those whom this node was told to join may take to say of which cluster they are, when it has one already.
const GREETING: Duration = Duration::from_millis(500);
/// What a newcomer waits for is said again so often.
const REMIND: Duration = Duration::from_secs(30);
/// How often a newcomer follows from one node to the leader that it names, in one round.
const HOPS: usize = 4;

/// Which node this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entered {
    pub(crate) node: NodeId,
    /// Its incarnation, if it was given one by founding or joining in this process.
    pub(crate) incarnation: Option<u64>,
}

/// Finds out which node this is, and makes it one if it is none. Waits for as long as it takes.
pub(crate) async fn enter(core: &Core) -> Result<Entered, Error> {
    match core.tables.identity() {
        Some(identity) if identity.name != core.options.name => Err(Error::NotTaken {
            by: "the data folder".to_owned(),
            why: format!("it belongs to node {}, not to {}", identity.name, core.options.name),
        }),
        Some(tables::Identity { cluster, node, .. }) => {
            // After a restart of the mesh in this process it still has its incarnation.
            let incarnation = Some(core.lines.incarnation()).filter(|incarnation| *incarnation > 0);
            if incarnation.is_none() {
                let foreign = tokio::time::timeout(GREETING, foreign(core, &cluster)).await.ok().flatten();
                foreign.map_or(Ok(()), Err)?;
            }
            core.lines.become_node(Me { cluster, node, incarnation: incarnation.unwrap_or(0) });
            Ok(Entered { node, incarnation })
        }
        None if core.options.join.is_empty() => found(core).await,
        None => join(core).await,
    }
}

/// Whether one of those whom this node was told to join is of another cluster than the data folder: then the folder or the
/// address is a mistake, and the node would be alone without a word. Who does not answer is asked nothing more.
async fn foreign(core: &Core, own: &str) -> Option<Error> {
    for address in &core.options.join {
        let Ok(mut line) = core.lines.dial(address, None) else { continue };
        let from = Identity { cluster: String::new(), node: 0, ..core.lines.identity() };
        let Ok(reply) = line.client.hello(HelloRequest { from: Some(from) }).await else { continue };
        let theirs = reply.into_inner().from.unwrap_or_default().cluster;
        if !theirs.is_empty() && theirs != own {
            let why = format!(
                "it is of cluster {theirs}, and the data folder of cluster {own}; join with an empty data folder, or name nodes of that cluster"
            );
            return Some(Error::NotTaken { by: address.clone(), why });
        }
    }
    None
}

async fn found(core: &Core) -> Result<Entered, Error> {
    let founded = core.tables.found(core.options.member()).await;
    let (node, incarnation) = founded.map_err(|error| Error::Tables(error.to_string()))?;
    let cluster = core.tables.cluster().id.clone();
    tracing::info!(%cluster, node, "founded a cluster");
    core.lines.become_node(Me { cluster, node, incarnation });
    Ok(Entered { node, incarnation: Some(incarnation) })
}

/// How a new life of a known node begins, after the start of its process or after it was fenced.
pub(crate) enum Start {
    /// With this incarnation.
    Begun(u64),
    /// Not now.
    Failed(String),
    /// Never.
    Refused(Error),
}

/// Tries once to begin a new life.
pub(crate) async fn start(core: &Core) -> Start {
    let member = Member { id: core.lines.node(), ..core.options.member() };
    match core.tables.start(member).await {
        Ok((_, incarnation)) => Start::Begun(incarnation),
        Err(error @ (tables::Error::Membership(_) | tables::Error::Identity { .. })) => {
            Start::Refused(Error::NotTaken { by: "the cluster".to_owned(), why: error.to_string() })
        }
        Err(error) => Start::Failed(error.to_string()),
    }
}

async fn join(core: &Core) -> Result<Entered, Error> {
    let mut backoff = Backoff::new(core.options.seed.rotate_left(16));
    let mut request = [0; 16];
    SmallRng::seed_from_u64(core.options.seed).fill_bytes(&mut request);
    let mut told = (String::new(), Instant::now());
    loop {
        match round(core, &request).await {
            Ok(joined) => return settle(core, joined).await,
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Again(why)) => {
                if told.0 != why || told.1.elapsed() > REMIND {
                    tracing::warn!(reason = %why, "cannot join the cluster yet, trying on");
                    told = (why, Instant::now());
                }
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// How an attempt failed.
enum Attempt {
    Final(Error),
    Again(String),
}

/// Asks each of the addresses once. Certificates that do not fit end it only if no address could be asked otherwise.
async fn round(core: &Core, request: &[u8]) -> Result<Joined, Attempt> {
    let mut again: Vec<String> = Vec::new();
    let mut certificates = None;
    for address in &core.options.join {
        match follow(core, address, request).await {
            Ok(joined) => return Ok(joined),
            Err(Failed::Refused(error)) => return Err(Attempt::Final(error)),
            Err(Failed::Certificate(error)) => certificates = Some(error),
            Err(Failed::Now(why)) => again.push(why),
        }
    }
    match certificates {
        Some(error) if again.is_empty() => Err(Attempt::Final(error)),
        Some(_) | None => Err(Attempt::Again(again.join("; "))),
    }
}

/// How one address failed.
enum Failed {
    Refused(Error),
    Certificate(Error),
    Now(String),
}

/// Asks an address, and the leader that it names.
async fn follow(core: &Core, address: &str, request: &[u8]) -> Result<Joined, Failed> {
    let mut address = address.to_owned();
    for _ in 0..HOPS {
        match ask(core, &address, request).await? {
            Answer::Joined(joined) => return Ok(joined),
            Answer::Leader(Leader { mesh, .. }) => address = mesh,
            Answer::Refused(Refused { reason, text }) => {
                let transient = reason == i32::from(Reason::NotNow) || Reason::try_from(reason).is_err();
                return Err(if transient {
                    Failed::Now(format!("{address}: {text}"))
                } else {
                    Failed::Refused(Error::NotTaken { by: address, why: text })
                });
            }
        }
    }
    Err(Failed::Now("the nodes name each other as the leader".to_owned()))
}

async fn ask(core: &Core, address: &str, request: &[u8]) -> Result<Answer, Failed> {
    let never = |why: String| Failed::Refused(Error::NotTaken { by: address.to_owned(), why });
    if core.options.tls.is_none() && !crate::options::is_loopback(address) {
        return Err(never("it is not loopback, and this node has no [cluster.tls]".to_owned()));
    }
    let mut line = core.lines.dial(address, None).map_err(never)?;
    let request = application(core, request);
    match tokio::time::timeout(PATIENCE, line.client.join(request)).await {
        Ok(Ok(reply)) => reply.into_inner().answer.ok_or_else(|| Failed::Now(format!("{address} says nothing"))),
        Ok(Err(status)) => Err(match line.certificate_fault() {
            Some(why) => Failed::Certificate(Error::NotTaken { by: address.to_owned(), why }),
            None => Failed::Now(format!("{address}: {}", status.message())),
        }),
        Err(_) => Err(Failed::Now(format!("{address} does not answer"))),
    }
}

fn application(core: &Core, request: &[u8]) -> JoinRequest {
    let options = &core.options;
    JoinRequest {
        from: Some(Identity { node: 0, ..core.lines.identity() }),
        request: request.to_vec().into(),
        site: options.site.clone(),
        mesh: options.mesh.clone(),
        http: options.http.clone(),
        sip: options.sip.clone(),
        witness: options.witness,
    }
}

/// Makes it known to the tables, which write it down, and waits until they are here.
async fn settle(core: &Core, joined: Joined) -> Result<Entered, Error> {
    let Joined { cluster, node, incarnation, members } = joined;
    core.lines.learn_neighbours(members);
    // Known before the leader sends the first of the log, which is refused by one without a cluster.
    core.lines.become_node(Me { cluster: cluster.clone(), node, incarnation: 0 });
    let identity = tables::Identity { cluster: cluster.clone(), node, name: core.options.name.clone() };
    core.tables.join_as(identity).await.map_err(|error| Error::Tables(error.to_string()))?;
    let mut versions = core.tables.cluster_watch();
    while core.tables.cluster().member(node).is_none() {
        match tokio::time::timeout(REMIND, versions.changed()).await {
            Ok(changed) => changed.map_err(|_| Error::Stopped)?,
            Err(_) => tracing::warn!("has joined, and waits for the leader to send the tables"),
        }
    }
    tracing::info!(%cluster, node, incarnation, "joined the cluster");
    core.lines.become_node(Me { cluster, node, incarnation });
    Ok(Entered { node, incarnation: Some(incarnation) })
}
