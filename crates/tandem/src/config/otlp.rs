//! `[otlp]`: a collector of traces.

use super::hep::is_host_and_port;
use serde::Deserialize;

/// OTLP over gRPC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    /// `http://host:port`.
    pub endpoint: String,
    /// Of so many calls in a hundred traces are sent, of the others nothing.
    #[serde(default = "few")]
    pub percent: u8,
}

const fn few() -> u8 {
    1
}

impl Otlp {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let endpoint = &self.endpoint;
        if endpoint.starts_with("https://") {
            let why = "TLS to the collector is not there yet: send to one on this machine by http://, such as \
                       http://127.0.0.1:4317, and let it pass the spans on";
            return Err(("otlp.endpoint", why.to_owned()));
        }
        let named = endpoint.strip_prefix("http://").is_some_and(|rest| {
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
            is_host_and_port(rest) && rest.bytes().all(known)
        });
        if !named {
            return Err((
                "otlp.endpoint",
                format!("`{endpoint}` is no http://host:port, such as http://127.0.0.1:4317"),
            ));
        }
        if !(1..=100).contains(&self.percent) {
            return Err(("otlp.percent", "must be 1 to 100; leave [otlp] out to trace nothing".to_owned()));
        }
        Ok(())
    }

    /// The same for the switch.
    #[must_use]
    pub(crate) fn options(&self) -> switch::otlp::Options {
        switch::otlp::Options { endpoint: self.endpoint.clone(), percent: self.percent }
    }
}
