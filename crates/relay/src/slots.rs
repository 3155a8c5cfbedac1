//! The sessions of one worker, found by the token that epoll gives back for a socket.

use crate::command::Endpoints;
use crate::event::{Events, Tap};
use crate::session::Session;
use crate::{Component, SessionId, Side};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A session with the sockets that it decides over.
pub(crate) struct Slot {
    pub(crate) id: SessionId,
    pub(crate) session: Session,
    pub(crate) endpoints: Endpoints,
    pub(crate) events: Events,
    /// Who wants copies of its RTCP.
    pub(crate) tap: Option<Tap>,
    /// For each RTP and RTCP socket the low bits of the round in which it was last ready: see the worker.
    pub(crate) ready: SmallVec<[[[u16; 2]; 2]; 1]>,
}

/// Names one socket: slot, stream, side and component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) slot: u32,
    pub(crate) stream: u8,
    pub(crate) side: Side,
    pub(crate) component: Component,
}

impl Token {
    /// The token of the eventfd, which no socket can have.
    pub(crate) const WAKEUP: u64 = u64::MAX;

    pub(crate) const fn pack(self) -> u64 {
        (self.slot as u64) << 32 | (self.stream as u64) << 8 | (self.side as u64) << 1 | self.component as u64
    }

    pub(crate) const fn unpack(token: u64) -> Self {
        Self {
            slot: (token >> 32) as u32,
            stream: (token >> 8) as u8,
            side: if token & 2 == 0 { Side::A } else { Side::B },
            component: if token & 1 == 0 { Component::Rtp } else { Component::Rtcp },
        }
    }
}

/// A slab: a slot keeps its number as long as it lives.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Box<Slot>>>,
    free: Vec<u32>,
    by_id: FxHashMap<SessionId, u32>,
}

impl Slots {
    pub(crate) fn insert(&mut self, slot: Box<Slot>) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_id.insert(slot.id, index);
        self.slots[index as usize] = Some(slot);
        index
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Box<Slot>> {
        let index = self.by_id.remove(&id)?;
        self.free.push(index);
        self.slots.get_mut(index as usize)?.take()
    }

    pub(crate) fn at(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)?.as_deref_mut()
    }

    pub(crate) fn by_id(&mut self, id: SessionId) -> Option<&mut Slot> {
        let index = *self.by_id.get(&id)?;
        self.at(index)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().flatten().map(|slot| &mut **slot)
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Box<Slot>> {
        self.by_id.clear();
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_packing() {
        for side in Side::BOTH {
            for component in [Component::Rtp, Component::Rtcp] {
                let token = Token { slot: 0xfedc_ba98, stream: 7, side, component };
                assert_eq!(Token::unpack(token.pack()), token);
            }
        }
    }
}
