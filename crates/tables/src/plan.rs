//! What the leader makes of proposals: each is checked against the tables that the one before it leaves. Pure but for
//! reading the past and the pieces of imports from the store.

use crate::ask::{Ask, Done, Refusal};
use crate::calm::breathe;
use crate::command::{Made, RequestId, Told};
use crate::delta::{self, Counts, Delta, owner};
use crate::history::{Revision, RevisionInfo};
use crate::piece::Form;
use crate::proposal::Signature;
use crate::replica::{Replica, filled, heads};
use crate::{Error, store};
use bytes::Bytes;
use routing::{Change, Document, Row, RowKey, Scope, Tables};
use sip::clock::Wall;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

/// Rows and keys that go into one entry; a change of more travels in pieces.
const LARGE: usize = 1000;

/// Lines of an answer, and their bytes: the whole of a large change is what nobody reads, and no message may be of 4 MB.
const LINES: usize = 10_000;
const LINES_BYTES: usize = 1 << 20;

/// What becomes of one proposal.
pub(crate) enum Planned {
    /// It is done already, or there is nothing to do.
    Done(Done),
    Refused(Refusal),
    /// A revision in an entry with others.
    Make(Box<Made>, Vec<String>),
    /// A revision that is too large for that, in an entry of its own.
    Stage(Box<Made>, Vec<String>),
    /// An import is complete: first this piece of it, if it is not empty.
    Commit {
        info: Box<RevisionInfo>,
        last: Change,
    },
}

/// The plan of the first proposals of a queue.
pub(crate) struct Plan {
    /// The tables that it was made for.
    pub(crate) base: Revision,
    /// The last entry that they contain.
    pub(crate) applied: u64,
    /// One for each of the first proposals; the others are for the next plan.
    pub(crate) planned: Vec<Planned>,
}

/// The tables as they would be after what is planned so far.
struct Draft<'r> {
    replica: &'r Replica,
    tables: Tables,
    revision: Revision,
}

/// Plans as many of the proposals as go into one entry.
pub(crate) fn plan(replica: &Replica, asks: &[(RequestId, Arc<Ask>)]) -> Result<Plan, Error> {
    let (mut draft, applied, known) = {
        let state = replica.state();
        let known: Vec<Option<Told>> = asks.iter().map(|(id, _)| state.answers.get(*id).cloned()).collect();
        let draft = Draft { replica, tables: state.tables.clone(), revision: state.revision };
        (draft, state.applied.map_or(0, |id| id.index), known)
    };
    let base = draft.revision;
    let mut planned = Vec::new();
    let mut rows = 0;
    for ((id, ask), told) in asks.iter().zip(known) {
        if let Some(Told::Revision(revision)) = told {
            planned.push(Planned::Done(draft.told(ask, revision)?));
            continue;
        }
        let alone = ask.stands_alone();
        if alone && !planned.is_empty() {
            break;
        }
        let next = draft.one(*id, ask).unwrap_or_else(|error| Planned::Refused(error.into()));
        if let Planned::Make(made, _) = &next {
            rows += size(&made.change);
        }
        // Planned again, as the first of the next entry.
        if (matches!(next, Planned::Stage(..)) || rows > LARGE) && !planned.is_empty() {
            break;
        }
        let ends = alone || matches!(next, Planned::Stage(..));
        planned.push(next);
        if ends {
            break;
        }
    }
    Ok(Plan { base, applied, planned })
}

impl Draft<'_> {
    /// Somebody asks again for what was done.
    fn told(&self, ask: &Ask, revision: Revision) -> Result<Done, Error> {
        if !matches!(ask, Ask::Apply { .. } | Ask::Rollback { .. }) {
            return Ok(Done::Revision { revision, lines: Vec::new() });
        }
        match self.replica.change(revision) {
            Ok((before, change)) => Ok(Done::Revision { revision, lines: lines(&change, &before) }),
            Err(Error::NoRevision { .. }) => Ok(Done::Revision { revision, lines: Vec::new() }),
            Err(error) => Err(error),
        }
    }

    fn one(&mut self, id: RequestId, ask: &Ask) -> Result<Planned, Error> {
        match ask {
            Ask::Propose { change, by, expect } => {
                self.expect(*expect)?;
                self.make(id, change, by, None, Vec::new())
            }
            Ask::Apply { document, prune, by, expect } => {
                self.expect(*expect)?;
                let change = change_of(&self.tables, document, *prune)?;
                let lines = lines(&change, &self.tables);
                self.make(id, &change, by, None, lines)
            }
            Ask::Rollback { to, by } => {
                let target = self.replica.tables_at(&self.tables, self.revision, *to)?;
                let change = self.tables.diff(&target);
                let lines = lines(&change, &self.tables);
                self.make(id, &change, by, Some(*to), lines)
            }
            Ask::Commit { import, pieces, replace, by, expect } => {
                self.expect(*expect)?;
                self.commit(*import, *pieces, replace, by)
            }
            Ask::Cluster(_) | Ask::Stage { .. } | Ask::Discard { .. } | Ask::ReadIndex => Err(misplaced()),
            Ask::AddLearner { .. } | Ask::SetVoters(_) | Ask::RemoveLearner(_) => Err(misplaced()),
        }
    }

    fn expect(&self, expected: Option<Revision>) -> Result<(), Error> {
        match expected {
            Some(expected) if expected != self.revision => Err(Error::Moved { expected, found: self.revision }),
            Some(_) | None => Ok(()),
        }
    }

    fn make(
        &mut self,
        id: RequestId,
        change: &Change,
        by: &Signature,
        rollback_to: Option<Revision>,
        lines: Vec<String>,
    ) -> Result<Planned, Error> {
        let delta = self.checked(change)?;
        if delta.change.is_empty() {
            return Ok(Planned::Done(Done::Revision { revision: self.revision, lines }));
        }
        self.revision += 1;
        let info = describe(self.revision, delta.counts, by, rollback_to);
        let large = size(&delta.change) > LARGE;
        let made = Box::new(Made { id, info, change: delta.change });
        Ok(if large { Planned::Stage(made, lines) } else { Planned::Make(made, lines) })
    }

    /// Makes the change in the draft if the tables are valid with it.
    fn checked(&mut self, change: &Change) -> Result<Delta, Error> {
        let delta = delta::make(&mut self.tables, change);
        if let Err(errors) = self.tables.validate() {
            self.tables.apply_unchecked(&delta.inverse);
            return Err(Error::Refused(errors));
        }
        Ok(delta)
    }

    fn commit(
        &mut self,
        import: RequestId,
        expected: u32,
        replace: &[RowKey],
        by: &Signature,
    ) -> Result<Planned, Error> {
        let engine = &self.replica.engine;
        let (there, mut first) = heads(engine, import)?;
        // One more if it was tried before and the tables have moved on since.
        if there != expected && there != expected + 1 {
            let what = format!("{there} of {expected} pieces of the import are there; import again");
            return Err(Error::Fault(what));
        }
        let last = self.replacement(&first, replace);
        first.put.extend(last.put.iter().cloned());
        first.delete.extend(last.delete.iter().cloned());
        let after = filled(engine, import, &self.tables, &first)?;
        after.validate().map_err(Error::Refused)?;
        let mut counts = Counts::default();
        self.tables.steps(&after, |step| {
            breathe();
            counts.add(&step);
        });
        if counts.is_none() {
            return Ok(Planned::Done(Done::Revision { revision: self.revision, lines: Vec::new() }));
        }
        self.tables = after;
        self.revision += 1;
        Ok(Planned::Commit { info: Box::new(describe(self.revision, counts, by, None)), last })
    }

    /// What makes decks and plans exactly what is imported: they go, and their heads come back with what was imported.
    fn replacement(&self, heads: &Change, replace: &[RowKey]) -> Change {
        let imported: BTreeSet<RowKey> = heads.put.iter().map(Row::key).collect();
        let heads = replace.iter().filter(|key| !imported.contains(key)).filter_map(|key| self.tables.get(key));
        Change { put: heads.collect(), delete: replace.to_vec() }
    }
}

/// What a document asks for.
pub(crate) fn change_of(before: &Tables, document: &Document, prune: bool) -> Result<Change, Error> {
    let scope = if prune { Scope::Declare } else { Scope::Merge };
    let mut change = before.plan_change(document, scope).map_err(Error::Refused)?;
    if !prune {
        without_stale_bodies(before, document, &mut change)?;
    }
    Ok(change)
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

/// A change in pieces of bounded size, each as it is staged.
pub(crate) fn in_pieces(change: &Change, form: Form) -> Result<Vec<Bytes>, Error> {
    /// Bytes of a row, more or less.
    const ROW: usize = 128;
    let rows = form.length() / ROW;
    let puts = change.put.chunks(rows).map(|rows| Change { put: rows.to_vec(), delete: Vec::new() });
    let deletes = change.delete.chunks(rows).map(|keys| Change { put: Vec::new(), delete: keys.to_vec() });
    puts.chain(deletes).map(|piece| Ok(form.write(store::encode(&piece)?))).collect()
}

/// What is told of a change, as much of it as goes into one answer.
fn lines(change: &Change, before: &Tables) -> Vec<String> {
    change.first_lines(before, LINES, LINES_BYTES)
}

fn size(change: &Change) -> usize {
    change.put.len() + change.delete.len()
}

fn keys(rows: impl Iterator<Item = Row>) -> Vec<RowKey> {
    rows.map(|row| row.key()).collect()
}

fn describe(revision: Revision, counts: Counts, by: &Signature, rollback_to: Option<Revision>) -> RevisionInfo {
    let Signature { who, comment } = by.clone();
    let Counts { added, changed, deleted } = counts;
    RevisionInfo { revision, at: now(), who, comment, added, changed, deleted, rollback_to }
}

fn now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn misplaced() -> Error {
    Error::Fault("it changes no rows".into())
}
