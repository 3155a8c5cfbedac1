//! Who is registered where, as far as this node holds it: rows of the addresses of record that it owns or backs up, read by
//! calls and written by the actors of the addresses.

use super::SHARDS;
use super::said::{Copies, PAGE};
use crate::clock;
use crate::resolver::Hops;
use ::call::input::Hop;
use ::registrar::{Aor, Binding, Registrar, Row};
use parking_lot::Mutex;
use routing::cluster::{self, shard_of};
use sip::clock::{Now, Wall};
use sip::uri::Uri;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Sleeping rows a shard.
const ROWS: usize = 250_000;
/// Addresses that wait for their backup to hear of them; those beyond have it at their next REGISTER.
const LACKING: usize = 100_000;

/// The rows of this node.
#[derive(Clone)]
pub struct Contacts {
    shards: Arc<Vec<Mutex<Registrar>>>,
    hasher: RandomState,
    /// How many nodes have still to say what they have of a shard of the cluster.
    arriving: Arc<Vec<AtomicU32>>,
    /// Addresses of which the backup of their shard has not heard the last, each with a number that rises with what it has not
    /// heard.
    lacking: Arc<Mutex<BTreeMap<Box<str>, u64>>>,
}

impl Default for Contacts {
    fn default() -> Self {
        let now = steady(clock::now());
        let shards = (0..SHARDS).map(|_| Mutex::new(Registrar::new(now, ROWS))).collect();
        let arriving = (0..cluster::SHARDS).map(|_| AtomicU32::new(0)).collect();
        Self {
            shards: Arc::new(shards),
            hasher: RandomState::new(),
            arriving: Arc::new(arriving),
            lacking: Arc::default(),
        }
    }
}

/// An address of record with its bindings, for listings.
#[derive(Clone, Debug)]
pub struct Address {
    /// The address of record.
    pub aor: Arc<str>,
    /// Its bindings, preferred ones first; none if they have just run out.
    pub bindings: Vec<Listed>,
}

/// One binding, for listings.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The line or PBX.
    pub name: String,
    /// Its contact.
    pub contact: String,
    /// Seconds that are left.
    pub expires: u32,
    /// The transport that it came over.
    pub transport: &'static str,
    /// What it calls itself.
    pub user_agent: String,
}

/// A clock for rows: its calendar is the monotonic clock's, so that a jump of the real one neither ends a registration nor
/// keeps one alive.
fn steady(now: Now) -> Now {
    Now { wall: Wall(now.mono.as_micros() / 1000), ..now }
}

impl Contacts {
    pub(super) fn shard_of(&self, aor: &str) -> usize {
        usize::try_from(self.hasher.hash_one(aor) % SHARDS as u64).unwrap_or(0)
    }

    fn rows(&self, aor: &str) -> &Mutex<Registrar> {
        &self.shards[self.shard_of(aor)]
    }

    /// Where calls to `aor` go, preferred contacts first; empty if nothing is registered here.
    #[must_use]
    pub fn hops(&self, aor: &str, now: Now) -> Hops {
        let Some(aor) = self.rows(aor).lock().peek(steady(now), aor) else { return Hops::new() };
        hops_of(&aor, now)
    }

    /// A node will say what it has of a shard of the cluster.
    pub(super) fn expect(&self, shard: u16) {
        self.arriving[usize::from(shard % cluster::SHARDS)].fetch_add(1, Ordering::Relaxed);
    }

    /// It has, or cannot; once for each [`Self::expect`].
    pub(super) fn arrived(&self, shard: u16) {
        self.arriving[usize::from(shard % cluster::SHARDS)].fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether what is not here may still be with another node.
    pub(super) fn is_arriving(&self, shard: u16) -> bool {
        self.arriving[usize::from(shard % cluster::SHARDS)].load(Ordering::Relaxed) > 0
    }

    /// The backup of this address has not heard what it holds now; it is told as soon as it can be reached.
    pub(super) fn lacks_copy(&self, aor: &str) {
        let mut lacking = self.lacking.lock();
        if let Some(number) = lacking.get_mut(aor) {
            *number += 1;
        } else if lacking.len() < LACKING {
            lacking.insert(aor.into(), 0);
        }
    }

    /// The addresses whose backup has to be told.
    pub(super) fn lacking(&self) -> BTreeMap<Box<str>, u64> {
        self.lacking.lock().clone()
    }

    /// The backup has heard of an address, or need not, unless there was something new since.
    pub(super) fn lacks_nothing(&self, aor: &str, number: u64) {
        let mut lacking = self.lacking.lock();
        if lacking.get(aor) == Some(&number) {
            lacking.remove(aor);
        }
    }

    /// The bindings of `aor` as a machine to work on.
    pub(super) fn wake(&self, aor: &Arc<str>, now: Now) -> Aor {
        self.rows(aor).lock().peek(steady(now), aor).unwrap_or_else(|| Aor::new(Arc::clone(aor)))
    }

    /// Puts back what the machine holds now.
    pub(super) fn store(&self, aor: &Aor, now: Now) -> Result<(), ::registrar::Error> {
        let now = steady(now);
        let mut rows = self.rows(aor.name()).lock();
        // The old row goes first, so that an AOR without bindings leaves nothing.
        drop(rows.wake(now, aor.name()));
        rows.sleep(now, aor)
    }

    /// Drops what has run out.
    pub(super) fn expire(&self, shard: usize, now: Now) {
        let mut rows = self.shards[shard].lock();
        rows.handle_timeout(steady(now));
        while rows.poll_effect().is_some() {}
    }

    /// What these addresses hold, for another node.
    pub(super) fn copies<'a>(&self, aors: impl IntoIterator<Item = &'a str>, now: Now) -> Copies {
        let now = steady(now);
        let row = |aor: &str| self.rows(aor).lock().peek(now, aor).and_then(|aor| aor.checkpoint(now));
        let rows = aors.into_iter().map(|aor| (Box::from(aor), row(aor))).collect();
        Copies { at: now.wall, rows, more: false }
    }

    /// Takes over what another node has sent. What is registered here since then stays.
    pub(super) fn adopt(&self, copies: &Copies, now: Now) -> Result<(), ::registrar::Error> {
        for (name, row) in &copies.rows {
            let aor: Arc<str> = Arc::from(&**name);
            match row {
                // The times of a row are of the sender's clock: what is left of them counts from now on.
                Some(row) => self.store(&Aor::wake(aor, row, Now { wall: copies.at, ..now })?, now)?,
                None => drop(self.rows(name).lock().wake(steady(now), name)),
            }
        }
        Ok(())
    }

    /// Takes over rows for addresses that nothing is known of here.
    pub(super) fn adopt_missing(&self, mut copies: Copies, now: Now) -> Result<(), ::registrar::Error> {
        copies.rows.retain(|(name, row)| row.is_some() && !self.rows(name).lock().contains(name));
        self.adopt(&copies, now)
    }

    /// The next page of the rows of some shards of the cluster, by name.
    pub(super) fn page(&self, shards: &[u16], after: Option<&str>, now: Now) -> Copies {
        let now = steady(now);
        let wanted = |name: &str| after.is_none_or(|after| name > after) && shards.contains(&shard_of(name));
        let mut found: Vec<(Box<str>, Option<Row>)> = Vec::new();
        for rows in self.shards.iter() {
            let rows = rows.lock();
            found.extend(
                rows.rows().filter(|(name, _)| wanted(name)).map(|(name, row)| (Box::from(&**name), Some(row.clone()))),
            );
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        Copies { at: now.wall, rows: found, more }
    }

    /// Forgets the rows of shards that this node neither owns nor backs up.
    pub(super) fn forget(&self, keeps: impl Fn(u16) -> bool) {
        let now = steady(clock::now());
        for rows in self.shards.iter() {
            let mut rows = rows.lock();
            let gone: Vec<Arc<str>> =
                rows.rows().filter(|(name, _)| !keeps(shard_of(name))).map(|(name, _)| Arc::clone(name)).collect();
            gone.iter().for_each(|name| drop(rows.wake(now, name)));
        }
    }

    /// Sets the metric.
    pub(super) fn publish(&self) {
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("tandem_registrations").set(self.len() as f64);
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("tandem_registrations_lacking").set(self.lacking.lock().len() as f64);
    }

    /// AORs with a binding, those that this node backs up included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|rows| rows.lock().len()).sum()
    }

    /// Whether nothing is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Addresses in these shards of the cluster. Looks at every row.
    #[must_use]
    pub fn count(&self, shows: impl Fn(u16) -> bool) -> usize {
        self.shards.iter().map(|rows| rows.lock().rows().filter(|(name, _)| shows(shard_of(name))).count()).sum()
    }

    /// The first `limit` addresses after `after`, by name, of those in these shards of the cluster; there are more if there
    /// are as many. Looks at every row.
    #[must_use]
    pub fn list(&self, after: Option<&str>, limit: usize, now: Now, shows: impl Fn(u16) -> bool) -> Vec<Address> {
        // The greatest stands on top, to give way to a smaller one.
        let mut first: BinaryHeap<Arc<str>> = BinaryHeap::new();
        for rows in self.shards.iter() {
            let rows = rows.lock();
            for (name, _) in rows.rows() {
                let full = first.len() >= limit;
                let fits = !full || first.peek().is_some_and(|greatest| name < greatest);
                if fits && after.is_none_or(|after| &**name > after) && shows(shard_of(name)) {
                    first.push(Arc::clone(name));
                    if full {
                        first.pop();
                    }
                }
            }
        }
        first.into_sorted_vec().into_iter().map(|aor| self.address(aor, now)).collect()
    }

    fn address(&self, aor: Arc<str>, now: Now) -> Address {
        let found = self.rows(&aor).lock().peek(steady(now), &aor);
        let contacts = found.as_ref().map_or_else(Vec::new, |found| found.contacts(now.mono));
        let bindings = contacts.into_iter().map(|one| listed(&aor, one, now)).collect();
        Address { aor, bindings }
    }
}

/// Where calls to an address go, from what another node says of it.
pub(super) fn hops_in(copies: &Copies, now: Now) -> Hops {
    let Some((name, Some(row))) = copies.rows.first() else { return Hops::new() };
    let aor = Aor::wake(Arc::from(&**name), row, Now { wall: copies.at, ..now });
    aor.map_or_else(|_| Hops::new(), |aor| hops_of(&aor, now))
}

fn hops_of(aor: &Aor, now: Now) -> Hops {
    aor.contacts(now.mono).into_iter().filter_map(hop).collect()
}

fn listed(aor: &str, binding: &Binding, now: Now) -> Listed {
    Listed {
        name: Uri::parse(aor).and_then(|uri| uri.user).unwrap_or(aor).to_owned(),
        contact: binding.contact.to_string(),
        expires: binding.seconds_left(now.mono),
        transport: binding.flow.transport.param(),
        user_agent: binding.user_agent.as_deref().unwrap_or("").to_owned(),
    }
}

/// A call goes back the way that the REGISTER came: through the NAT, over the connection.
fn hop(binding: &Binding) -> Option<Hop> {
    let uri = Uri::parse(&binding.contact)?;
    let host = uri.port.map_or_else(|| uri.host.to_owned(), |port| format!("{}:{port}", uri.host));
    Some(Hop {
        gateway: None,
        host: host.into(),
        uri: Some(Arc::from(&*binding.contact)),
        route: binding.path.as_deref().map(Arc::from),
        transport: binding.flow.transport,
        remote: binding.flow.remote,
        flow: Some(binding.flow),
    })
}
