//! The copies that this node keeps of other nodes' records.
//!
//! `k` + node: which copy it is, how far it is and whose. `k` + node + key: a row under the key that it has in that node's
//! outbox. A copy takes its parts in their order or not at all, so it is what that outbox was at some moment. Nothing here
//! decides whether a node is gone, nor what becomes of its rows then.

use super::finished::Origin;
use super::outbox::{Outbox, failed};
use super::store::{Batch as Changes, Op, ROWS, Store};
use super::told::{Mark, Part};
use crate::error::Error;
use ::call::CallId;
use parking_lot::Mutex;
use routing::cluster::{Cluster as Replicated, NodeId};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use sip::clock::Wall;
use std::collections::BTreeMap;

/// Rows of one other node at the most: many times what it has while its disk takes its files.
const ROWS_KEPT: u64 = 1_000_000;

/// See the module.
#[derive(Default)]
pub(super) struct Kept {
    copies: Mutex<BTreeMap<NodeId, Copy>>,
    /// Held while a part is written.
    writing: Mutex<()>,
    /// Calls in the copies of removed nodes which those nodes had taken over themselves, once that was looked at.
    limbo: Mutex<BTreeMap<NodeId, FxHashSet<CallId>>>,
}

/// One copy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Copy {
    pub(super) mark: Mark,
    /// When its node last said that it was alive, in milliseconds.
    pub(super) alive: u64,
    /// Rows that its node then had.
    pub(super) rows: u64,
    pub(super) origin: Origin,
    /// Its node was removed, and this one has taken the rows for its own: only the mark is left, for those who ask later.
    pub(super) is_taken: bool,
}

impl Copy {
    /// When the process of its node was last known to live.
    pub(super) const fn last_alive(&self) -> Wall {
        Wall(self.alive)
    }
}

impl Kept {
    pub(super) fn open(db: &Store) -> Result<Self, Error> {
        let (mut copies, mut next) = (BTreeMap::new(), 0);
        // From mark to mark: the rows between them are not walked over.
        while let Some(entry) = db.from(&copy_key(next)).next() {
            let (key, value) = entry?;
            let Some((node, rest)) = parse(&key) else { break };
            if rest.is_empty() {
                copies.insert(node, postcard::from_bytes(&value).map_err(failed)?);
            }
            let Some(after) = node.checked_add(1) else { break };
            next = after;
        }
        Ok(Self { copies: Mutex::new(copies), ..Self::default() })
    }

    /// One copy.
    pub(super) fn copy(&self, node: NodeId) -> Option<Copy> {
        self.copies.lock().get(&node).cloned()
    }

    /// Copies of nodes that were removed and whose rows still have nobody.
    pub(super) fn left(&self, replicated: &Replicated) -> Vec<(NodeId, Copy)> {
        let copies = self.copies.lock();
        let left = copies.iter().filter(|(node, copy)| !copy.is_taken && replicated.was_removed(**node));
        left.map(|(node, copy)| (*node, copy.clone())).collect()
    }

    /// Rows that are kept for other nodes.
    pub(super) fn len(&self) -> u64 {
        self.copies.lock().values().filter(|copy| !copy.is_taken).map(|copy| copy.rows).sum()
    }

    /// Whether rows of this call may still come out of the copy of a removed node that had taken it over.
    pub(super) fn is_in_limbo(&self, replicated: &Replicated, call: CallId) -> bool {
        let left = self.left(replicated);
        let limbo = self.limbo.lock();
        // A copy that nobody has looked into yet may hold any call.
        left.iter().any(|(node, _)| limbo.get(node).is_none_or(|calls| calls.contains(&call)))
    }

    /// The copy of a removed node was looked into.
    pub(super) fn note_limbo(&self, node: NodeId, calls: FxHashSet<CallId>) {
        self.limbo.lock().insert(node, calls);
    }

    fn set(&self, node: NodeId, copy: Option<Copy>) {
        let mut copies = self.copies.lock();
        match copy {
            Some(copy) => copies.insert(node, copy),
            None => copies.remove(&node),
        };
    }
}

impl Outbox {
    /// Takes a part of a copy, synced, if it is the next one or the first one of a newer copy; answers what is kept of that node
    /// now. A part that came before is confirmed again.
    pub(super) fn keep(&self, node: NodeId, origin: Origin, part: Part) -> Result<Option<Mark>, Error> {
        let _writing = self.kept().writing.lock();
        let known = self.kept().copy(node);
        let mark = known.as_ref().map(|copy| copy.mark);
        if !part.mark.follows(mark) {
            return Ok(mark);
        }
        if !part.changes.iter().all(Op::is_of_rows) {
            metrics::counter!("tandem_parcels_refused_total").increment(1);
            return Ok(None);
        }
        if part.rows > ROWS_KEPT {
            metrics::counter!("tandem_queue_full_total", "queue" => "records_kept").increment(1);
            return Ok(None);
        }
        let is_news = !part.changes.is_empty() || part.mark.number == 1;
        let copy = Copy { mark: part.mark, alive: part.alive, rows: part.rows, origin, is_taken: false };
        let mut batch = Changes::default();
        part.changes.into_iter().for_each(|op| batch.push(op.under(&copy_key(node))));
        batch.put(copy_key(node), postcard::to_allocvec(&copy).map_err(failed)?);
        self.db().write(batch)?;
        if is_news {
            self.db().sync()?;
        }
        self.kept().set(node, Some(copy));
        Ok(Some(part.mark))
    }

    /// Lets a copy go that its node has elsewhere now: this one, or one before it.
    pub(super) fn let_go(&self, node: NodeId, mark: Mark) -> Result<(), Error> {
        let _writing = self.kept().writing.lock();
        let known = self.kept().copy(node);
        if known.is_some_and(|copy| !copy.is_taken && copy.mark.age() <= mark.age()) {
            let mut batch = Changes::default();
            batch.delete_range(copy_key(node), copy_key(node + 1));
            self.db().write(batch)?;
            self.kept().set(node, None);
        }
        Ok(())
    }

    /// The rows of a removed node are this node's now: only the mark stays.
    pub(super) fn note_taken_over(&self, node: NodeId, copy: Copy) -> Result<(), Error> {
        let copy = Copy { is_taken: true, rows: 0, ..copy };
        let mut batch = Changes::default();
        batch.delete_range(copied_key(node, ROWS), copy_key(node + 1));
        batch.put(copy_key(node), postcard::to_allocvec(&copy).map_err(failed)?);
        self.db().write(batch)?;
        self.db().sync()?;
        self.kept().set(node, Some(copy));
        self.kept().limbo.lock().remove(&node);
        Ok(())
    }
}

/// The key of the copy of a node.
fn copy_key(node: NodeId) -> [u8; 9] {
    let mut key = [b'k'; 9];
    key[1..].copy_from_slice(&node.to_be_bytes());
    key
}

/// The key of a row of another node.
pub(super) fn copied_key(node: NodeId, key: &[u8]) -> Vec<u8> {
    [&copy_key(node)[..], key].concat()
}

/// The node of a key, and the key that the row has there.
pub(super) fn parse(key: &[u8]) -> Option<(NodeId, &[u8])> {
    let (node, rest) = key.strip_prefix(b"k")?.split_first_chunk::<8>()?;
    Some((NodeId::from_be_bytes(*node), rest))
}
