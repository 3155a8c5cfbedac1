//! Keeps a copy of this node's records on another node, in another site where one is up: first what there is, then each change.
//!
//! One part is on its way at a time. The next one leaves at once while more waits than fits into one; else it holds what has come in
//! [`GATHER`], since each part is forced to the holder's disk. No call waits here, and no record for
//! longer than [`super::log::PATIENCE`]. What becomes of the copy when this node is gone is decided where it is.

use super::log::Log;
use super::outbox::{Outbox, failed};
use super::store::{Op, ROWS, ROWS_END};
use super::told::{Mark, Part, Told};
use super::{apart, count, legacy};
use crate::clock;
use crate::cluster::body;
use crate::error::Error;
use crate::shell::Shell;
use bytes::Bytes;
use mesh::Kind;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use routing::cluster::{Cluster as Replicated, Liveness, NodeId};
use sip::clock::Instant;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long changes are gathered: about as long as the disk may be behind.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes of a part: well below what a parcel holds.
const PART: usize = 256 << 10;
/// Parts that are sent before it is looked at who holds the copy.
const IN_A_ROW: usize = 16;
/// A holder that has not answered by then is asked again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nothing is sent to one that could not be reached, or refused.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the holder hears that this node lives: open rows are charged until then.
const ALIVE: Duration = Duration::from_secs(1);
/// How long the last changes may take when the node ends.
const LAST: Duration = Duration::from_secs(1);

/// Starts it.
///
/// # Errors
/// [`Error::Spawn`].
pub(crate) async fn spawn(shell: Arc<Shell>, supervisor: ActorCell) -> Result<ActorCell, Error> {
    let (actor, _) = Actor::spawn_linked(None, Copying, shell, supervisor).await?;
    Ok(actor.get_cell())
}

struct Copying;

/// It is time.
struct Look;

struct State {
    shell: Arc<Shell>,
    /// Copies begun in this process.
    term: u64,
    way: Option<Way>,
    /// Those who may have an older copy: at first everybody.
    former: Option<BTreeSet<NodeId>>,
    not_before: Instant,
    last_sent: Instant,
    tidy_at: Instant,
}

/// The way to the holder.
struct Way {
    node: NodeId,
    /// What the holder has, as far as is known.
    mark: Mark,
    /// From where on rows were not sent yet; nothing once all were.
    cursor: Option<Vec<u8>>,
    /// What is on its way, and must be sent again as it is.
    sent: Option<Sent>,
}

struct Sent {
    mark: Mark,
    bytes: Bytes,
    /// Entries of the log that are in it.
    entries: usize,
    cursor: Option<Vec<u8>>,
    /// It did not hold all that there was.
    is_cut: bool,
}

/// How a part went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// There was none to send, or the holder has not taken it.
    Nothing,
    /// The holder has it, and with it all that there was when it left.
    Done,
    /// The holder has it, and there was more.
    Cut,
}

impl Actor for Copying {
    type Msg = Look;
    type State = State;
    type Arguments = Arc<Shell>;

    async fn pre_start(&self, myself: ActorRef<Look>, shell: Arc<Shell>) -> Result<State, ActorProcessingErr> {
        myself.send_after(GATHER, || Look);
        let [not_before, last_sent, tidy_at] = [Instant::ORIGIN; 3];
        Ok(State { shell, term: 0, way: None, former: None, not_before, last_sent, tidy_at })
    }

    async fn handle(&self, myself: ActorRef<Look>, _: Look, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.look().await;
        myself.send_after(GATHER, || Look);
        Ok(())
    }

    /// What was written to files at the end must not be written once more by others.
    async fn post_stop(&self, _: ActorRef<Look>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let deadline = clock::now().mono + LAST;
        state.not_before = Instant::ORIGIN;
        while clock::now().mono < deadline && state.send().await != Step::Nothing {}
        Ok(())
    }
}

impl State {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.shell.cdr.outbox
    }

    fn log(&self) -> &Log {
        self.outbox().log()
    }

    async fn look(&mut self) {
        let cluster = &self.shell.cluster;
        if cluster.incarnation() == 0 || cluster.replicated().id.is_empty() {
            return;
        }
        self.choose();
        for _ in 0..IN_A_ROW {
            if self.send().await != Step::Cut {
                break;
            }
        }
        self.tidy().await;
        legacy::follow(&self.shell);
        metrics::gauge!("tandem_cdr_kept").set(count(self.outbox().kept().len()));
    }

    /// Sees who holds the copy, and begins a new one where that has changed.
    fn choose(&mut self) {
        let (me, replicated) = (self.shell.cluster.me(), self.shell.cluster.replicated());
        if replicated.was_removed(me) {
            self.outbox().disown();
        }
        let others = others(&replicated, me);
        self.former.get_or_insert_with(|| others.clone());
        let up: BTreeSet<NodeId> = self.shell.cluster.mesh().map_or_else(BTreeSet::new, |mesh| {
            let up = mesh.peers().into_iter().filter(|peer| peer.is_up() && peer.linked);
            up.map(|peer| peer.id).filter(|node| others.contains(node)).collect()
        });
        let present = self.way.as_ref().map(|way| way.node);
        let chosen = holder(&replicated, me, &up, present);
        if chosen != present || self.log().is_torn() {
            self.begin(chosen, !others.is_empty());
        }
    }

    fn begin(&mut self, holder: Option<NodeId>, has_others: bool) {
        let former = self.way.take().map(|way| way.node).filter(|node| Some(*node) != holder);
        if let Some(known) = &mut self.former {
            known.extend(former);
        }
        let Some(node) = holder else { return self.log().stop(has_others) };
        self.term += 1;
        let incarnation = self.shell.cluster.incarnation();
        let mark = Mark { incarnation, term: self.term, number: 0, is_whole: false };
        self.log().begin();
        self.way = Some(Way { node, mark, cursor: Some(ROWS.to_vec()), sent: None });
    }

    /// Sends one part and waits for it to be confirmed.
    async fn send(&mut self) -> Step {
        let now = clock::now().mono;
        if now < self.not_before {
            return Step::Nothing;
        }
        let Some(mut way) = self.way.take() else { return Step::Nothing };
        if way.sent.is_none() {
            match self.part(&way, now).await {
                Ok(part) => way.sent = part,
                Err(error) => {
                    tracing::error!(%error, "call records cannot be read for their copy");
                    self.not_before = now + AGAIN;
                }
            }
        }
        let Some(sent) = &way.sent else {
            self.way = Some(way);
            return Step::Nothing;
        };
        let answer = self.shell.cluster.ask(way.node, Kind::Records, sent.bytes.clone(), PATIENCE).await;
        let kept = answer.as_deref().and_then(body::decode::<Option<Mark>>);
        self.last_sent = now;
        self.heard(way, kept)
    }

    /// What the holder has said.
    fn heard(&mut self, mut way: Way, kept: Option<Option<Mark>>) -> Step {
        let is_kept = way.sent.as_ref().is_some_and(|sent| kept.flatten().is_some_and(|kept| kept.has(sent.mark)));
        if let Some(sent) = way.sent.take_if(|_| is_kept) {
            self.log().confirm(sent.entries);
            if sent.mark.is_whole && !way.mark.is_whole {
                self.log().follow();
            }
            (way.mark, way.cursor) = (sent.mark, sent.cursor);
            self.way = Some(way);
            return if sent.is_cut { Step::Cut } else { Step::Done };
        }
        self.not_before = clock::now().mono + AGAIN;
        match kept {
            // It is not what it should be there: it has lost it, or refuses.
            Some(_) => self.begin(Some(way.node), true),
            None => self.way = Some(way),
        }
        Step::Nothing
    }

    /// What is to be sent next; nothing if the holder has everything and knows that this node lives.
    async fn part(&self, way: &Way, now: Instant) -> Result<Option<Sent>, Error> {
        let (changes, entries, cursor, is_cut) = match way.cursor.clone() {
            Some(cursor) => {
                let rows = apart(Arc::clone(self.outbox()), move |outbox| outbox.rows_from(&cursor)).await;
                let (changes, next) = rows.map_err(failed)??;
                // Behind the last row comes what was changed meanwhile.
                (changes, 0, next, true)
            }
            None => {
                let (changes, entries, is_cut) = self.log().batch(PART);
                (changes, entries, None, is_cut)
            }
        };
        if changes.is_empty() && now.since(self.last_sent) < ALIVE {
            return Ok(None);
        }
        let mark = Mark { number: way.mark.number + 1, is_whole: cursor.is_none(), ..way.mark };
        let part = Part { mark, alive: clock::now().wall.0, rows: self.outbox().size(), changes };
        Ok(Some(Sent { mark, bytes: Told::Part(part).encode(), entries, cursor, is_cut }))
    }

    /// Tells one who may have an older copy that it is not wanted any more, once there is a new one.
    async fn tidy(&mut self) {
        let now = clock::now().mono;
        let Some(way) = self.way.as_ref().filter(|way| way.mark.is_whole && now >= self.tidy_at) else { return };
        let (holder, mark) = (way.node, Mark { term: way.mark.term.saturating_sub(1), ..way.mark });
        let (replicated, former) = (self.shell.cluster.replicated(), self.former.get_or_insert_default());
        former.retain(|node| *node != holder && replicated.member(*node).is_some());
        let Some(node) = former.iter().copied().find(|node| self.shell.cluster.is_up(*node)) else { return };
        if self.shell.cluster.ask(node, Kind::Records, Told::LetGo(mark).encode(), PATIENCE).await.is_some() {
            former.remove(&node);
        } else {
            self.tidy_at = clock::now().mono + AGAIN;
        }
    }
}

/// The nodes that may hold the copy. A witness keeps nothing, and one that drains will be gone.
fn others(replicated: &Replicated, me: NodeId) -> BTreeSet<NodeId> {
    let others = replicated.members().values().filter(|member| member.id != me && !member.witness);
    others.filter(|member| member.liveness != Liveness::Draining).map(|member| member.id).collect()
}

/// Who of those that are up holds the copy: somebody in another site where there is one; whoever has it keeps it; else the next
/// one by number, so that the copies of all nodes are spread.
fn holder(replicated: &Replicated, me: NodeId, up: &BTreeSet<NodeId>, present: Option<NodeId>) -> Option<NodeId> {
    let site = |node: NodeId| replicated.member(node).map(|member| &member.site);
    let elsewhere: BTreeSet<NodeId> = up.iter().copied().filter(|node| site(*node) != site(me)).collect();
    let fit = if elsewhere.is_empty() { up } else { &elsewhere };
    let next = || fit.range(me..).next().or_else(|| fit.first()).copied();
    present.filter(|node| fit.contains(node)).or_else(next)
}

impl Outbox {
    /// The rows from a key on as changes that make a copy hold just them, and where the rest begins.
    pub(super) fn rows_from(&self, from: &[u8]) -> Result<(Vec<Op>, Option<Vec<u8>>), Error> {
        let (mut rows, mut bytes, mut next) = (Vec::new(), 0, None);
        for entry in self.db().from(from) {
            let (key, value) = entry?;
            if key[..] >= *ROWS_END {
                break;
            }
            if bytes >= PART {
                next = Some(key.to_vec());
                break;
            }
            bytes += key.len() + value.len();
            rows.push(Op::Put(key.into(), value.into()));
        }
        let end = next.clone().unwrap_or_else(|| ROWS_END.to_vec());
        let changes = std::iter::once(Op::DeleteRange(from.to_vec(), end)).chain(rows).collect();
        Ok((changes, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::cluster::{ClusterChange, Member};

    fn cluster(sites: &[&str]) -> Replicated {
        let mut cluster = Replicated::default();
        for (number, site) in (1..).zip(sites) {
            let at = tables::member(&format!("node-{number}"), site, "127.0.0.1:7060");
            let change = if number == 1 {
                ClusterChange::Found { id: "c".to_owned(), secret: [0; 32], founder: at }
            } else {
                ClusterChange::Join(Member { id: 0, ..at })
            };
            cluster.apply(&change);
        }
        assert_eq!(cluster.members().len(), sites.len());
        cluster
    }

    #[test]
    fn the_holder_is_in_another_site_and_stays_while_it_is_up() {
        let cluster = cluster(&["fra", "fra", "lon", "lon", "ams"]);
        let all = BTreeSet::from([2, 3, 4, 5]);
        assert_eq!(holder(&cluster, 1, &all, None), Some(3));
        assert_eq!(holder(&cluster, 1, &all, Some(5)), Some(5), "it has the copy");
        assert_eq!(holder(&cluster, 1, &all, Some(2)), Some(3), "another site is there again");
        assert_eq!(holder(&cluster, 1, &BTreeSet::from([2, 5]), Some(3)), Some(5));
        assert_eq!(holder(&cluster, 1, &BTreeSet::from([2]), Some(3)), Some(2), "better than nobody");
        assert_eq!(holder(&cluster, 1, &BTreeSet::new(), Some(3)), None);
        let holders = (1..=5).map(|me| holder(&cluster, me, &(1..=5).filter(|node| *node != me).collect(), None));
        assert_eq!(holders.map(Option::unwrap_or_default).collect::<Vec<_>>(), [3, 3, 5, 5, 1]);
    }
}
