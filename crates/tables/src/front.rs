//! Asks the leader, wherever it is, until it has answered: over elections and lost answers, and never twice.

use crate::actor::Shared;
use crate::ask::{Ask, Done, Refusal, Reply};
use crate::command::RequestId;
use crate::raft::{read_frame, write_frame};
use crate::{Error, RaftCall, lead};
use bytes::Bytes;
use routing::cluster::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How long it is tried without a sign of a leader.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for a leader that says that it is at it.
const LONGEST: Duration = Duration::from_secs(300);
/// How long one question may take: the leader answers sooner, be it that it needs longer.
const QUESTION: Duration = Duration::from_secs(4);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until it is answered, and until this node's own tables show it.
pub(crate) async fn ask(shared: &Shared, ask: Ask, place: Option<OwnedSemaphorePermit>) -> Result<Done, Error> {
    let (id, ask) = (shared.next_id(), Arc::new(ask));
    let began = Instant::now();
    let mut hope = began + PATIENCE;
    let mut place = place;
    loop {
        let what = match try_once(shared, id, &ask, &mut place).await? {
            Ok(reply) => {
                see(shared, reply.index).await;
                return Ok(reply.done);
            }
            Err(Refusal::Pending) => {
                hope = (Instant::now() + PATIENCE).min(began + LONGEST);
                "the leader has not finished it".to_owned()
            }
            Err(Refusal::NotLeader(what)) => what,
            Err(refusal) => return Err(refusal.into()),
        };
        if Instant::now() >= hope {
            return Err(Error::NoQuorum { what });
        }
        let mut leadership = shared.core.leadership.subscribe();
        // A new leader may be known at once; else it is tried again soon.
        let _ = tokio::time::timeout(PAUSE, leadership.changed()).await;
    }
}

/// Asks whoever leads now. The outer error is this node's own, and final.
async fn try_once(
    shared: &Shared,
    id: RequestId,
    ask: &Arc<Ask>,
    place: &mut Option<OwnedSemaphorePermit>,
) -> Result<Result<Reply, Refusal>, Error> {
    shared.revive().await?;
    let running = shared.running()?;
    let leader = shared.core.leadership.borrow().leader.clone();
    match leader {
        None => Ok(Err(Refusal::NotLeader("no leader is known".into()))),
        Some((leader, _)) if leader == running.me => Ok(lead::serve(shared, id, Arc::clone(ask), place.take()).await),
        Some((leader, address)) => Ok(forward(shared, leader, &address, id, ask).await),
    }
}

async fn forward(
    shared: &Shared,
    leader: NodeId,
    address: &str,
    id: RequestId,
    ask: &Ask,
) -> Result<Reply, Refusal> {
    let body = write_frame(&(id, ask), &[ask.body()])?;
    let answer = shared.core.transport.call(leader, address, RaftCall::Forward, body, QUESTION);
    let away = |what| Refusal::NotLeader(format!("node {leader}, the last known leader, does not answer: {what}"));
    let answer = tokio::time::timeout(QUESTION, answer).await.map_err(|_| away("in time".to_owned()))?;
    let bytes = answer.map_err(|unreachable| away(unreachable.0))?;
    let (answer, _): (Result<Reply, Refusal>, _) = read_frame(bytes).map_err(Refusal::Fault)?;
    match answer {
        // Its disk is not ours: another one will lead.
        Err(Refusal::Write(what)) => Err(away(what)),
        answer => answer,
    }
}

/// Answers what another node asks of this one as the leader.
pub(crate) async fn serve(shared: &Shared, from: NodeId, body: Bytes) -> Result<Bytes, Error> {
    let garbled = |what| Error::Message { from, what };
    let ((id, ask), rest): ((RequestId, Ask), _) = read_frame(body).map_err(garbled)?;
    let answer = lead::serve(shared, id, Arc::new(ask.with_body(rest)), None).await;
    write_frame(&answer, &[])
}

/// Waits until this node has applied an entry. It is made all the same if that takes too long.
async fn see(shared: &Shared, index: u64) {
    let mut applied = shared.core.replica.applied.subscribe();
    let seen = applied.wait_for(|applied| *applied >= index);
    if tokio::time::timeout(PATIENCE, seen).await.is_err() {
        tracing::warn!(index, "tables: a change is made, and this node does not see it yet");
    }
}
