//! Asks the leader, wherever it is, until it has answered: over elections and lost answers, and never twice.

mod parts;

pub(crate) use parts::Parts;

use crate::actor::Shared;
use crate::ask::{Ask, Done, Refusal, Reply};
use crate::command::RequestId;
use crate::raft::{read_frame, write_frame};
use crate::{Error, RaftCall, lead};
use bytes::Bytes;
use parts::Letter;
use routing::cluster::NodeId;
use serde::{Deserialize, Serialize};
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

/// What travels to the leader.
#[derive(Serialize, Deserialize)]
enum Envelope {
    /// A question.
    Whole { id: RequestId, ask: Box<Ask> },
    /// A part of a long one.
    Part { id: RequestId, number: u32, of: u32 },
    /// How it stands with one that was asked.
    Again { id: RequestId },
}

/// What is being asked here.
struct Question {
    id: RequestId,
    ask: Arc<Ask>,
    /// Its place in the queue, until it is handed over.
    place: Option<OwnedSemaphorePermit>,
    /// As it travels, once it does.
    letter: Option<Letter>,
    /// The leader has it.
    pending: bool,
}

/// Asks until it is answered, and until this node's own tables show it.
pub(crate) async fn ask(shared: &Shared, ask: Ask, place: Option<OwnedSemaphorePermit>) -> Result<Done, Error> {
    let began = Instant::now();
    let mut hope = began + PATIENCE;
    let mut question = Question { id: shared.next_id(), ask: Arc::new(ask), place, letter: None, pending: false };
    loop {
        let answer = try_once(shared, &mut question).await?;
        question.pending = matches!(answer, Err(Refusal::Pending));
        let what = match answer {
            Ok(reply) => {
                if !see(shared, reply.index).await && matches!(*question.ask, Ask::ReadIndex) {
                    // Whoever asks for this goes on to read what would be too old.
                    let what = "the leader answers, but what it has committed does not come here".to_owned();
                    return Err(Error::NoQuorum { what });
                }
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
async fn try_once(shared: &Shared, question: &mut Question) -> Result<Result<Reply, Refusal>, Error> {
    shared.revive().await?;
    let running = shared.running()?;
    let leader = shared.core.leadership.borrow().leader.clone();
    match leader {
        None => Ok(Err(Refusal::NotLeader("no leader is known".into()))),
        Some((leader, _)) if leader == running.me => {
            let (ask, place) = (Arc::clone(&question.ask), question.place.take());
            Ok(lead::serve(shared, question.id, ask, place).await)
        }
        Some((leader, address)) => forward(shared, leader, &address, question).await,
    }
}

async fn forward(
    shared: &Shared,
    leader: NodeId,
    address: &str,
    question: &mut Question,
) -> Result<Result<Reply, Refusal>, Error> {
    let letter = match question.letter.take() {
        Some(letter) => letter,
        None => Letter::write(question.id, &question.ask)?,
    };
    let answer = match question.letter.insert(letter) {
        Letter::Whole(body) => call(shared, leader, address, body.clone()).await,
        Letter::Parts(_) if question.pending => {
            let again = write_frame(&Envelope::Again { id: question.id }, &[])?;
            call(shared, leader, address, again).await
        }
        Letter::Parts(parts) => {
            let mut answer = Err(Refusal::NotLeader("nothing was sent".into()));
            for part in parts.iter() {
                answer = call(shared, leader, address, part.clone()).await;
                if answer.is_err() {
                    break;
                }
            }
            answer
        }
    };
    Ok(answer)
}

async fn call(shared: &Shared, leader: NodeId, address: &str, body: Bytes) -> Result<Reply, Refusal> {
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
    let (envelope, rest) = read_frame(body).map_err(garbled)?;
    let answer = match envelope {
        Envelope::Whole { id, ask } => lead::serve(shared, id, Arc::new(ask.with_body(rest)), None).await,
        Envelope::Again { id } => lead::again(shared, id).await,
        Envelope::Part { id, number, of } => match shared.parts.take(id, number, of, &rest) {
            Ok(Some((id, ask))) => lead::serve(shared, id, Arc::new(ask), None).await,
            Ok(None) => Ok(Reply { index: 0, done: Done::Nothing }),
            Err(refusal) => Err(refusal),
        },
    };
    write_frame(&answer, &[])
}

/// Waits until this node has applied an entry; `false` if that takes too long. What was asked for is made all the same.
async fn see(shared: &Shared, index: u64) -> bool {
    let mut applied = shared.core.replica.applied.subscribe();
    let seen = applied.wait_for(|applied| *applied >= index);
    let in_time = tokio::time::timeout(PATIENCE, seen).await.is_ok();
    if !in_time {
        tracing::warn!(index, "tables: a change is made, and this node does not see it yet");
    }
    in_time
}
