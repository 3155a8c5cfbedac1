//! node.toml: what is true of one machine. Read and checked whole before a port is bound; unknown keys are refused.

mod cluster;
mod hep;
mod http;
mod ladder;
mod media;
mod node;
mod otlp;
mod sip_section;
#[cfg(test)]
mod tests;

pub(crate) use cluster::Cluster;
pub(crate) use hep::Hep;
pub(crate) use http::{Http, Token};
pub(crate) use ladder::Ladder;
pub(crate) use media::Media;
pub(crate) use node::Node;
pub(crate) use otlp::Otlp;
pub(crate) use sip_section::Sip;

use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// `[node]`
    pub node: Node,
    /// `[sip]`
    pub sip: Sip,
    /// `[media]`
    pub media: Media,
    /// `[cluster]`
    #[serde(default)]
    pub cluster: Cluster,
    /// `[http]`
    #[serde(default)]
    pub http: Http,
    /// `[ladder]`
    #[serde(default)]
    pub ladder: Ladder,
    /// `[hep]`
    pub hep: Option<Hep>,
    /// `[otlp]`
    pub otlp: Option<Otlp>,
}

/// What is wrong with a file, where, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The line, if one is to blame.
    pub line: Option<usize>,
    /// What is wrong, and how to mend it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.what),
            None => write!(f, "{}: {}", self.path.display(), self.what),
        }
    }
}

impl std::error::Error for Problem {}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub(crate) fn load(path: &Path) -> Result<Self, Problem> {
        let text = std::fs::read_to_string(path).map_err(|error| Problem {
            path: path.to_owned(),
            line: None,
            what: format!("cannot be read: {error}"),
        })?;
        Self::parse(path, &text)
    }

    /// Reads and checks text.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Problem> {
        let config: Self = toml::from_str(text).map_err(|error| Problem {
            path: path.to_owned(),
            line: error.span().map(|span| line_of(text, span.start)),
            what: error.message().replace('\n', "; "),
        })?;
        config.check().map_err(|(key, what)| Problem {
            path: path.to_owned(),
            line: line_of_key(text, key),
            what: format!("{key}: {what}"),
        })?;
        Ok(config)
    }

    /// What the types cannot say. Answers the key that is wrong and what to do.
    fn check(&self) -> Result<(), (&'static str, String)> {
        self.node.check()?;
        self.sip.check()?;
        self.media.check()?;
        self.http.check()?;
        self.ladder.check()?;
        self.hep.as_ref().map_or(Ok(()), Hep::check)?;
        self.otlp.as_ref().map_or(Ok(()), Otlp::check)
    }

    /// What the file asks for and this version does not do yet: said at start, never silently.
    #[must_use]
    pub(crate) fn not_yet(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let closed = [("tls", self.sip.tls.len()), ("ws", self.sip.ws.len()), ("wss", self.sip.wss.len())];
        for (name, count) in closed.into_iter().filter(|(_, count)| *count > 0) {
            lines
                .push(format!("[sip] {name}: this version does not listen there yet; {count} address(es) stay closed"));
        }
        lines
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count() + 1
}

/// The line of `section.key`, for what is found after parsing.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let (section, key) = key.split_once('.')?;
    let mut inside = false;
    text.lines().enumerate().find_map(|(index, line)| {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']) == section;
        }
        let is_key = line.split('=').next().is_some_and(|name| name.trim() == key);
        (inside && is_key).then_some(index + 1)
    })
}
