//! A running service and the shortest way to ask it for things.

use ractor::{Actor, ActorRef};
use routing::{Document, Tables as Rows};
use std::path::Path;
use std::sync::Arc;
use tables::{Alone, Applied, Apply, Error, Handle, Message, Options, Tables};

/// Tables with at least one row of every kind.
pub(crate) const EVERY_KIND: &str = r#"
[[account]]
name = "acme"
currency = "EUR"
billing = "prepaid"
balance = "250.00"
sell_deck = "sell"

[[deck]]
name = "sell"
currency = "EUR"
[[deck.rate]]
prefix = "44"
rate = "0.0100"
from = "2026-01-01T00:00:00Z"
[[deck.rate]]
prefix = "49"
rate = "0.0200"

[[plan]]
name = "retail"
order = "priority"
[[plan.route]]
prefix = "44"
trunks = ["alpha", { trunk = "beta", weight = 30 }]
[[plan.route]]
prefix = "44"
trunks = ["beta"]
hours = "Mon-Fri 08:00-18:00 Europe/Berlin"
[[plan.route]]
prefix = ""
trunks = ["beta"]

[[plan]]
name = "retail2"
[[plan.route]]
prefix = "1"
trunks = ["alpha"]

[[trunk]]
name = "alpha"
[trunk.egress]
gateways = [{ address = "192.0.2.1:5060" }]

[[trunk]]
name = "beta"
channels = 30
[trunk.ingress]
from = ["192.0.2.2/32"]
plan = "retail"
[trunk.egress]
gateways = [{ address = "192.0.2.2:5060", transport = "tcp" }]
register = { registrar = "sip.example.org", username = "u", password = "p" }

[[number]]
number = "+442071230000"
account = "acme"
to = "user:alice"
on_failure = "number:+447700900000"

[[user]]
name = "alice"
account = "acme"
password = "wonderland"
caller = "+442071230001"
plan = "retail"

[[ported]]
number = "+447700900001"
lrn = "+447999000001"

[[screen]]
name = "default"
block_called = ["4487"]
"#;

/// The service of one folder.
pub(crate) struct Desk {
    pub(crate) handle: Handle,
    actor: ActorRef<Message>,
    task: tokio::task::JoinHandle<()>,
}

impl Desk {
    pub(crate) async fn open(dir: &Path) -> Result<Self, Error> {
        Self::with(Options::new(dir)).await
    }

    pub(crate) async fn with(options: Options) -> Result<Self, Error> {
        let (service, handle) = open(&options)?;
        let (actor, task) = Actor::spawn(None, service, ()).await.expect("the actor starts");
        // What was in the log is in the tables once it leads.
        handle.read_index().await?;
        Ok(Self { handle, actor, task })
    }

    /// Stops the service and lets go of the folder: the actor's task owns the service, so its end is waited for.
    pub(crate) async fn close(self) {
        self.actor.stop(None);
        self.task.await.expect("it stops");
    }

    pub(crate) async fn reopen(self, dir: &Path) -> Self {
        self.close().await;
        Self::open(dir).await.expect("it opens again")
    }

    pub(crate) async fn apply(&self, text: &str) -> Result<Applied, Error> {
        self.handle.apply(document(text), Apply::default()).await
    }

    pub(crate) async fn prune(&self, text: &str) -> Result<Applied, Error> {
        self.handle.apply(document(text), Apply { prune: true, ..Apply::default() }).await
    }

    pub(crate) fn rows(&self) -> Rows {
        self.handle.view().tables().clone()
    }
}

/// Opens the tables of a node that stands alone.
pub(crate) fn open(options: &Options) -> Result<(Tables, Handle), Error> {
    Tables::open(options, Arc::new(Alone))
}

pub(crate) fn document(text: &str) -> Document {
    Document::parse(&[("tables.toml".into(), text.to_owned())]).expect("the document is well formed")
}

/// An account with the least that it needs.
pub(crate) fn account(name: &str) -> String {
    format!("[[account]]\nname = \"{name}\"\ncurrency = \"EUR\"\n")
}
