//! Questions that are too long for one message: they travel in parts, and are put together at the leader.

use super::Envelope;
use crate::Error;
use crate::ask::{Ask, Refusal};
use crate::command::RequestId;
use crate::raft::{read_frame, write_frame};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Bytes of one message.
const PART: usize = 768 << 10;
/// Questions that are put together at once; the oldest is given up for a new one.
const OPEN: usize = 4;
/// Parts of one question at most: some hundred megabytes.
const PARTS: u32 = 512;

/// A question as messages, made once however often it is sent.
pub(super) enum Letter {
    Whole(Bytes),
    Parts(Vec<Bytes>),
}

impl Letter {
    pub(super) fn write(id: RequestId, ask: &Ask) -> Result<Self, Error> {
        let body = write_frame(&Envelope::Whole { id, ask: Box::new(ask.clone()) }, &[ask.body()])?;
        if body.len() <= PART {
            return Ok(Self::Whole(body));
        }
        let of = u32::try_from(body.len().div_ceil(PART)).unwrap_or(u32::MAX);
        if of > PARTS {
            let what = format!("{} MB are too much for one change; import them", body.len() >> 20);
            return Err(Error::Fault(what));
        }
        let parts = (0..of).zip(body.chunks(PART));
        parts
            .map(|(number, part)| write_frame(&Envelope::Part { id, number, of }, &[part]))
            .collect::<Result<_, _>>()
            .map(Self::Parts)
    }
}

/// Questions of which parts are there.
#[derive(Debug, Default)]
pub(crate) struct Parts(Mutex<VecDeque<Open>>);

#[derive(Debug)]
struct Open {
    id: RequestId,
    next: u32,
    body: Vec<u8>,
}

impl Parts {
    /// Takes a part; the question if it was the last one.
    pub(super) fn take(
        &self,
        id: RequestId,
        number: u32,
        of: u32,
        part: &Bytes,
    ) -> Result<Option<(RequestId, Ask)>, Refusal> {
        let mut open = self.0.lock();
        if number == 0 {
            open.retain(|question| question.id != id);
            if open.len() == OPEN {
                open.pop_front();
            }
            open.push_back(Open { id, next: 0, body: Vec::new() });
        }
        let at = open.iter().position(|question| question.id == id && question.next == number);
        let lost = || Refusal::NotLeader("a part of the change was lost on the way".into());
        let question = at.and_then(|at| open.get_mut(at)).filter(|_| of <= PARTS).ok_or_else(lost)?;
        question.body.extend_from_slice(part);
        question.next += 1;
        if question.next < of {
            return Ok(None);
        }
        let whole = at.and_then(|at| open.remove(at)).map(|question| Bytes::from(question.body)).unwrap_or_default();
        drop(open);
        match read_frame(whole).map_err(Refusal::Fault)? {
            (Envelope::Whole { id, ask }, rest) => Ok(Some((id, ask.with_body(rest)))),
            (Envelope::Part { .. } | Envelope::Again { .. }, _) => Err(Refusal::Fault("a change made of parts".into())),
        }
    }
}
