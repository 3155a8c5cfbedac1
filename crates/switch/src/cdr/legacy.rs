//! The records of a node that was removed for good: whoever holds their last copy writes them, under the name of that node.
//!
//! Rows that were finished become rows of this node's outbox as they are, open ones end when their node was last known to
//! live, by the same rule as those of a process that died: nobody else may have the call, and as long as any member cannot
//! be asked they wait. Each row leaves the copy in the change that makes it this node's, so no crash writes it twice.

use super::finished::Finished;
use super::kept::{Copy, copied_key, parse};
use super::orphans::LAST_MOMENTS;
use super::outbox::{Outbox, RowName, close_orphan, name_of};
use super::store::Batch as Changes;
use super::told::{Mark, Told, Whereabouts};
use super::{apart, count};
use crate::cluster::body;
use crate::error::Error;
use crate::shell::Shell;
use ::call::CallId;
use mesh::Kind;
use routing::cluster::NodeId;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes of rows that are decided on together.
const PAGE: usize = 128 << 10;
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// One row of a removed node.
pub(super) struct Legacy {
    key: Vec<u8>,
    pub(super) found: Finished,
    is_open: bool,
}

/// Where the open rows of a removed node are.
pub(super) type OpenRows = FxHashMap<RowName, Vec<u8>>;

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is this node's to write.
    Ours,
    /// Another node has the call, and writes its end.
    Theirs,
    /// It is not known yet.
    Undecided,
}

/// Looks for nodes that were removed, and sees to their records in the background.
pub(super) fn follow(shell: &Arc<Shell>) {
    let left = shell.cdr.outbox.kept().left(&shell.cluster.replicated());
    metrics::gauge!("tandem_cdr_legacies").set(count(left.len() as u64));
    if left.is_empty() || !shell.cluster.is_settled() || shell.cdr.is_inheriting.swap(true, Ordering::AcqRel) {
        return;
    }
    let shell = Arc::clone(shell);
    tokio::spawn(async move {
        for (node, copy) in left {
            if let Err(error) = inherit(&shell, node, copy).await {
                tracing::error!(%error, node, "the records of a removed node could not be taken over yet");
            }
        }
        tokio::time::sleep(AGAIN).await;
        shell.cdr.is_inheriting.store(false, Ordering::Release);
    });
}

/// Takes over what can be decided now; the copy is gone when nothing is left.
async fn inherit(shell: &Arc<Shell>, node: NodeId, copy: Copy) -> Result<(), Error> {
    let outbox = &shell.cdr.outbox;
    let open = on_disk(outbox, move |outbox| outbox.open_rows_of(node)).await?;
    match has_the_last_copy(shell, node, copy.mark).await {
        Some(true) => {}
        Some(false) => {
            tracing::info!(node = &*copy.origin.node, "another node has a newer copy of the records of a removed node");
            return on_disk(outbox, move |outbox| outbox.let_go(node, copy.mark)).await;
        }
        None => return Ok(()),
    }
    let (mut is_left, mut rows, open) = (false, 0, Arc::new(open));
    // The finished ones first: an open row of the same call goes with them.
    for kind in [b"r", b"o"] {
        let mut from = kind.to_vec();
        loop {
            let (page, next) = on_disk(outbox, move |outbox| outbox.page_of(node, &from, kind)).await?;
            let verdicts = decide(shell, &copy, &page).await;
            is_left |= verdicts.contains(&Verdict::Undecided);
            let (copy, open) = (copy.clone(), Arc::clone(&open));
            rows += on_disk(outbox, move |outbox| outbox.take_over(node, &copy, page, &verdicts, &open)).await?;
            let Some(next) = next else { break };
            from = next;
        }
    }
    if rows > 0 {
        metrics::counter!("tandem_cdr_inherited_total").increment(rows);
        tracing::warn!(node = &*copy.origin.node, rows, "took over the records of a removed node");
    }
    if is_left { Ok(()) } else { on_disk(outbox, move |outbox| outbox.note_taken_over(node, copy)).await }
}

/// Whether no other node has a later copy of the rows of a removed node; nothing as long as one does not say.
async fn has_the_last_copy(shell: &Arc<Shell>, node: NodeId, mark: Mark) -> Option<bool> {
    let mut is_last = true;
    for member in others(shell) {
        let answer = shell.cluster.ask(member, Kind::Records, Told::Whose { node }.encode(), PATIENCE).await?;
        let other = body::decode::<Option<Mark>>(&answer)?;
        is_last &= other.is_none_or(|other| (other.worth(), member) < (mark.worth(), shell.cluster.me()));
    }
    Some(is_last)
}

/// What becomes of each row. Only of those that may have another node anybody is asked.
async fn decide(shell: &Arc<Shell>, copy: &Copy, page: &[Legacy]) -> Vec<Verdict> {
    let since = copy.alive.saturating_sub(u64::try_from(LAST_MOMENTS.as_millis()).unwrap_or(0));
    let doubtful = |legacy: &Legacy| legacy.is_open || legacy.found.row.is_final && legacy.found.row.ended.0 >= since;
    let calls: Vec<CallId> =
        page.iter().filter(|legacy| doubtful(legacy)).map(|legacy| legacy.found.row.call).collect();
    let known = if calls.is_empty() { Some(FxHashMap::default()) } else { ask_all(shell, &calls).await };
    let verdict = |legacy: &Legacy| match &known {
        _ if !doubtful(legacy) => Verdict::Ours,
        Some(known) => known.get(&legacy.found.row.call).copied().unwrap_or(Verdict::Ours),
        None => Verdict::Undecided,
    };
    page.iter().map(verdict).collect()
}

/// What all members know of these calls, where it is anything; nothing at all if one of them does not say.
async fn ask_all(shell: &Arc<Shell>, calls: &[CallId]) -> Option<FxHashMap<CallId, Verdict>> {
    let mut all = vec![shell.protect.whereabouts(shell, calls)];
    for member in others(shell) {
        let told = Told::Where { calls: calls.to_vec() };
        let answer = shell.cluster.ask(member, Kind::Records, told.encode(), PATIENCE).await?;
        all.push(body::decode::<Whereabouts>(&answer)?);
    }
    let mut known = FxHashMap::default();
    known.extend(all.iter().flat_map(|one| &one.undecided).map(|call| (*call, Verdict::Undecided)));
    known.extend(all.iter().flat_map(|one| &one.taken).map(|call| (*call, Verdict::Theirs)));
    Some(known)
}

fn others(shell: &Shell) -> Vec<NodeId> {
    let (me, replicated) = (shell.cluster.me(), shell.cluster.replicated());
    let others = replicated.members().values().filter(|member| member.id != me && !member.witness);
    others.map(|member| member.id).collect()
}

async fn on_disk<T: Send + 'static>(
    outbox: &Arc<Outbox>,
    work: impl FnOnce(&Outbox) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    apart(Arc::clone(outbox), work).await.map_err(super::outbox::failed)?
}

impl Outbox {
    /// The open rows of a removed node by their names. Calls among them or among the finished ones that it had taken over itself
    /// are noted: whoever lost them asks for them.
    pub(super) fn open_rows_of(&self, node: NodeId) -> Result<OpenRows, Error> {
        let (mut open, mut limbo) = (OpenRows::default(), FxHashSet::default());
        for kind in [b"o", b"r"] {
            let mut from = kind.to_vec();
            loop {
                let (page, next) = self.page_of(node, &from, kind)?;
                for legacy in page {
                    let row = &legacy.found.row;
                    limbo.extend((row.takeovers > 0).then_some(row.call));
                    if legacy.is_open {
                        open.insert(name_of(row), legacy.key);
                    }
                }
                let Some(next) = next else { break };
                from = next;
            }
        }
        self.kept().note_limbo(node, limbo);
        Ok(open)
    }

    /// Rows of a removed node from a key on that begin like `kind`, and where the next ones begin.
    pub(super) fn page_of(
        &self,
        node: NodeId,
        from: &[u8],
        kind: &[u8; 1],
    ) -> Result<(Vec<Legacy>, Option<Vec<u8>>), Error> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for entry in self.db().from(&copied_key(node, from)) {
            let (key, value) = entry?;
            let Some((_, there)) = parse(&key).filter(|(of, there)| *of == node && there.starts_with(kind)) else {
                break;
            };
            if bytes >= PAGE {
                return Ok((page, Some(there.to_vec())));
            }
            match Finished::read(&value) {
                Ok(found) => page.push(Legacy { key: key.to_vec(), found, is_open: kind == b"o" }),
                Err(error) => self.set_aside(&key, &value, &error)?,
            }
            bytes += value.len();
        }
        Ok((page, None))
    }

    /// Makes rows of a removed node this node's own, or drops them; answers how many it took. All of it is one change.
    pub(super) fn take_over(
        &self,
        node: NodeId,
        copy: &Copy,
        page: Vec<Legacy>,
        verdicts: &[Verdict],
        open: &OpenRows,
    ) -> Result<u64, Error> {
        let (mut batch, mut ours) = (Changes::default(), Vec::new());
        for (mut legacy, verdict) in page.into_iter().zip(verdicts) {
            if *verdict == Verdict::Undecided {
                continue;
            }
            batch.delete(&legacy.key);
            if *verdict == Verdict::Theirs {
                continue;
            }
            if legacy.is_open {
                close_orphan(&mut legacy.found.row, copy.last_alive());
            } else if let Some(key) = open.get(&name_of(&legacy.found.row)) {
                batch.delete(key);
            }
            legacy.found.origin.get_or_insert_with(|| copy.origin.clone());
            ours.push(legacy.found);
        }
        let rows: Vec<_> = ours.iter().map(|found| (&found.row, found.origin.as_ref())).collect();
        tracing::debug!(node, rows = rows.len(), "rows of a removed node");
        self.append_all(batch, &rows)?;
        Ok(rows.len() as u64)
    }
}
