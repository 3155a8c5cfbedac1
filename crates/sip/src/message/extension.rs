//! Which demanded extensions we cannot honour.

use super::Message;
use crate::method::Method;
use crate::name::Name;

/// The option tags in Require that `supported` lacks: they go into Unsupported of a 420 (RFC 3261 §8.2.2.3).
///
/// Empty for ACK and CANCEL, whose Require is ignored. Proxy-Require is not looked at: a back-to-back user agent is none.
#[must_use]
pub fn unsupported_extensions<'a>(message: &'a Message, supported: &[&str]) -> Vec<&'a str> {
    if matches!(message.method(), Method::Ack | Method::Cancel) {
        return Vec::new();
    }
    let known = |tag: &&str| supported.iter().any(|ours| ours.eq_ignore_ascii_case(tag));
    message.values(Name::Require).filter(|tag| !known(tag)).collect()
}
