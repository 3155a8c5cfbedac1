//! Tokens and what they may do.

use crate::Error;
use crate::problem::Problem;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST};
use std::net::{IpAddr, SocketAddr};

/// What a token may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// See what is alive, the history, and why a call goes where it goes.
    Read,
    /// See call records.
    Records,
    /// See the tables with the secrets that stand in them, and change them.
    Tables,
    /// End calls.
    Calls,
    /// Fetch metrics.
    Metrics,
    /// Remove nodes from the cluster.
    Cluster,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [Self::Read, Self::Records, Self::Tables, Self::Calls, Self::Metrics, Self::Cluster];

    /// The word of node.toml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Records => "records",
            Self::Tables => "tables",
            Self::Calls => "calls",
            Self::Metrics => "metrics",
            Self::Cluster => "cluster",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A token as node.toml has it.
#[derive(Clone, Default)]
pub struct Token {
    /// The secret, sent as `Authorization: Bearer …`. At least 16 characters.
    pub token: String,
    /// What it may do: words of [`Scope`], or `admin` for all of them.
    pub scopes: Vec<String>,
}

/// Without the secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// The least length of a token.
const TOKEN_MIN: usize = 16;

/// Who may do what.
#[derive(Debug)]
pub(crate) struct Guard {
    tokens: Vec<(Vec<u8>, Vec<Scope>)>,
}

impl Guard {
    /// Checks the tokens, and that there are some where others than this machine can reach us.
    pub(crate) fn new(listen: SocketAddr, tokens: &[Token]) -> Result<Self, Error> {
        if tokens.is_empty() && !listen.ip().to_canonical().is_loopback() {
            return Err(Error::Open(listen));
        }
        let tokens = (1..).zip(tokens).map(|(at, token)| {
            if token.token.len() < TOKEN_MIN {
                return Err(Error::ShortToken(at));
            }
            Ok((token.token.clone().into_bytes(), scopes(at, &token.scopes)?))
        });
        Ok(Self { tokens: tokens.collect::<Result<_, _>>()? })
    }

    /// Whether everybody on this machine may do everything.
    pub(crate) const fn is_open(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether the request may do what needs `scope`.
    pub(crate) fn check(&self, headers: &HeaderMap, scope: Scope) -> Result<(), Problem> {
        if self.is_open() {
            return local_host(headers);
        }
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let Some(sent) = sent else {
            return Err(Problem::new(401, "no token").mend("send `Authorization: Bearer TOKEN`"));
        };
        // Every token is compared in full, so that time tells nothing about any of them.
        let mut allowed = None;
        for (token, scopes) in &self.tokens {
            if same(token, sent) {
                allowed = Some(scopes.contains(&scope));
            }
        }
        match allowed {
            Some(true) => Ok(()),
            Some(false) => {
                let word = scope.as_str();
                Err(Problem::new(403, format!("the token has no scope `{word}`"))
                    .mend(format!("add `{word}` to its scopes in [http] tokens")))
            }
            None => Err(Problem::new(401, "unknown token").mend("use one that stands in [http] tokens of node.toml")),
        }
    }
}

fn scopes(at: usize, words: &[String]) -> Result<Vec<Scope>, Error> {
    let known = || "read, records, tables, calls, metrics, cluster, admin".to_owned();
    if words.is_empty() {
        return Err(Error::Scope { at, what: "it has no scope".into(), known: known() });
    }
    let mut scopes = Vec::new();
    for word in words {
        match Scope::of_word(word) {
            Some(scope) => scopes.push(scope),
            None if word == "admin" => scopes.extend(Scope::ALL),
            None => return Err(Error::Scope { at, what: format!("there is no scope `{word}`"), known: known() }),
        }
    }
    Ok(scopes)
}

fn same(token: &[u8], sent: &[u8]) -> bool {
    let difference = token.iter().zip(sent).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0 && token.len() == sent.len()
}

/// Without tokens, a name that leads to this machine by a trick of DNS must not open it to a page in a browser.
fn local_host(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(host) = headers.get(HOST).and_then(|value| value.to_str().ok()) else { return Ok(()) };
    let name =
        host.parse::<SocketAddr>().map_or_else(|_| strip_port(host).to_owned(), |address| address.ip().to_string());
    if name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(Problem::new(403, format!("the host name `{name}` is not served without a token"))
        .mend("use the address, or set `tokens` in [http]"))
}

fn strip_port(host: &str) -> &str {
    host.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn guard() -> Guard {
        let token = |token: &str, scope: &str| Token { token: token.into(), scopes: vec![scope.into()] };
        let tokens = [token("0123456789abcdef", "read"), token("fedcba9876543210", "admin")];
        Guard::new("192.0.2.1:8060".parse().unwrap(), &tokens).unwrap()
    }

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_token_may_do_what_its_scopes_say_and_no_more() {
        let check = |token: &str, scope| guard().check(&headers(AUTHORIZATION, token), scope).map_err(|p| p.status);
        assert_eq!(check("Bearer 0123456789abcdef", Scope::Read), Ok(()));
        assert_eq!(check("Bearer 0123456789abcdef", Scope::Tables), Err(403));
        for scope in Scope::ALL {
            assert_eq!(check("Bearer fedcba9876543210", scope), Ok(()));
        }
        for wrong in ["Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "Bearer ", "0123456789abcdef", "Basic x"] {
            assert_eq!(check(wrong, Scope::Read), Err(401), "{wrong}");
        }
        assert_eq!(guard().check(&HeaderMap::new(), Scope::Read).map_err(|p| p.status), Err(401));
    }

    #[test]
    fn without_a_token_only_loopback_is_served() {
        assert!(matches!(Guard::new("0.0.0.0:8060".parse().unwrap(), &[]), Err(Error::Open(_))));
        assert!(matches!(Guard::new("192.0.2.1:8060".parse().unwrap(), &[]), Err(Error::Open(_))));
        for loopback in ["127.0.1.1:8060", "[::1]:8060", "[::ffff:127.0.0.1]:8060"] {
            assert!(Guard::new(loopback.parse().unwrap(), &[]).unwrap().is_open(), "{loopback}");
        }
    }

    #[test]
    fn without_a_token_a_foreign_host_name_is_refused() {
        let open = Guard::new("127.0.0.1:8060".parse().unwrap(), &[]).unwrap();
        let check = |host: &str| open.check(&headers(HOST, host), Scope::Tables).map_err(|p| p.status);
        for good in ["127.0.1.1:8060", "localhost:8060", "localhost", "[::1]:8060", "127.0.0.1"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["evil.example:8060", "evil.example", "127.0.0.1.evil.example"] {
            assert_eq!(check(bad), Err(403), "{bad}");
        }
    }

    #[test]
    fn bad_tokens_stop_the_start() {
        let with = |token: &str, scopes: &[&str]| {
            let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            Guard::new("127.0.0.1:8060".parse().unwrap(), &[Token { token: token.into(), scopes }])
        };
        assert!(matches!(with("short", &["read"]), Err(Error::ShortToken(1))));
        assert!(matches!(with("0123456789abcdef", &[]), Err(Error::Scope { at: 1, .. })));
        assert!(matches!(with("0123456789abcdef", &["write"]), Err(Error::Scope { .. })));
    }
}
