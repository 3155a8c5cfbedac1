//! The leader's work: what is asked of it, one batch of revisions after the other.

use crate::actor::{Message, Request, Shared, blocking};
use crate::ask::{Ask, Done, Refusal, Reply};
use crate::command::{Answer, Command, Made, RequestId};
use crate::history::RevisionInfo;
use crate::import::paced;
use crate::piece::Form;
use crate::plan::{Plan, Planned, in_pieces, plan};
use crate::raft::Running;
use crate::{Error, store};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use routing::Change;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// How long who asks is kept waiting before it is told that it is under way.
const PENDING: Duration = Duration::from_secs(2);
/// How often a batch is planned again because the tables have moved.
const PLANS: usize = 8;
/// Pieces of a change that are under way at once.
const PIECES: usize = 24;

/// The answer to something that waits in the queue.
pub(crate) type Answered = Option<Result<Reply, Refusal>>;

/// A proposal in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) id: RequestId,
    pub(crate) ask: Arc<Ask>,
    pub(crate) to: watch::Sender<Answered>,
    /// Its place in the queue, free before the answer is seen.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// Does what is asked if this node leads.
pub(crate) async fn serve(
    shared: &Shared,
    id: RequestId,
    ask: Arc<Ask>,
    place: Option<OwnedSemaphorePermit>,
) -> Result<Reply, Refusal> {
    let running = shared.running().map_err(Refusal::from)?;
    let work = async {
        if ask.is_revision() { queued(shared, id, ask, place).await } else { direct(&running, id, &ask).await }
    };
    match tokio::time::timeout(PENDING, work).await {
        Ok(answer) => answer,
        Err(_) if running.is_confirmed().await => Err(Refusal::Pending),
        Err(_) => Err(Refusal::NotLeader(format!("node {} leads without a quorum", running.me))),
    }
}

/// How it stands with something that waits here.
pub(crate) async fn again(shared: &Shared, id: RequestId) -> Result<Reply, Refusal> {
    let running = shared.running().map_err(Refusal::from)?;
    let waiting = shared.waiting.lock().get(&id).cloned();
    let unknown = || Refusal::NotLeader("the leader does not know of it any more".into());
    let answered = tokio::time::timeout(PENDING, wait(waiting.ok_or_else(unknown)?)).await;
    match answered {
        Ok(answer) => answer,
        Err(_) if running.is_confirmed().await => Err(Refusal::Pending),
        Err(_) => Err(Refusal::NotLeader(format!("node {} leads without a quorum", running.me))),
    }
}

async fn wait(mut answer: watch::Receiver<Answered>) -> Result<Reply, Refusal> {
    let gone = |_| Refusal::Fault("the change was dropped by a fault of the software".into());
    let answered = answer.wait_for(Option::is_some).await.map_err(gone)?;
    answered.clone().unwrap_or(Err(Refusal::Pending))
}

/// Waits for the answer to a proposal; one that is asked again waits for the same.
async fn queued(
    shared: &Shared,
    id: RequestId,
    ask: Arc<Ask>,
    place: Option<OwnedSemaphorePermit>,
) -> Result<Reply, Refusal> {
    let answer = {
        let mut waiting = shared.waiting.lock();
        match waiting.get(&id) {
            Some(answer) => answer.clone(),
            None => {
                let place = match place {
                    Some(place) => place,
                    None => shared.guests.clone().try_acquire_owned().map_err(|_| shared.refuse())?,
                };
                let (to, answer) = watch::channel(None);
                let actor = shared.actor.load_full().ok_or_else(|| Refusal::from(Error::Stopped))?;
                let queued = Queued { id, ask, to, place: Some(place) };
                actor.send_message(Message(Request::Submit(queued))).map_err(|_| Refusal::from(Error::Stopped))?;
                waiting.insert(id, answer.clone());
                answer
            }
        }
    };
    wait(answer).await
}

async fn direct(running: &Running, id: RequestId, ask: &Ask) -> Result<Reply, Refusal> {
    let nothing = |index| Reply { index, done: Done::Nothing };
    let index = match ask {
        Ask::Cluster(change) => {
            let (index, answer) = running.write(Command::Cluster { id, change: change.clone() }).await?;
            let Answer::Cluster(outcome) = answer else { return Err(unexpected(&answer)) };
            return Ok(Reply { index, done: Done::Cluster(outcome) });
        }
        Ask::Stage { import, piece, body } => stage(running, *import, *piece, body.clone()).await?,
        Ask::Discard { import } => running.write(Command::Discard { import: *import }).await?.0,
        Ask::ReadIndex => running.read_index().await?,
        Ask::AddLearner { node, address } => running.add_learner(*node, address.clone()).await?,
        Ask::SetVoters(voters) => running.set_voters(voters.clone()).await?,
        Ask::RemoveLearner(node) => running.remove_learner(*node).await?,
        Ask::Propose { .. } | Ask::Apply { .. } | Ask::Rollback { .. } | Ask::Commit { .. } => {
            return Err(Refusal::Fault("a revision is made in the queue".into()));
        }
    };
    Ok(nothing(index))
}

async fn stage(running: &Running, import: RequestId, piece: u32, body: Bytes) -> Result<u64, Refusal> {
    let length = u32::try_from(body.len()).map_err(|error| Refusal::Fault(error.to_string()))?;
    let (index, answer) = running.write(Command::Stage { import, piece, length, body }).await?;
    if answer == Answer::Crowded { Err(Refusal::Busy) } else { Ok(index) }
}

/// Makes the revisions of a batch, and answers each.
pub(crate) async fn run(shared: &Shared, mut batch: VecDeque<Queued>) {
    let mut plans = 0;
    while !batch.is_empty() {
        match step(shared, &batch).await {
            Ok(answers) => {
                plans = if answers.is_empty() { plans + 1 } else { 0 };
                let answered: Vec<Queued> = batch.drain(..answers.len()).collect();
                answered.into_iter().zip(answers).for_each(|(queued, answer)| answer_one(shared, queued, answer));
                if plans < PLANS {
                    continue;
                }
                let moved = Refusal::NotLeader("the tables move on too fast".into());
                batch.drain(..).for_each(|queued| answer_one(shared, queued, Err(moved.clone())));
            }
            Err(refusal) => batch.drain(..).for_each(|queued| answer_one(shared, queued, Err(refusal.clone()))),
        }
    }
}

pub(crate) fn answer_one(shared: &Shared, mut queued: Queued, answer: Result<Reply, Refusal>) {
    shared.waiting.lock().remove(&queued.id);
    // The place is free before the answer is seen, so one who asks again at once finds it.
    queued.place = None;
    // Whoever asked may have gone; the revision stands all the same.
    let _ = queued.to.send(Some(answer));
}

type Answers = Vec<Result<Reply, Refusal>>;

/// Makes the first revisions of the queue, with one entry. No answers: the tables have moved, and it is to be tried again.
async fn step(shared: &Shared, batch: &VecDeque<Queued>) -> Result<Answers, Refusal> {
    let running = shared.running().map_err(Refusal::from)?;
    running.barrier().await?;
    let asks: Vec<_> = batch.iter().map(|queued| (queued.id, Arc::clone(&queued.ask))).collect();
    let replica = Arc::clone(&shared.core.replica);
    let Plan { base, applied, mut planned } = blocking(&shared.core.replica, move || plan(&replica, &asks)).await?;
    if let Some(Planned::Stage(..) | Planned::Commit { .. }) = planned.last() {
        let Some(large) = planned.pop() else { return Ok(Vec::new()) };
        let first = planned.len();
        let mut answers: Answers = planned.into_iter().filter_map(|planned| settled(planned, applied)).collect();
        if answers.len() == first {
            answers.extend(large_one(shared, &running, &batch[first], base, large).await?);
        }
        return Ok(answers);
    }
    let made: Vec<Made> = planned.iter().filter_map(|planned| made_of(planned).cloned()).collect();
    let mut index = applied;
    if !made.is_empty() {
        let (written, answer) = running.write(Command::Change { base, revisions: made }).await?;
        index = written;
        match answer {
            Answer::Made(_) => {}
            Answer::Moved(_) => return Ok(Vec::new()),
            Answer::Nothing | Answer::Cluster(_) | Answer::Incomplete { .. } | Answer::Crowded => {
                return Err(unexpected(&answer));
            }
        }
    }
    Ok(planned.into_iter().filter_map(|planned| settled(planned, index)).collect())
}

fn made_of(planned: &Planned) -> Option<&Made> {
    if let Planned::Make(made, _) = planned { Some(made) } else { None }
}

/// The answer to what needs no entry, or is made by the one at `index`.
fn settled(planned: Planned, index: u64) -> Option<Result<Reply, Refusal>> {
    match planned {
        Planned::Done(done) => Some(Ok(Reply { index, done })),
        Planned::Refused(refusal) => Some(Err(refusal)),
        Planned::Make(made, lines) => {
            Some(Ok(Reply { index, done: Done::Revision { revision: made.info.revision, lines } }))
        }
        Planned::Stage(..) | Planned::Commit { .. } => None,
    }
}

/// Makes a revision whose rows travel in pieces.
async fn large_one(
    shared: &Shared,
    running: &Running,
    queued: &Queued,
    base: u64,
    planned: Planned,
) -> Result<Option<Result<Reply, Refusal>>, Refusal> {
    let (import, pieces, info, lines) = match planned {
        Planned::Stage(made, lines) => {
            let import = shared.next_id();
            let pieces =
                stage_all(running, import, &made.change, Form::of(&shared.core.replica.publisher.cluster())).await?;
            (import, pieces, made.info, lines)
        }
        Planned::Commit { info, last } => {
            let Ask::Commit { import, pieces, .. } = &*queued.ask else { return Ok(None) };
            let mut pieces = *pieces;
            if !last.is_empty() {
                stage(running, *import, pieces, store::encode(&last)?.into()).await?;
                pieces += 1;
            }
            (*import, pieces, *info, Vec::new())
        }
        Planned::Done(_) | Planned::Refused(_) | Planned::Make(..) => return Ok(None),
    };
    let committed = commit(running, queued.id, import, pieces, base, info).await?;
    Ok(committed.map(|(index, revision)| Ok(Reply { index, done: Done::Revision { revision, lines } })))
}

async fn stage_all(running: &Running, import: RequestId, change: &Change, form: Form) -> Result<u32, Refusal> {
    let pieces = in_pieces(change, form)?;
    let count = u32::try_from(pieces.len()).map_err(|error| Refusal::Fault(error.to_string()))?;
    paced(stream::iter((0..count).zip(pieces)))
        .map(|(piece, body)| stage(running, import, piece, body))
        .buffer_unordered(PIECES)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(count)
}

async fn commit(
    running: &Running,
    id: RequestId,
    import: RequestId,
    pieces: u32,
    base: u64,
    info: RevisionInfo,
) -> Result<Option<(u64, u64)>, Refusal> {
    let (index, answer) = running.write(Command::CommitStaged { id, import, pieces, base, info }).await?;
    match answer {
        Answer::Made(revisions) => Ok(revisions.first().map(|revision| (index, *revision))),
        Answer::Moved(_) => Ok(None),
        Answer::Incomplete { there } => Err(Refusal::Fault(format!("{there} of {pieces} pieces are there"))),
        Answer::Nothing | Answer::Cluster(_) | Answer::Crowded => Err(unexpected(&answer)),
    }
}

fn unexpected(answer: &Answer) -> Refusal {
    Refusal::Fault(format!("the entry answered {answer:?}"))
}
