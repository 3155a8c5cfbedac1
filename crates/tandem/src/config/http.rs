//! `[http]`: console, API, metrics and health.

use serde::Deserialize;
use std::net::SocketAddr;

/// The HTTP listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    /// Its address.
    pub listen: SocketAddr,
    /// Who may ask; empty: anyone, which is allowed on loopback only.
    pub tokens: Vec<Token>,
}

/// A bearer token.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// The secret.
    pub token: String,
    /// `read`, `records`, `tables`, `calls`, `metrics`, `cluster` or `admin`.
    pub scopes: Vec<String>,
}

/// Never shows the secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({})", self.scopes.join(","))
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8060)), tokens: Vec::new() }
    }
}

impl Http {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.tokens.is_empty() && !self.listen.ip().is_loopback() {
            let text = format!(
                "{} is not loopback, so tokens are needed: tokens = [{{ token = \"…\", scopes = [\"read\"] }}]",
                self.listen
            );
            return Err(("http.listen", text));
        }
        if self.tokens.iter().any(|token| token.token.len() < 16) {
            return Err(("http.tokens", "a token needs at least 16 characters".to_owned()));
        }
        Ok(())
    }
}
