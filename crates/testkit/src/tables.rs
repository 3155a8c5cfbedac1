//! Tables for a call between two partners.

use routing::{Document, Scope, Tables, View};
use std::path::PathBuf;

/// Two trunks, a plan, a number of ours and a line. `ingress` comes from 192.0.2.1, `egress` and `second` go to 192.0.2.2
/// and 192.0.2.3.
pub const PARTNERS: &str = r#"
[[account]]
name = "acme"
currency = "EUR"

[[trunk]]
name = "ingress"
account = "acme"
channels = 10
[trunk.ingress]
from = ["192.0.2.1/32"]
plan = "retail"
caller_policy = "pass"

[[trunk]]
name = "egress"
account = "acme"
[trunk.egress]
gateways = [ { address = "192.0.2.2:5060" } ]
tech_prefix = "99"
timeout_seconds = 4

[[trunk]]
name = "second"
account = "acme"
[trunk.egress]
gateways = [ { address = "192.0.2.3:5060" } ]

[[plan]]
name = "retail"
order = "priority"
[[plan.route]]
prefix = "44"
trunks = ["egress", "second"]
[[plan.route]]
prefix = "33"
trunks = ["egress"]
"#;

/// Four partners who may all call each other and whose REFER is followed: `one` to `four` at 192.0.2.1 to 192.0.2.4. 44 leads
/// to `two`, 49 to `three`, 33 to `three` and then `four`; 7 is denied to all, 8 leads nowhere.
#[must_use]
pub fn transfers() -> View {
    transfers_with("")
}

/// [`transfers`], with further lines of each trunk.
#[must_use]
pub fn transfers_with(more: &str) -> View {
    let mut toml = String::from("[[account]]\nname = \"acme\"\ncurrency = \"EUR\"\n");
    for (last, name) in (1..).zip(["one", "two", "three", "four"]) {
        toml += &format!(
            "[[trunk]]\nname = \"{name}\"\naccount = \"acme\"\nchannels = 10\nrefer = \"follow\"\n{more}\n\
             [trunk.ingress]\nfrom = [\"192.0.2.{last}/32\"]\nplan = \"all\"\ncaller_policy = \"pass\"\ndeny = [\"7\"]\n\
             [trunk.egress]\ngateways = [ {{ address = \"192.0.2.{last}:5060\" }} ]\ntimeout_seconds = 4\n"
        );
    }
    toml += "[[plan]]\nname = \"all\"\norder = \"priority\"\n";
    for (prefix, trunks) in [("44", "\"two\""), ("49", "\"three\""), ("33", "\"three\", \"four\"")] {
        toml += &format!("[[plan.route]]\nprefix = \"{prefix}\"\ntrunks = [{trunks}]\n");
    }
    view(&toml)
}

/// A view of the tables that `toml` describes.
///
/// # Panics
/// The document is wrong.
#[must_use]
pub fn view(toml: &str) -> View {
    let document = Document::parse(&[(PathBuf::from("test.toml"), toml.to_owned())]).expect("a valid document");
    let mut tables = Tables::default();
    let change = tables.plan_change(&document, Scope::Declare).expect("valid tables");
    tables.apply(&change).expect("valid tables");
    View::build(&tables, 1)
}
