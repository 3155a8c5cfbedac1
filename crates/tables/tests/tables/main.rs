//! The tables on a real RocksDB in a folder of their own: what is kept, what is refused, what readers see.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod changes;
mod crash;
mod damage;
mod desk;
mod readers;
mod refusals;
mod rollback;
