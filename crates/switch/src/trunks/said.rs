//! What nodes say to each other about a trunk's limits.

use crate::cluster::body;
use ::trunk::quota::{Reply, Request};
use bytes::Bytes;
use routing::model::Name;
use serde::{Deserialize, Serialize};

/// One message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// To the trunk's leader.
    Request {
        /// Which trunk.
        trunk: Name,
        /// What a member says.
        request: Request,
    },
    /// From the trunk's leader.
    Reply {
        /// Which trunk.
        trunk: Name,
        /// The version of the members and shards that it knows.
        version: u64,
        /// What it says.
        reply: Reply,
    },
}

impl Said {
    pub(super) fn encode(&self) -> Bytes {
        body::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        body::decode(bytes)
    }
}
