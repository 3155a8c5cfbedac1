//! Keeps registrations where their shards are: whoever takes a shard over fetches what others have of it, a new backup is
//! given a copy of all, and one that could not be reached is told later what it has missed.

use super::said::{Copies, Said};
use crate::clock;
use crate::shell::Shell;
use mesh::Kind;
use parking_lot::Mutex;
use routing::cluster::{Cluster, Liveness, NodeId, SHARDS, shard_of};
use sip::clock::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long another node may take for one page.
const PAGE: Duration = Duration::from_secs(2);
/// Addresses in one page of what a backup has missed.
const MISSED: usize = 256;
/// How often a page is asked for before it is given up and counted.
const TRIES: usize = 3;
/// How long a node that is not heard may keep what it has of a shard: a node that has just started hears nobody yet.
const UNHEARD: Duration = Duration::from_secs(10);

/// What the shards were when they were last looked at, and whether somebody works on a difference.
#[derive(Default)]
pub(super) struct Keeper {
    seen: Mutex<Seen>,
    /// One at a time: what changes meanwhile is seen by the next look.
    working: tokio::sync::Mutex<()>,
    /// Backups are being told what they have missed.
    is_telling: AtomicBool,
}

#[derive(Default)]
struct Seen {
    version: u64,
    places: Vec<(Option<NodeId>, Option<NodeId>)>,
    /// What others have of shards that are this node's now, and could not be asked for yet.
    waiting: BTreeMap<NodeId, Waiting>,
}

struct Waiting {
    since: Instant,
    shards: BTreeSet<u16>,
}

/// What is to be moved, by the node to ask or to tell.
#[derive(Default, Debug, PartialEq, Eq)]
struct Moves {
    fetch: BTreeMap<NodeId, Vec<u16>>,
    copy: BTreeMap<NodeId, Vec<u16>>,
}

/// Addresses of which a backup that is up has missed the last, each with the number that it has in [`super::Contacts`].
type Missed = BTreeMap<NodeId, Vec<(Box<str>, u64)>>;

impl Keeper {
    /// Looks whether shards have moved, and moves their rows in the background.
    pub(super) fn follow(self: &Arc<Self>, shell: &Arc<Shell>) {
        self.tell(shell);
        let moves = self.seen.lock().look(shell);
        if moves == Moves::default() {
            return;
        }
        let (keeper, shell) = (Arc::clone(self), Arc::clone(shell));
        tokio::spawn(async move {
            let _turn = keeper.working.lock().await;
            perform(&shell, moves).await;
            let (me, replicated) = (shell.cluster.me(), shell.cluster.replicated());
            shell.contacts.forget(|number| {
                let shard = replicated.shard(number);
                shard.owner == Some(me) || shard.backup == Some(me) || shard.past.iter().any(|(_, node)| *node == me)
            });
        });
    }
}

impl Keeper {
    /// Tells backups what they have missed, one after the other.
    fn tell(self: &Arc<Self>, shell: &Arc<Shell>) {
        let missed = missed(shell);
        if missed.is_empty() || self.is_telling.swap(true, Ordering::AcqRel) {
            return;
        }
        let (keeper, shell) = (Arc::clone(self), Arc::clone(shell));
        tokio::spawn(async move {
            for (node, aors) in missed {
                for page in aors.chunks(MISSED) {
                    let copies = shell.contacts.copies(page.iter().map(|(aor, _)| &**aor), clock::now());
                    if ask(&shell, node, &Said::Copy(copies)).await.is_some() {
                        page.iter().for_each(|(aor, number)| shell.contacts.lacks_nothing(aor, *number));
                    }
                }
            }
            shell.contacts.publish();
            keeper.is_telling.store(false, Ordering::Release);
        });
    }
}

impl Seen {
    /// What can be moved now.
    fn look(&mut self, shell: &Shell) -> Moves {
        let (replicated, now) = (shell.cluster.replicated(), clock::now().mono);
        let mut moves = Moves::default();
        if self.version != replicated.version {
            moves = self::moves(&self.places, &replicated, shell.cluster.me());
            self.version = replicated.version;
            self.places = replicated.shards().iter().map(|shard| (shard.owner, shard.backup)).collect();
        }
        for (node, shards) in std::mem::take(&mut moves.fetch) {
            let waiting = self.waiting.entry(node).or_insert_with(|| Waiting { since: now, shards: BTreeSet::new() });
            shards
                .iter()
                .filter(|shard| waiting.shards.insert(**shard))
                .for_each(|shard| shell.contacts.expect(*shard));
        }
        self.waiting.retain(|node, waiting| {
            if shell.cluster.is_up(*node) {
                moves.fetch.insert(*node, waiting.shards.iter().copied().collect());
                return false;
            }
            // What a fenced node had is with the backups.
            let lives = replicated.member(*node).is_some_and(|member| member.liveness != Liveness::Fenced);
            let stays = lives && now.since(waiting.since) < UNHEARD;
            if !stays {
                waiting.shards.iter().for_each(|shard| shell.contacts.arrived(*shard));
            }
            stays
        });
        moves
    }
}

fn moves(before: &[(Option<NodeId>, Option<NodeId>)], now: &Cluster, me: NodeId) -> Moves {
    let mut moves = Moves::default();
    for number in (0..SHARDS).filter(|number| now.shard(*number).owner == Some(me)) {
        let shard = now.shard(number);
        let (owner, backup) = before.get(usize::from(number)).copied().unwrap_or_default();
        if owner != Some(me) {
            let had = [owner, shard.past.last().map(|(_, node)| *node), backup, shard.backup];
            let others = had.into_iter().flatten().filter(|node| *node != me);
            others.for_each(|node| add(&mut moves.fetch, node, number));
        }
        if let Some(to) = shard.backup.filter(|to| owner != Some(me) || Some(*to) != backup) {
            add(&mut moves.copy, to, number);
        }
    }
    moves
}

/// What can be told now. An address that is not this node's any more, or has no backup, is nothing to tell: whoever becomes its
/// owner or its backup is given everything.
fn missed(shell: &Shell) -> Missed {
    let (mut missed, replicated) = (Missed::new(), shell.cluster.replicated());
    for (aor, number) in shell.contacts.lacking() {
        let shard = replicated.shard(shard_of(&aor));
        match shard.backup.filter(|_| shard.owner == Some(shell.cluster.me())) {
            Some(backup) if shell.cluster.is_up(backup) => missed.entry(backup).or_default().push((aor, number)),
            Some(_) => {}
            None => shell.contacts.lacks_nothing(&aor, number),
        }
    }
    missed
}

fn add(to: &mut BTreeMap<NodeId, Vec<u16>>, node: NodeId, shard: u16) {
    let shards = to.entry(node).or_default();
    if shards.last() != Some(&shard) {
        shards.push(shard);
    }
}

async fn perform(shell: &Shell, moves: Moves) {
    for (node, shards) in moves.fetch {
        fetch(shell, node, &shards).await;
        shards.iter().for_each(|shard| shell.contacts.arrived(*shard));
    }
    for (node, shards) in moves.copy {
        copy(shell, node, &shards).await;
    }
}

async fn fetch(shell: &Shell, node: NodeId, shards: &[u16]) {
    let mut after = None;
    loop {
        let question = Said::Fetch { shards: shards.to_vec(), after };
        let Some(page) = ask(shell, node, &question).await.and_then(|answer| Copies::decode(&answer)) else { return };
        let more = page.more;
        after = page.rows.last().map(|(name, _)| name.clone());
        if shell.contacts.adopt_missing(page, clock::now()).is_err() {
            metrics::counter!("tandem_registrations_unprotected_total").increment(1);
        }
        if !more || after.is_none() {
            return;
        }
    }
}

async fn copy(shell: &Shell, node: NodeId, shards: &[u16]) {
    let mut after: Option<Box<str>> = None;
    loop {
        let page = shell.contacts.page(shards, after.as_deref(), clock::now());
        let more = page.more;
        after = page.rows.last().map(|(name, _)| name.clone());
        if after.is_none() || ask(shell, node, &Said::Copy(page)).await.is_none() || !more {
            return;
        }
    }
}

async fn ask(shell: &Shell, node: NodeId, question: &Said) -> Option<bytes::Bytes> {
    for _ in 0..TRIES {
        if let Some(answer) = shell.cluster.ask(node, Kind::Registration, question.encode(), PAGE).await {
            return Some(answer);
        }
        if !shell.cluster.is_up(node) {
            return None;
        }
    }
    metrics::counter!("tandem_registrations_unprotected_total").increment(1);
    None
}
