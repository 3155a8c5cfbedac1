//! The commands that ask a running node, over its HTTP API.

pub(crate) mod cdr;
pub(crate) mod lists;
pub(crate) mod route;
pub(crate) mod tables;
mod text_table;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use std::time::Duration;

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
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(600)))
            .build();
        let base = base.trim_end_matches('/').to_owned();
        Self { agent: config.into(), base, token: token.map(str::to_owned), json }
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

/// What the node said was wrong: `error`, `where` and `mend` of its JSON, a line for each problem.
fn refusal(status: u16, text: &str) -> anyhow::Error {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return anyhow!("the node answered {status}");
    };
    let more = value.get("more").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines: Vec<String> = std::iter::once(&value).chain(&more).map(problem).collect();
    anyhow!(lines.join("\n"))
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
