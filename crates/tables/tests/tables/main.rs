//! The tables on a real RocksDB in a folder of their own: what is kept, what is refused, what readers see.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod changes;
mod cluster;
mod crash;
mod damage;
mod desk;
mod fleet;
mod imports;
mod linear;
mod members;
mod rate;
mod readers;
mod refusals;
mod rollback;
