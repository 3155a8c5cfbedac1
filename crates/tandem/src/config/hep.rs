//! `[hep]`: a collector that gets copies of what passes.

use serde::Deserialize;

/// HEP3 over UDP.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hep {
    /// `host:port`.
    pub collector: String,
    /// The id of this capture agent.
    #[serde(default = "first")]
    pub id: u32,
    /// What the collector asks for.
    #[serde(default)]
    pub password: Option<String>,
    /// Of so many calls in a hundred everything is sent, of the others nothing.
    #[serde(default = "all")]
    pub percent: u8,
}

/// Never shows the password.
impl std::fmt::Debug for Hep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { collector, id, percent, .. } = self;
        write!(f, "Hep({collector}, {id}, {percent} %)")
    }
}

const fn first() -> u32 {
    1
}

const fn all() -> u8 {
    100
}

impl Hep {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if !is_host_and_port(&self.collector) {
            return Err(("hep.collector", format!("`{}` is no host:port, such as homer.example:9060", self.collector)));
        }
        if !(1..=100).contains(&self.percent) {
            return Err(("hep.percent", "must be 1 to 100; leave [hep] out to send nothing".to_owned()));
        }
        if self.password.as_ref().is_some_and(|password| password.is_empty() || password.len() > 255) {
            return Err(("hep.password", "must have 1 to 255 bytes; leave it out if there is none".to_owned()));
        }
        Ok(())
    }

    /// The same for the switch.
    #[must_use]
    pub(crate) fn options(&self) -> switch::hep::Options {
        switch::hep::Options {
            collector: self.collector.clone(),
            id: self.id,
            password: self.password.clone(),
            percent: self.percent,
        }
    }
}

/// Whether a text is `host:port`, the host a name or an address; one of IPv6 in brackets.
pub(super) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let host = host.trim_matches(['[', ']']);
        !host.is_empty()
            && (bracketed || !host.contains(':'))
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}
