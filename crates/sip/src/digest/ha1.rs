//! The secret that a digest is made from, in the only form in which we keep it.

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;

/// The hash that a challenge asks for (RFC 8760 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// `MD5`, what every phone still speaks.
    Md5,
    /// `SHA-256`.
    Sha256,
}

impl Algorithm {
    /// The token of the `algorithm` parameter.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The lower-case hexadecimal hash of `data`.
    #[must_use]
    pub fn hex(self, data: &[u8]) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(data)),
            Self::Sha256 => hex(&Sha256::digest(data)),
        }
    }
}

/// `H(username:realm:password)` under both algorithms: enough to verify a digest, and not the password (RFC 7616 §3.4.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ha1 {
    /// Under MD5, 32 hexadecimal digits.
    pub md5: String,
    /// Under SHA-256, 64 hexadecimal digits; absent when only an MD5 value was given.
    pub sha256: Option<String>,
}

impl Ha1 {
    /// Of a password as given.
    #[must_use]
    pub fn of_password(username: &str, realm: &str, password: &str) -> Self {
        let secret = format!("{username}:{realm}:{password}");
        Self { md5: Algorithm::Md5.hex(secret.as_bytes()), sha256: Some(Algorithm::Sha256.hex(secret.as_bytes())) }
    }

    /// The value under `algorithm`, if we hold it.
    #[must_use]
    pub fn under(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Md5 => Some(&self.md5),
            Algorithm::Sha256 => self.sha256.as_deref(),
        }
    }
}

/// Never shows the value: it is as good as the password.
impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(..)")
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}
