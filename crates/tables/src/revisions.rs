//! One change after the other: validated against the whole, written, published. Everything here blocks.

use crate::history::{Revision, RevisionInfo};
use crate::proposal::{Applied, Apply, Proposal, Signature};
use crate::publisher::Publisher;
use crate::store::{Store, count};
use crate::{Error, Options};
use parking_lot::Mutex;
use routing::{Change, Document, Row, RowKey, Scope, Tables, View};
use sip::clock::Wall;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// The current tables, their store and their past.
#[derive(Debug)]
pub(crate) struct Revisions {
    store: Mutex<Store>,
    publisher: Publisher,
    history: Mutex<VecDeque<RevisionInfo>>,
    kept: usize,
}

impl Revisions {
    pub(crate) fn open(options: &Options) -> Result<Self, Error> {
        let (store, loaded) = Store::open(crate::folder_of(options))?;
        let view = View::build(&loaded.tables, loaded.revision);
        metrics::gauge!("tandem_table_revision").set(loaded.revision as f64);
        Ok(Self {
            store: Mutex::new(store),
            publisher: Publisher::new(view),
            history: Mutex::new(loaded.history),
            kept: options.revisions_kept.max(1),
        })
    }

    pub(crate) const fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub(crate) fn history(&self) -> Vec<RevisionInfo> {
        self.history.lock().iter().cloned().collect()
    }

    pub(crate) fn propose(&self, proposal: &Proposal) -> Result<Revision, Error> {
        let mut store = self.writable()?;
        let before = self.publisher.view();
        expect(proposal.expect, &before)?;
        self.commit(&mut store, &before, &proposal.change, &proposal.by, None)
    }

    pub(crate) fn apply(&self, document: &Document, apply: &Apply) -> Result<Applied, Error> {
        if apply.dry_run {
            return self.plan(document, apply).map(|(_, _, applied)| applied);
        }
        let mut store = self.writable()?;
        let (before, change, applied) = self.plan(document, apply)?;
        let revision = self.commit(&mut store, &before, &change, &apply.by, None)?;
        Ok(Applied { revision, ..applied })
    }

    fn plan(&self, document: &Document, apply: &Apply) -> Result<(Arc<View>, Change, Applied), Error> {
        let before = self.publisher.view();
        expect(apply.expect, &before)?;
        let scope = if apply.prune { Scope::Declare } else { Scope::Merge };
        let mut change = before.tables().plan_change(document, scope).map_err(Error::Refused)?;
        if !apply.prune {
            without_stale_bodies(before.tables(), document, &mut change)?;
        }
        let lines = change.lines(before.tables());
        let revision = before.revision;
        Ok((before, change, Applied { revision, lines }))
    }

    pub(crate) fn rollback(&self, to: Revision, by: &Signature, dry_run: bool) -> Result<Applied, Error> {
        let mut store = self.writable()?;
        let before = self.publisher.view();
        let target = self.tables_at(&store, &before, to)?;
        let change = before.tables().diff(&target);
        let lines = change.lines(before.tables());
        if dry_run {
            return Ok(Applied { revision: before.revision, lines });
        }
        let revision = self.commit(&mut store, &before, &change, by, Some(to))?;
        Ok(Applied { revision, lines })
    }

    /// What a revision of the past changed, as lines.
    pub(crate) fn show(&self, revision: Revision) -> Result<Vec<String>, Error> {
        let store = self.writable()?;
        let now = self.publisher.view();
        // The first state has no change that led to it.
        let Some(previous) = revision.checked_sub(1) else { return Ok(Vec::new()) };
        let before = self.tables_at(&store, &now, previous)?;
        self.known(revision, &now)?;
        Ok(store.change(revision)?.lines(&before))
    }

    fn tables_at(&self, store: &Store, now: &View, to: Revision) -> Result<Tables, Error> {
        self.known(to, now)?;
        let mut tables = now.tables().clone();
        for revision in (to + 1..=now.revision).rev() {
            tables.apply_unchecked(&store.inverse(revision)?);
        }
        Ok(tables)
    }

    /// The oldest state that can be returned to is the one before the oldest change that is kept.
    fn known(&self, asked: Revision, now: &View) -> Result<(), Error> {
        let oldest = self.history.lock().front().map_or(now.revision, |info| info.revision.saturating_sub(1));
        let newest = now.revision;
        if (oldest..=newest).contains(&asked) { Ok(()) } else { Err(Error::NoRevision { asked, oldest, newest }) }
    }

    /// Everything that can fail or take long is done before the write; after it only pointers move.
    fn commit(
        &self,
        store: &mut Store,
        before: &Arc<View>,
        change: &Change,
        by: &Signature,
        rollback_to: Option<Revision>,
    ) -> Result<Revision, Error> {
        let mut tables = before.tables().clone();
        tables.apply(change).map_err(Error::Refused)?;
        let (change, inverse) = (before.tables().diff(&tables), tables.diff(before.tables()));
        if change.is_empty() {
            return Ok(before.revision);
        }
        let info = describe(before, &tables, &change, by, rollback_to);
        let view = Arc::new(View::rebuild(before, &tables, &change, info.revision));
        let oldest = (info.revision + 1).saturating_sub(self.kept as u64);
        if let Err(error) = store.commit(&info, &change, &inverse, &tables, oldest) {
            // The disk may have taken the change after all: it decides what the tables are.
            let adopted = self.adopt(store);
            return if adopted.is_ok_and(|revision| revision == info.revision) {
                Ok(info.revision)
            } else {
                Err(error)
            };
        }
        self.publisher.publish(view);
        self.remember(&info);
        Ok(info.revision)
    }

    fn remember(&self, info: &RevisionInfo) {
        let mut history = self.history.lock();
        history.push_back(info.clone());
        while history.len() > self.kept {
            history.pop_front();
        }
        metrics::gauge!("tandem_table_revision").set(info.revision as f64);
        tracing::info!(revision = info.revision, who = info.who, comment = info.comment, "tables changed");
    }

    /// The store, opened again if an earlier write failed: RocksDB takes no write after a failed one.
    fn writable(&self) -> Result<parking_lot::MutexGuard<'_, Store>, Error> {
        let mut store = self.store.lock();
        if store.is_failed() {
            self.adopt(&mut store)?;
        }
        Ok(store)
    }

    /// Opens the store again and takes over what it holds.
    fn adopt(&self, store: &mut Store) -> Result<Revision, Error> {
        let loaded = store.reopen()?;
        if loaded.revision != self.publisher.guard().revision {
            self.publisher.publish(Arc::new(View::build(&loaded.tables, loaded.revision)));
            *self.history.lock() = loaded.history;
            metrics::gauge!("tandem_table_revision").set(loaded.revision as f64);
        }
        Ok(loaded.revision)
    }
}

/// Adds to the change of a merge the routes and rates that the document no longer lists in plans and decks that it lists.
fn without_stale_bodies(before: &Tables, document: &Document, change: &mut Change) -> Result<(), Error> {
    let mut listed = BTreeMap::<RowKey, BTreeSet<RowKey>>::new();
    for key in document.rows().map(Row::key) {
        match owner(&key) {
            Some(owner) => drop(listed.entry(owner).or_default().insert(key)),
            // A deck without rates keeps those that it has; they may come from a price list.
            None if matches!(key, RowKey::Plan(_)) => drop(listed.entry(key).or_default()),
            None => {}
        }
    }
    let mut stale = Vec::new();
    for (owner, rows) in &listed {
        let there = if let RowKey::Plan(name) = owner {
            before.plans().get(name).map_or_else(Vec::new, |plan| keys(plan.rows()))
        } else if let RowKey::Deck(name) = owner {
            before.decks().get(name).map_or_else(Vec::new, |deck| keys(deck.rows()))
        } else {
            Vec::new()
        };
        stale.extend(there.into_iter().filter(|key| key != owner && !rows.contains(key)));
    }
    if !stale.is_empty() {
        change.delete.extend(stale);
        before.clone().apply(change).map_err(Error::Refused)?;
    }
    Ok(())
}

fn owner(key: &RowKey) -> Option<RowKey> {
    match key {
        RowKey::Route { plan, .. } => Some(RowKey::Plan(plan.clone())),
        RowKey::Rate { deck, .. } => Some(RowKey::Deck(deck.clone())),
        RowKey::Account(_) | RowKey::Deck(_) | RowKey::Plan(_) | RowKey::Trunk(_) | RowKey::Number(_) => None,
        RowKey::User(_) | RowKey::Ported(_) | RowKey::Screen(_) => None,
    }
}

fn keys(rows: impl Iterator<Item = Row>) -> Vec<RowKey> {
    rows.map(|row| row.key()).collect()
}

fn expect(expected: Option<Revision>, view: &View) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != view.revision => Err(Error::Moved { expected, found: view.revision }),
        Some(_) | None => Ok(()),
    }
}

fn describe(
    before: &View,
    after: &Tables,
    change: &Change,
    by: &Signature,
    rollback_to: Option<Revision>,
) -> RevisionInfo {
    let added = change.put.iter().filter(|row| before.tables().get(&row.key()).is_none()).count() as u64;
    let Signature { who, comment } = by.clone();
    RevisionInfo {
        revision: before.revision + 1,
        at: now(),
        who,
        comment,
        added,
        changed: (change.put.len() as u64).saturating_sub(added),
        // Counted, not listed: a plan that goes takes its routes along unnamed.
        deleted: (count(before.tables()) + added).saturating_sub(count(after)),
        rollback_to,
    }
}

fn now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
