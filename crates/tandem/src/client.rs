//! The commands that ask a running node, over its HTTP API.

pub(crate) mod backup;
mod bar;
pub(crate) mod cdr;
pub(crate) mod cluster;
pub(crate) mod drain;
pub(crate) mod imports;
pub(crate) mod ladder;
pub(crate) mod lists;
pub(crate) mod route;
pub(crate) mod tables;
mod text_table;

use anyhow::{Context as _, bail};
use serde_json::Value;
use std::time::Duration;

/// How long an import may take: as long as the node lets it.
const UPLOAD: Duration = Duration::from_secs(920);

/// One node, and how its answers are printed.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
    /// Print JSON instead of text.
    pub json: bool,
}

impl Client {
    /// For the node at `base`, such as `http://127.0.0.1:8060`.
    #[must_use]
    pub(crate) fn new(base: &str, token: Option<&str>, json: bool) -> Self {
        Self { token: token.map(str::to_owned), json, ..Self::with_patience(base, Duration::from_secs(600)) }
    }

    /// Without a token, for short looks: gives up after `patience`.
    #[must_use]
    pub(crate) fn with_patience(base: &str, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(patience.min(Duration::from_secs(5))))
            .timeout_global(Some(patience))
            .build();
        let base = base.trim_end_matches('/').to_owned();
        Self { agent: config.into(), base, token: None, json: false }
    }

    /// Reads a resource below `/api/v1/`.
    ///
    /// # Errors
    /// The node cannot be reached or refuses.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut request = self.agent.get(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.call())
    }

    /// Reads a resource that is text.
    ///
    /// # Errors
    /// The node cannot be reached or refuses.
    pub(crate) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let mut request = self.agent.get(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().with_context(|| self.unreachable())?;
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        if response.status().is_success() { Ok(text) } else { Err(refusal(response.status().as_u16(), &text)) }
    }

    /// Sends `body` with PUT or POST.
    ///
    /// # Errors
    /// The node cannot be reached or refuses.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = self.url(path);
        let mut request = if method == "PUT" { self.agent.put(url) } else { self.agent.post(url) };
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.send_json(body))
    }

    /// Ends or removes a resource.
    ///
    /// # Errors
    /// The node cannot be reached or refuses.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<()> {
        let mut request = self.agent.delete(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().with_context(|| self.unreachable())?;
        let text = response.body_mut().with_config().limit(1 << 20).read_to_string()?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(response.status().as_u16(), &text)) }
    }

    /// Reads a resource that may be large, piece by piece.
    ///
    /// # Errors
    /// The node cannot be reached or refuses.
    pub(crate) fn download(&self, path: &str) -> anyhow::Result<impl std::io::Read + use<>> {
        let mut request = self.agent.get(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_global(Some(UPLOAD)).build();
        let mut response = request.call().with_context(|| self.unreachable())?;
        if !response.status().is_success() {
            let text = response.body_mut().with_config().limit(1 << 20).read_to_string()?;
            return Err(refusal(response.status().as_u16(), &text));
        }
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// Sends a file of this type with POST as it is read; a refusal that needs no look into it comes before it is sent.
    ///
    /// # Errors
    /// The file cannot be read, the node cannot be reached or refuses.
    pub(crate) fn upload(&self, path: &str, kind: &str, mut file: impl std::io::Read) -> anyhow::Result<Value> {
        let request = self.agent.post(self.url(path)).header("content-type", kind).header("expect", "100-continue");
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let request = request.config().timeout_global(Some(UPLOAD)).build();
        self.read(request.send(ureq::SendBody::from_reader(&mut file)))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.base)
    }

    fn unreachable(&self) -> String {
        format!("{}: no node answers there; start one, or name another with --node or TANDEM_NODE", self.base)
    }

    fn read(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Value> {
        let mut response = sent.with_context(|| self.unreachable())?;
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        if !response.status().is_success() {
            return Err(refusal(response.status().as_u16(), &text));
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{}: the answer is no JSON: is a Tandem node there?", self.base))
    }
}

/// A node's answer that is no success, a line for each problem.
#[derive(Debug)]
struct Refused {
    status: u16,
    text: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// Whether a node said that it could not, as without a quorum, and not that the input was wrong.
pub(crate) fn is_fault_of_node(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<Refused>()).any(|refused| refused.status >= 500)
}

/// What the node said was wrong: `error`, `where` and `mend` of its JSON.
fn refusal(status: u16, text: &str) -> anyhow::Error {
    let text = match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            let more = value.get("more").and_then(Value::as_array).cloned().unwrap_or_default();
            std::iter::once(&value).chain(&more).map(problem).collect::<Vec<_>>().join("\n")
        }
        Err(_) => format!("the node answered {status}"),
    };
    Refused { status, text }.into()
}

fn problem(value: &Value) -> String {
    let part = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut line = String::new();
    if let Some(place) = part("where") {
        line.push_str(place);
        line.push_str(": ");
    }
    line.push_str(part("error").unwrap_or("refused"));
    if let Some(mend) = part("mend") {
        line.push_str("; ");
        line.push_str(mend);
    }
    line
}

/// Writes a query value (RFC 3986 §2.1).
#[must_use]
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The rows of a listing: the array itself, or the array under `name`.
///
/// # Errors
/// The answer holds no such array.
pub(crate) fn rows(value: Value, name: &str) -> anyhow::Result<Vec<Value>> {
    match value {
        Value::Array(rows) => Ok(rows),
        Value::Object(mut object) => match object.remove(name) {
            Some(Value::Array(rows)) => Ok(rows),
            Some(_) | None => bail!("the node's answer has no list of {name}"),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            bail!("the node's answer has no list of {name}")
        }
    }
}

/// Who asks, as the history of the tables shows it.
pub(crate) fn who() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_cannot_do_is_told_apart_from_wrong_input() {
        let text = r#"{"error":"no quorum answers","mend":"try again","more":[{"error":"x","where":"a.toml:3"}]}"#;
        let error = refusal(503, text);
        assert_eq!(error.to_string(), "no quorum answers; try again\na.toml:3: x");
        assert!(is_fault_of_node(&error));
        assert!(is_fault_of_node(&refusal(503, text).context("while applying")));
        assert!(!is_fault_of_node(&refusal(422, text)));
        assert!(!is_fault_of_node(&anyhow::anyhow!("no such file")));
        assert_eq!(refusal(500, "<html>").to_string(), "the node answered 500");
    }
}
