//! The side that asks: stateless nonces and the check of an answer.

use super::credentials::Credentials;
use super::ha1::{Algorithm, Ha1};
use super::params::quoted;
use super::response::{Input, same_digest};
use crate::clock::Wall;
use crate::uri::Uri;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;

/// Hexadecimal digits of the time in a nonce.
const TIME_DIGITS: usize = 10;
/// Hexadecimal digits of the proof in a nonce.
const PROOF_DIGITS: usize = 32;

/// Asks for a digest and checks it, remembering nothing: any node with the same secret accepts the nonce.
#[derive(Clone)]
pub struct Challenger {
    secret: [u8; 32],
    realm: Box<str>,
    lifetime: Duration,
}

/// What came of checking credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The peer knows the secret. `nc` is the nonce count, for a caller that wants to refuse replays.
    Valid {
        /// The nonce count; `None` from an RFC 2069 client.
        nc: Option<u32>,
    },
    /// The peer knows the secret, but its nonce is too old or not ours (we restarted): challenge again with `stale=true`
    /// (RFC 7616 §3.3).
    Stale,
    /// Wrong secret, another realm, an algorithm that we hold no secret for: challenge again, or 403.
    Wrong,
    /// The values make no sense together (RFC 7616 §3.4): 400.
    Malformed,
}

impl Challenger {
    /// Asks for `realm`; a nonce is good for `lifetime`. All nodes of a cluster share `secret`.
    #[must_use]
    pub fn new(secret: [u8; 32], realm: &str, lifetime: Duration) -> Self {
        Self { secret, realm: realm.into(), lifetime }
    }

    /// The realm, unescaped.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The values of WWW-Authenticate or Proxy-Authenticate, one line each: MD5, then SHA-256.
    ///
    /// RFC 8760 §2.4 leaves the order to the server. Old peers, many exchanges among them, read only the first line and
    /// fail if they cannot compute it, so that is the one which everyone can; who knows both takes the stronger, as
    /// [`super::Challenge::choose`] does wherever it stands.
    #[must_use]
    pub fn challenges(&self, wall: Wall, stale: bool) -> [String; 2] {
        let nonce = self.nonce(wall.0 / 1_000);
        let stale = if stale { ", stale=true" } else { "" };
        [Algorithm::Md5, Algorithm::Sha256].map(|algorithm| {
            let (realm, algorithm) = (quoted(&self.realm), algorithm.token());
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
        })
    }

    /// Checks `credentials` for a request of `method` to `request_uri` against the user's secret.
    #[must_use]
    pub fn verify(
        &self,
        wall: Wall,
        credentials: &Credentials<'_>,
        method: &str,
        request_uri: &str,
        ha1: &Ha1,
    ) -> Verdict {
        if credentials.realm != quoted(&self.realm) {
            return Verdict::Wrong;
        }
        let (nc, qop) = match qop_of(credentials) {
            Ok(parts) => parts,
            Err(verdict) => return verdict,
        };
        if !same_resource(credentials.uri, request_uri) {
            return Verdict::Malformed;
        }
        let Some(algorithm) = credentials.known_algorithm() else { return Verdict::Wrong };
        let Some(secret) = ha1.under(algorithm) else { return Verdict::Wrong };
        let input = Input { nonce: credentials.nonce, qop, method, uri: credentials.uri };
        if !same_digest(&input.digest(algorithm, secret), credentials.response) {
            return Verdict::Wrong;
        }
        if self.is_fresh(credentials.nonce, wall) { Verdict::Valid { nc } } else { Verdict::Stale }
    }

    /// Whether we made the nonce, and not too long ago.
    fn is_fresh(&self, nonce: &str, wall: Wall) -> bool {
        let now = wall.0 / 1_000;
        // Clocks of nodes differ a little, so a nonce may come from shortly ahead.
        self.made_at(nonce)
            .is_some_and(|made| now.saturating_sub(made) <= self.lifetime.as_secs() && made <= now.saturating_add(60))
    }

    fn nonce(&self, seconds: u64) -> String {
        let time = format!("{seconds:0width$x}", width = TIME_DIGITS);
        let proof = self.proof(&time);
        time + &proof
    }

    /// When a nonce was made, in seconds since 1970; `None` if not by us.
    fn made_at(&self, nonce: &str) -> Option<u64> {
        let (time, proof) = nonce.split_at_checked(TIME_DIGITS)?;
        let seconds = u64::from_str_radix(time, 16).ok()?;
        same_digest(&self.proof(time), proof).then_some(seconds)
    }

    /// HMAC-SHA-256 (RFC 2104) over time and realm, cut to [`PROOF_DIGITS`].
    fn proof(&self, time: &str) -> String {
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            for (slot, secret) in block.iter_mut().zip(self.secret) {
                *slot ^= secret;
            }
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(time).chain_update(&*self.realm).finalize();
        let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
        let mut proof = super::ha1::hex(&outer);
        proof.truncate(PROOF_DIGITS);
        proof
    }
}

type Qop<'a> = (Option<u32>, Option<(&'a str, &'a str)>);

/// The nonce count, and `nc` with `cnonce` for the digest.
fn qop_of<'a>(credentials: &Credentials<'a>) -> Result<Qop<'a>, Verdict> {
    let qop = credentials.qop;
    if qop.is_empty() {
        return Ok((None, None));
    }
    let well_formed = qop.eq_ignore_ascii_case("auth")
        && !credentials.cnonce.is_empty()
        && credentials.nc.len() == 8
        && credentials.nc.bytes().all(|b| b.is_ascii_hexdigit());
    let nc = u32::from_str_radix(credentials.nc, 16).ok().filter(|nc| well_formed && *nc > 0);
    match nc {
        Some(nc) => Ok((Some(nc), Some((credentials.nc, credentials.cnonce)))),
        None => Err(Verdict::Malformed),
    }
}

/// Whether the digest was made for this Request-URI: the same user and host. Ports and parameters change on the way.
fn same_resource(signed: &str, request_uri: &str) -> bool {
    if signed == request_uri {
        return true;
    }
    match (Uri::parse(signed), Uri::parse(request_uri)) {
        (Some(a), Some(b)) => a.scheme == b.scheme && a.user == b.user && a.host.eq_ignore_ascii_case(b.host),
        _ => false,
    }
}

/// Never shows the secret.
impl fmt::Debug for Challenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenger({})", self.realm)
    }
}
