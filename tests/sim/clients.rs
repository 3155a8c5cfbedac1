//! Operators of a simulated cluster: on each node one who changes rows and one who reads them back, in a row of its own life.

use crate::fleet::Running;
use crate::ledger::Ledger;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use routing::{Change, Document, Row};
use std::rc::Rc;
use std::time::Duration;
use tables::Proposal;

/// Between two deeds of one operator, in ms.
const PAUSE_MS: std::ops::Range<u64> = 60..360;

/// Starts them; they end with the host.
pub(crate) fn start(ledger: &Rc<Ledger>, node: &Running, seed: u64, stale: bool) {
    tokio::task::spawn_local(write(Rc::clone(ledger), node.clone(), StdRng::seed_from_u64(seed)));
    tokio::task::spawn_local(read(Rc::clone(ledger), node.clone(), StdRng::seed_from_u64(!seed), stale));
}

/// Has a node apply a document, until it is applied.
pub(crate) fn apply(node: &Running, text: String) {
    let node = node.clone();
    node.runtime().spawn(async move {
        let document = || Document::parse(&[("partners.toml".into(), text.clone())]).expect("tables");
        while node.tables.apply(document(), tables::Apply::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
}

async fn write(ledger: Rc<Ledger>, node: Running, mut chance: StdRng) {
    loop {
        tokio::time::sleep(Duration::from_millis(chance.random_range(PAUSE_MS))).await;
        if node.tables.identity().is_none() {
            continue;
        }
        let (begun, value) = ledger.begin_write();
        let change = Change { put: pair(begun.row, value), delete: Vec::new() };
        // A refusal leaves it open whether the change was made, as far as the ledger goes.
        if let Ok(revision) = node.tables.propose(Proposal { change, ..Proposal::default() }).await {
            ledger.written(begun, value, revision, node.mesh.me());
        }
    }
}

/// With `stale` it reads what the node shows, without asking how far the others are.
async fn read(ledger: Rc<Ledger>, node: Running, mut chance: StdRng, stale: bool) {
    loop {
        tokio::time::sleep(Duration::from_millis(chance.random_range(PAUSE_MS))).await;
        let begun = ledger.begin_read();
        if stale || node.tables.read_index().await.is_ok() {
            let view = node.tables.view();
            let found = |name: String| {
                let balance = view.account(&name).and_then(|account| account.balance);
                balance.map_or(0, |balance| balance.to_string().parse().expect("as it was written"))
            };
            ledger.read(begun, (found(name(begun.0, "a")), found(name(begun.0, "b"))), node.mesh.me());
        }
    }
}

fn name(row: usize, half: &str) -> String {
    format!("row-{row}-{half}")
}

fn pair(row: usize, value: u64) -> Vec<Row> {
    let half = |half| {
        let name = name(row, half);
        format!("[[account]]\nname = \"{name}\"\ncurrency = \"EUR\"\nbilling = \"prepaid\"\nbalance = \"{value}\"\n")
    };
    let text = half("a") + &half("b");
    let document = Document::parse(&[("simulated.toml".into(), text)]).expect("two accounts");
    document.rows().cloned().collect()
}
