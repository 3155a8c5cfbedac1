//! The limits of a trunk over a cluster: rules one by one, and thousands of bad days, each from a seed.
//!
//! `QUOTA_SEED=n` runs one seed, `QUOTA_SEEDS=n` so many; `QUOTA_TRACE=1` prints each message.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::print_stdout, reason = "the one who reads a failed test needs its seed")]

mod bad_days;
mod rules;
mod world;
