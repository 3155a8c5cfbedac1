//! What a peer answered: the value of Authorization or Proxy-Authorization (RFC 7616 §3.4).

use super::ha1::Algorithm;
use super::params::{digest_params, pairs, unquoted};
use crate::message::Message;
use crate::name::Name;

/// One digest over borrowed text. Values are raw: without quotes, escapes untouched.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Credentials<'a> {
    username: &'a str,
    /// The protection domain.
    pub realm: &'a str,
    /// Our nonce, given back.
    pub nonce: &'a str,
    /// The URI that the digest covers.
    pub uri: &'a str,
    /// The digest.
    pub response: &'a str,
    /// `algorithm` as written; empty means MD5.
    pub algorithm: &'a str,
    /// `qop` as written; empty means RFC 2069 digest.
    pub qop: &'a str,
    /// The nonce count, 8 hexadecimal digits.
    pub nc: &'a str,
    /// The client's nonce.
    pub cnonce: &'a str,
}

impl<'a> Credentials<'a> {
    /// Reads a header value. `None` for another scheme, a missing or doubled mandatory parameter.
    #[must_use]
    pub fn parse(value: &'a str) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in pairs(digest_params(value)?) {
            let Some(slot) = read.slot(name) else { continue };
            if !slot.is_empty() {
                return None;
            }
            *slot = value;
        }
        let complete = [read.username, read.realm, read.nonce, read.uri, read.response].iter().all(|v| !v.is_empty());
        complete.then_some(read)
    }

    fn slot(&mut self, name: &str) -> Option<&mut &'a str> {
        let slots = [
            ("username", &mut self.username),
            ("realm", &mut self.realm),
            ("nonce", &mut self.nonce),
            ("uri", &mut self.uri),
            ("response", &mut self.response),
            ("algorithm", &mut self.algorithm),
            ("qop", &mut self.qop),
            ("nc", &mut self.nc),
            ("cnonce", &mut self.cnonce),
        ];
        slots.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, slot)| slot)
    }

    /// The credentials for `realm` in a request: in Authorization, or with `proxy` in Proxy-Authorization.
    #[must_use]
    pub fn of(message: &'a Message, realm: &str, proxy: bool) -> Option<Self> {
        let name = if proxy { Name::ProxyAuthorization } else { Name::Authorization };
        let realm = super::params::quoted(realm);
        message.lines(name).filter_map(Self::parse).find(|credentials| credentials.realm == realm)
    }

    /// The user name, escapes undone: the key for looking up the [`super::Ha1`].
    #[must_use]
    pub fn username(&self) -> String {
        unquoted(self.username)
    }

    /// The algorithm, if it is one that we speak.
    #[must_use]
    pub fn known_algorithm(&self) -> Option<Algorithm> {
        match self.algorithm {
            "" => Some(Algorithm::Md5),
            text => [Algorithm::Md5, Algorithm::Sha256].into_iter().find(|a| a.token().eq_ignore_ascii_case(text)),
        }
    }
}

/// Shows nothing: user names are numbers.
impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}
