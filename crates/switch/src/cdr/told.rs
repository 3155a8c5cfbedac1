//! What nodes tell each other about records, and what this one answers. All of it wants an answer.

use super::finished::Origin;
use super::store::Op;
use super::{Handle, apart};
use crate::cluster::body;
use crate::shell::Shell;
use ::call::CallId;
use bytes::Bytes;
use mesh::Reply;
use routing::cluster::NodeId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One message.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// From a node to the holder of its copy. Answered by what is kept now, an optional [`Mark`].
    Part(Part),
    /// The node has its copy elsewhere now. Answered by what is kept then.
    LetGo(Mark),
    /// What do you keep of this node? It was removed. Answered by an optional [`Mark`].
    Whose {
        /// The node.
        node: NodeId,
    },
    /// Which of these calls of a removed node have you taken over, or may you still? Answered by [`Whereabouts`].
    Where {
        /// The calls.
        calls: Vec<CallId>,
    },
}

/// Which copy of a node's rows it is, and how far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The life of the node in which it was begun.
    pub(super) incarnation: u64,
    /// The how many-th copy of that life.
    pub(super) term: u64,
    /// The how many-th part of it.
    pub(super) number: u64,
    /// Whether all rows are in it, and not only the first of them.
    pub(super) is_whole: bool,
}

impl Mark {
    /// A later copy of a node has a higher one.
    pub(super) const fn age(self) -> (u64, u64) {
        (self.incarnation, self.term)
    }

    /// Of two copies of a removed node the one with the higher value is the last that was whole.
    pub(super) const fn worth(self) -> (bool, u64, u64) {
        (self.is_whole, self.incarnation, self.term)
    }

    /// Whether a part goes behind what is there.
    pub(super) fn follows(self, known: Option<Self>) -> bool {
        match known {
            Some(known) if known.age() == self.age() => self.number == known.number + 1,
            Some(known) => self.number == 1 && self.age() > known.age(),
            None => self.number == 1,
        }
    }

    /// Whether `self`, as its holder has it, has this part already.
    pub(super) fn has(self, part: Self) -> bool {
        self.age() == part.age() && self.number >= part.number
    }
}

/// A part of a copy.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) mark: Mark,
    /// When its node sent it, by the calendar, in milliseconds.
    pub(super) alive: u64,
    /// Rows that the node has.
    pub(super) rows: u64,
    /// In their order.
    pub(super) changes: Vec<Op>,
}

/// What a node knows of calls.
#[derive(PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    /// It has taken them over: it closes their records.
    pub(crate) taken: Vec<CallId>,
    /// It keeps their state: that is not decided yet.
    pub(crate) undecided: Vec<CallId>,
}

impl Told {
    pub(super) fn encode(&self) -> Bytes {
        body::encode(self)
    }
}

impl Handle {
    /// What another node says; `false` if it cannot be read.
    pub(crate) fn receive(&self, shell: &Arc<Shell>, from: NodeId, bytes: &[u8], reply: Option<Reply>) -> bool {
        let (Some(told), Some(reply)) = (body::decode::<Told>(bytes), reply) else { return false };
        match told {
            Told::Part(part) => self.receive_part(shell, from, part, reply),
            Told::LetGo(mark) => {
                let outbox = Arc::clone(&self.outbox);
                tokio::spawn(async move {
                    let let_go =
                        apart(outbox, move |outbox| outbox.let_go(from, mark).map(|()| outbox.kept().copy(from)));
                    if let Ok(Ok(copy)) = let_go.await {
                        reply.send(body::encode(&copy.map(|copy| copy.mark)));
                    }
                });
            }
            Told::Whose { node } => {
                reply.send(body::encode(&self.outbox.kept().copy(node).map(|copy| copy.mark)));
            }
            Told::Where { calls } => reply.send(body::encode(&shell.protect.whereabouts(shell, &calls))),
        }
        true
    }

    /// Writes a part where it may block. Without an answer it comes again.
    fn receive_part(&self, shell: &Arc<Shell>, from: NodeId, part: Part, reply: Reply) {
        let replicated = shell.cluster.replicated();
        // One that was removed has nothing to say any more: its rows may have a new owner.
        let Some(member) = replicated.member(from) else { return };
        let origin = Origin { node: (*member.name).into(), site: (*member.site).into() };
        let outbox = Arc::clone(&self.outbox);
        tokio::spawn(async move {
            match apart(outbox, move |outbox| outbox.keep(from, origin, part)).await {
                Ok(Ok(mark)) => reply.send(body::encode(&mark)),
                Ok(Err(error)) => tracing::error!(%error, node = from, "the records of another node cannot be kept"),
                // It has panicked, which was said, or the process ends.
                Err(_) => {}
            }
        });
    }
}
