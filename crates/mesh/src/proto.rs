//! The messages of `proto/tandem/v1/mesh.proto`, as compiled.

#![allow(missing_docs, unreachable_pub, clippy::wildcard_enum_match_arm, clippy::too_many_lines)]

tonic::include_proto!("tandem.v1");

/// The newest protocol that this version speaks. 2: a backup is told that an answer was acknowledged, without the whole state again. 3: pieces
/// of imports are packed.
pub const PROTOCOL: u32 = 3;
const _: () = assert!(PROTOCOL >= tables::PACKED, "what this version writes it says it speaks");
/// The oldest protocol that it still speaks.
pub const OLDEST_PROTOCOL: u32 = 1;
