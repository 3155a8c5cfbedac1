//! A finished row as the outbox holds it: the row, and behind it whose it is, if another node's.

use super::outbox::failed;
use crate::error::Error;
use ::call::record::Row;
use serde::{Deserialize, Serialize};

/// Room for most rows.
const TYPICAL: usize = 320;

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Finished {
    pub(super) row: Row,
    /// Absent for a row of this node.
    pub(super) origin: Option<Origin>,
}

/// The node whose row it is: the columns `node` and `site`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) node: Box<str>,
    pub(super) site: Box<str>,
}

impl Finished {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (row, rest) = postcard::take_from_bytes(bytes)?;
        let origin = if rest.is_empty() { None } else { Some(postcard::from_bytes(rest)?) };
        Ok(Self { row, origin })
    }

    pub(super) fn bytes(row: &Row, origin: Option<&Origin>) -> Result<Vec<u8>, Error> {
        let bytes = written(row)?;
        match origin {
            Some(origin) => postcard::to_extend(origin, bytes).map_err(failed),
            None => Ok(bytes),
        }
    }
}

/// A row as it is kept.
pub(super) fn written(row: &Row) -> Result<Vec<u8>, Error> {
    postcard::to_extend(row, Vec::with_capacity(TYPICAL)).map_err(failed)
}
