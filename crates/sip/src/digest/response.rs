//! The request-digest itself (RFC 7616 §3.4.1).

use super::ha1::Algorithm;

/// Everything but the secret that goes into a digest, as raw text.
pub(super) struct Input<'a> {
    pub(super) nonce: &'a str,
    /// `nc` and `cnonce` when `qop=auth` is used.
    pub(super) qop: Option<(&'a str, &'a str)>,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
}

impl Input<'_> {
    /// The lower-case hexadecimal digest for the secret `ha1`.
    pub(super) fn digest(&self, algorithm: Algorithm, ha1: &str) -> String {
        let ha2 = algorithm.hex(format!("{}:{}", self.method, self.uri).as_bytes());
        let text = match self.qop {
            Some((nc, cnonce)) => format!("{ha1}:{}:{nc}:{cnonce}:auth:{ha2}", self.nonce),
            None => format!("{ha1}:{}:{ha2}", self.nonce),
        };
        algorithm.hex(text.as_bytes())
    }
}

/// Compares without telling by its duration where the difference is. Hexadecimal digits in any case.
pub(super) fn same_digest(a: &str, b: &str) -> bool {
    let difference =
        a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a.to_ascii_lowercase() ^ b.to_ascii_lowercase()));
    a.len() == b.len() && difference == 0
}
