//! The messages of `proto/tandem/v1/mesh.proto`, as compiled.

#![allow(missing_docs, unreachable_pub, clippy::wildcard_enum_match_arm, clippy::too_many_lines)]

tonic::include_proto!("tandem.v1");

/// The newest protocol that this version speaks.
pub const PROTOCOL: u32 = 1;
/// The oldest protocol that it still speaks.
pub const OLDEST_PROTOCOL: u32 = 1;
