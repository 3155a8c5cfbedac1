//! What nodes say to each other about registrations.

use crate::cluster::{Carried, body};
use ::registrar::Row;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sip::clock::Wall;

/// Names of one answer to [`Said::Fetch`], so that none grows past what a parcel may hold.
pub(super) const PAGE: usize = 500;

/// One message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// A REGISTER for an address of record that the other node owns.
    Register(Carried),
    /// What addresses of record hold now, for their backup; answered with nothing.
    Copy(Copies),
    /// Asks for all that the other node has of these shards, after a name: by whoever takes them over.
    Fetch {
        /// Which shards.
        shards: Vec<u16>,
        /// Where the last page ended.
        after: Option<Box<str>>,
    },
    /// Asks where an address of record can be reached. The answer has one copy or none.
    Lookup(Box<str>),
}

/// Addresses of record with their rows. The times in a row are of the sender's clock.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Copies {
    /// The sender's clock when it wrote this.
    pub(super) at: Wall,
    /// Names and rows; a row that is absent is gone.
    pub(super) rows: Vec<(Box<str>, Option<Row>)>,
    /// More follow after the last name.
    pub(super) more: bool,
}

impl Said {
    pub(super) fn encode(&self) -> Bytes {
        body::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        body::decode(bytes)
    }
}

impl Copies {
    pub(super) fn encode(&self) -> Bytes {
        body::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        body::decode(bytes)
    }
}
