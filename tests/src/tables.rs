//! Table files for tests: one caller's trunk, and gateways behind a plan.

use std::fmt::Write;
use std::net::IpAddr;

use crate::Lab;

/// The partner that calls, by default.
pub const CALLER: u8 = 10;
/// The first gateway, by default.
pub const GATEWAY: u8 = 20;
/// The second gateway.
pub const SECOND_GATEWAY: u8 = 21;
/// The port of every partner and of the node.
pub const PORT: u16 = 5060;

/// Builds the text of a tables file.
#[derive(Default)]
pub struct Tables {
    text: String,
}

impl Tables {
    /// The usual world: trunk `pbx` at [`CALLER`] may call; plan `retail` sends everything to trunk `alpha` at
    /// [`GATEWAY`], and after it to `beta` at [`SECOND_GATEWAY`].
    pub fn usual(lab: &Lab) -> Self {
        Self::default()
            .account("acme", "retail")
            .ingress("pbx", lab.host(CALLER), "")
            .egress("alpha", lab.host(GATEWAY), "udp")
            .egress("beta", lab.host(SECOND_GATEWAY), "udp")
            .plan("retail", &["alpha", "beta"])
    }

    /// A postpaid account whose users dial through `plan`.
    #[must_use]
    pub fn account(self, name: &str, plan: &str) -> Self {
        self.with(&format!(
            "[[account]]\nname = \"{name}\"\ncurrency = \"EUR\"\nbilling = \"postpaid\"\nplan = \"{plan}\""
        ))
    }

    /// A trunk of `acme` from which calls come; `more` are further lines of its `[trunk.ingress]`.
    #[must_use]
    pub fn ingress(self, name: &str, from: IpAddr, more: &str) -> Self {
        self.with(&format!(
            "[[trunk]]\nname = \"{name}\"\naccount = \"acme\"\nmedia = \"relay\"\n\
             [trunk.ingress]\nfrom = [\"{from}/32\"]\nplan = \"retail\"\ncaller_policy = \"pass\"\n{more}"
        ))
    }

    /// A trunk of `acme` that is known by digest alone.
    #[must_use]
    pub fn ingress_by_digest(self, name: &str, password: &str) -> Self {
        self.with(&format!(
            "[[trunk]]\nname = \"{name}\"\naccount = \"acme\"\nmedia = \"relay\"\n\
             [trunk.ingress]\nusername = \"{name}\"\npassword = \"{password}\"\nplan = \"retail\"\ncaller_policy = \"pass\""
        ))
    }

    /// A trunk of `acme` to which calls go, with one gateway.
    #[must_use]
    pub fn egress(self, name: &str, gateway: IpAddr, transport: &str) -> Self {
        self.with(&format!(
            "[[trunk]]\nname = \"{name}\"\naccount = \"acme\"\nmedia = \"relay\"\n\
             [trunk.egress]\n\
             gateways = [ {{ address = \"{gateway}:{PORT}\", transport = \"{transport}\", priority = 1, weight = 100 }} ]\n\
             timeout_seconds = 2\nreroute = [408, 480, 500, 502, 503, 504]"
        ))
    }

    /// A plan that tries `trunks` in turn, whatever the number.
    #[must_use]
    pub fn plan(self, name: &str, trunks: &[&str]) -> Self {
        let mut list = String::new();
        for trunk in trunks {
            let _ = write!(list, "\"{trunk}\", ");
        }
        self.with(&format!(
            "[[plan]]\nname = \"{name}\"\norder = \"priority\"\n[[plan.route]]\nprefix = \"\"\ntrunks = [{list}]"
        ))
    }

    /// A phone line of `acme`, with its number.
    #[must_use]
    pub fn user(self, name: &str, password: &str, number: &str) -> Self {
        self.with(&format!(
            "[[user]]\nname = \"{name}\"\naccount = \"acme\"\npassword = \"{password}\"\ncaller = \"{number}\"\n\n\
             [[number]]\nnumber = \"{number}\"\naccount = \"acme\"\nto = \"user:{name}\""
        ))
    }

    /// Any further lines.
    #[must_use]
    pub fn with(mut self, lines: &str) -> Self {
        self.text.push_str(lines);
        self.text.push_str("\n\n");
        self
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }
}
