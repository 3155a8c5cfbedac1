//! Invariant 6: what clients on all nodes have done to the tables and seen of them, and whether that can be right. Each
//! change writes two rows alike; a view that shows them unlike has half a change.

use routing::cluster::NodeId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tables::Revision;
use testkit::linear::{Deed, Event, LONGEST, is_linear};

/// Deeds on one row: then the next row is taken, so that a history stays short enough to be searched.
const ON_ONE: usize = 90;

/// See the module.
#[derive(Default)]
pub(crate) struct Ledger {
    pages: RefCell<Pages>,
}

#[derive(Default)]
struct Pages {
    /// Counts what is begun and ended: the order of the simulation itself.
    moment: u64,
    value: u64,
    rows: Vec<Vec<Event>>,
    /// Who was told which revision, for which value.
    told: BTreeMap<Revision, (usize, u64)>,
    /// The moments' number of acknowledged writes and of reads on each node.
    made: BTreeMap<NodeId, u64>,
    seen: BTreeMap<NodeId, u64>,
    faults: Vec<String>,
    trunks: bool,
}

/// A deed that is under way.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) row: usize,
    at: usize,
}

impl Ledger {
    /// A value for a new write, and where it is noted.
    pub(crate) fn begin_write(&self) -> (Begun, u64) {
        let mut pages = self.pages.borrow_mut();
        pages.value += 1;
        let value = pages.value;
        (pages.begin(Deed::Write(value)), value)
    }

    /// A read begins; it has to be ended by [`Ledger::read`] or is forgotten.
    pub(crate) fn begin_read(&self) -> (usize, u64) {
        let mut pages = self.pages.borrow_mut();
        pages.moment += 1;
        let row = pages.row();
        (row, pages.moment)
    }

    /// A write was acknowledged.
    pub(crate) fn written(&self, begun: Begun, value: u64, revision: Revision, node: NodeId) {
        let mut pages = self.pages.borrow_mut();
        pages.moment += 1;
        let moment = pages.moment;
        pages.rows[begun.row][begun.at].ended = Some(moment);
        *pages.made.entry(node).or_default() += 1;
        if let Some(other) = pages.told.insert(revision, (begun.row, value)) {
            pages.faults.push(format!("revision {revision} was told of two changes, {other:?} and {value}"));
        }
    }

    /// A read that began then has found this.
    pub(crate) fn read(&self, (row, began): (usize, u64), found: (u64, u64), node: NodeId) {
        let mut pages = self.pages.borrow_mut();
        if found.0 != found.1 {
            pages.faults.push(format!("node {node} shows half a change of row {row}: {found:?}"));
        }
        pages.moment += 1;
        let ended = Some(pages.moment);
        *pages.seen.entry(node).or_default() += 1;
        if pages.rows[row].len() < LONGEST {
            pages.rows[row].push(Event { deed: Deed::Read(found.0), began, ended });
        }
    }

    /// Whether somebody has been told to make the trunks; from now on somebody has.
    pub(crate) fn has_asked_for_trunks(&self) -> bool {
        std::mem::replace(&mut self.pages.borrow_mut().trunks, true)
    }

    /// How many changes and reads have come to their end through this node.
    pub(crate) fn done(&self, node: NodeId) -> (u64, u64) {
        let pages = self.pages.borrow();
        let of = |map: &BTreeMap<NodeId, u64>| map.get(&node).copied().unwrap_or(0);
        (of(&pages.made), of(&pages.seen))
    }

    /// What was wrong at once.
    pub(crate) fn faults(&self) -> Vec<String> {
        std::mem::take(&mut self.pages.borrow_mut().faults)
    }

    /// What is wrong with all of it, given the revisions that are in the history of a node.
    pub(crate) fn judge(&self, kept: &[Revision]) -> Vec<String> {
        let pages = self.pages.borrow();
        let lost = pages.told.iter().filter(|(revision, _)| !kept.contains(revision));
        let lost = lost.map(|(revision, what)| format!("revision {revision}, acknowledged for {what:?}, is lost"));
        let torn = pages.rows.iter().enumerate().filter(|(_, events)| !is_linear(events));
        let torn = torn.map(|(row, events)| format!("row {row} was no register: {events:?}"));
        lost.chain(torn).collect()
    }

    /// For the report: writes, those acknowledged, and reads.
    pub(crate) fn figures(&self) -> (u64, usize, u64) {
        let pages = self.pages.borrow();
        (pages.value, pages.told.len(), pages.seen.values().sum())
    }
}

impl Pages {
    fn row(&mut self) -> usize {
        if self.rows.last().is_none_or(|events| events.len() >= ON_ONE) {
            self.rows.push(Vec::new());
        }
        self.rows.len() - 1
    }

    fn begin(&mut self, deed: Deed) -> Begun {
        self.moment += 1;
        let (row, began) = (self.row(), self.moment);
        self.rows[row].push(Event { deed, began, ended: None });
        Begun { row, at: self.rows[row].len() - 1 }
    }
}
