//! An address of record asleep or on its way to another node: one small block of bytes.

use crate::Error;
use serde::{Deserialize, Serialize};
use sip::Flow;
use sip::clock::Wall;

/// The bindings of one address of record, packed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// When the first of its bindings ends.
    pub expires: Wall,
    packed: Box<[u8]>,
}

/// One binding in a row, its times as calendar time since a monotonic one means nothing elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) contact: Box<str>,
    pub(crate) q: u16,
    pub(crate) expires: Wall,
    pub(crate) refreshed: Wall,
    pub(crate) flow: Flow,
    pub(crate) path: Option<Box<str>>,
    pub(crate) instance: Option<Box<str>>,
    pub(crate) reg_id: Option<u32>,
    pub(crate) user_agent: Option<Box<str>>,
    pub(crate) call_id: Box<str>,
    pub(crate) cseq: u32,
}

impl Row {
    /// Packs bindings; `None` where there are none.
    pub(crate) fn pack(entries: &[Entry]) -> Option<Self> {
        let expires = entries.iter().map(|entry| entry.expires).min()?;
        // Writing to a growing vector fails for no type that an entry holds.
        let packed = postcard::to_allocvec(entries).expect("an entry can always be written");
        Some(Self { expires, packed: packed.into() })
    }

    /// Unpacks the bindings.
    pub(crate) fn unpack(&self) -> Result<Vec<Entry>, Error> {
        postcard::from_bytes(&self.packed).map_err(|_| Error::Row)
    }

    /// Size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.packed.len()
    }
}
