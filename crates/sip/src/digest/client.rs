//! The side that answers a 401 or 407.

use super::ha1::{Algorithm, Ha1};
use super::params::{digest_params, pairs, quoted};
use super::response::Input;
use crate::message::Message;
use crate::name::Name;
use crate::param::split_outside_quotes;
use std::fmt;

/// A challenge that we can answer, kept for as long as its nonce is good: `nc` counts every answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    proxy: bool,
    algorithm: Algorithm,
    /// Raw text, as the digest covers it.
    realm: Box<str>,
    nonce: Box<str>,
    opaque: Option<Box<str>>,
    qop: bool,
    stale: bool,
    nc: u32,
}

impl Challenge {
    /// The strongest challenge of a 401 or 407 that we can answer (RFC 8760 §2.4), SHA-256 before MD5.
    ///
    /// `None` if there is none: another scheme, an unknown algorithm, or only `auth-int`.
    #[must_use]
    pub fn choose(response: &Message) -> Option<Self> {
        let proxy = response.code() == Some(407);
        let name = if proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate };
        let mut best: Option<Self> = None;
        for one in response.lines(name).flat_map(split_challenges) {
            let Some(challenge) = Self::parse(one, proxy) else { continue };
            if best
                .as_ref()
                .is_none_or(|best| best.algorithm == Algorithm::Md5 && challenge.algorithm == Algorithm::Sha256)
            {
                best = Some(challenge);
            }
        }
        best
    }

    fn parse(value: &str, proxy: bool) -> Option<Self> {
        let (mut realm, mut nonce, mut opaque, mut algorithm, mut qop, mut stale) =
            (None, None, None, "MD5", None, false);
        for (name, value) in pairs(digest_params(value)?) {
            match () {
                () if name.eq_ignore_ascii_case("realm") => realm = Some(value),
                () if name.eq_ignore_ascii_case("nonce") => nonce = Some(value),
                () if name.eq_ignore_ascii_case("opaque") => opaque = Some(value),
                () if name.eq_ignore_ascii_case("algorithm") => algorithm = value,
                () if name.eq_ignore_ascii_case("qop") => qop = Some(value),
                () if name.eq_ignore_ascii_case("stale") => stale = value.eq_ignore_ascii_case("true"),
                () => {}
            }
        }
        let algorithm = [Algorithm::Md5, Algorithm::Sha256]
            .into_iter()
            .find(|known| known.token().eq_ignore_ascii_case(algorithm))?;
        let has_auth = |list: &str| list.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"));
        if qop.is_some_and(|list| !has_auth(list)) {
            return None;
        }
        Some(Self {
            proxy,
            algorithm,
            realm: realm?.into(),
            nonce: nonce?.into(),
            opaque: opaque.map(Box::from),
            qop: qop.is_some(),
            stale,
            nc: 0,
        })
    }

    /// Whether the credentials were right and only the nonce was old: answering again makes sense.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether `other` comes from the same realm and kind: answering it again with the same password is useless unless stale.
    #[must_use]
    pub fn same_realm(&self, other: &Self) -> bool {
        self.proxy == other.proxy && self.realm == other.realm
    }

    /// The header that the answer goes into.
    #[must_use]
    pub const fn header(&self) -> Name {
        if self.proxy { Name::ProxyAuthorization } else { Name::Authorization }
    }

    /// Answers for one request. `cnonce_seed` is random, and new for every answer.
    pub fn authorize(&mut self, username: &str, password: &str, method: &str, uri: &str, cnonce_seed: u64) -> String {
        let ha1 = Ha1::of_password(username, &self.realm, password);
        self.authorize_with(username, &ha1, method, uri, cnonce_seed)
    }

    /// [`Self::authorize`] from the stored secret. Answers with an empty digest if the secret lacks the algorithm.
    pub fn authorize_with(&mut self, username: &str, ha1: &Ha1, method: &str, uri: &str, cnonce_seed: u64) -> String {
        self.nc = self.nc.saturating_add(1);
        let nc = format!("{:08x}", self.nc);
        let mut cnonce = Algorithm::Sha256.hex(format!("{cnonce_seed:x}:{}", self.nonce).as_bytes());
        cnonce.truncate(16);
        let qop = self.qop.then_some((&*nc, &*cnonce));
        let input = Input { nonce: &self.nonce, qop, method, uri };
        let digest = input.digest(self.algorithm, ha1.under(self.algorithm).unwrap_or(""));
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{digest}\", algorithm={}",
            quoted(username),
            self.realm,
            self.nonce,
            self.algorithm.token()
        );
        if self.qop {
            value += &format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        value
    }
}

/// Answers a 401 or 407 once: the header and its value for a request of `method` to `uri`.
#[must_use]
pub fn answer(
    response: &Message,
    username: &str,
    password: &str,
    method: &str,
    uri: &str,
    cnonce_seed: u64,
) -> Option<(Name, String)> {
    let mut challenge = Challenge::choose(response)?;
    let value = challenge.authorize(username, password, method, uri, cnonce_seed);
    Some((challenge.header(), value))
}

/// Some servers join challenges with commas, against RFC 3261 §20.44: cut before each piece that begins with a scheme.
fn split_challenges(line: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut at = 0;
    for piece in split_outside_quotes(line, b',') {
        if at > 0 && digest_params(piece).is_some() {
            starts.push(at);
        }
        at += piece.len() + 1;
    }
    starts.push(line.len());
    starts.windows(2).map(|pair| line[pair[0]..pair[1]].trim_end_matches([',', ' '])).collect()
}

/// Shows no nonce.
impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({})", self.algorithm.token())
    }
}
