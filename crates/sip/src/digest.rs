//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760), both as the one who asks and as the one who answers.
//!
//! [`Challenger`] asks without keeping state: its nonces prove themselves. [`Challenge`] answers a peer's question.
//! `auth-int` and the `-sess` algorithms are neither offered nor answered: no phone or carrier uses them, and the body
//! that `auth-int` protects is one that a back-to-back user agent rewrites.
//!
//! The typed headers of rsip are not used here: they keep neither the raw text of quoted values nor unknown parameters,
//! and a digest is made over the raw text.

mod challenger;
mod client;
mod credentials;
mod ha1;
mod params;
mod response;

pub use challenger::{Challenger, Verdict};
pub use client::{Challenge, answer};
pub use credentials::Credentials;
pub use ha1::{Algorithm, Ha1};

#[cfg(test)]
mod tests;
