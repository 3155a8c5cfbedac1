//! Registrations: digest, bindings and their expiry.
//!
//! An address of record (AOR) is an actor while messages for it come, and a row while it is idle: a million phones fit only
//! as rows. The rows outlive every actor here, and calls read them without asking anyone.

mod aor_actor;
mod reader;
mod shard;
#[cfg(test)]
mod tests;

use crate::clock;
use crate::door::Door;
use crate::resolver::Hops;
use crate::shell::Shell;
use crate::supervise::{Child, Plan, Strategy};
use ::call::input::Hop;
use ::registrar::{Aor, Binding, Registrar};
use parking_lot::Mutex;
use routing::model::{Trunk, User};
use shard::Ask;
use sip::clock::Now;
use sip::uri::Uri;
use sip::{Flow, Message};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Supervisors of registrations in this node.
const SHARDS: usize = 16;
/// Sleeping rows a shard.
const ROWS: usize = 250_000;
/// REGISTERs that may wait at one shard.
const WAITING: usize = 2_000;

/// The AOR of a line.
#[must_use]
pub fn user_aor(user: &User) -> String {
    format!("sip:{}@user.invalid", user.name)
}

/// The AOR of a PBX that registers.
#[must_use]
pub fn trunk_aor(trunk: &Trunk) -> String {
    format!("sip:{}@trunk.invalid", trunk.name)
}

/// Who is registered where: read by calls, written by the AORs' actors.
#[derive(Clone)]
pub struct Contacts {
    shards: Arc<Vec<Mutex<Registrar>>>,
    hasher: RandomState,
}

impl Default for Contacts {
    fn default() -> Self {
        let now = clock::now();
        let shards = (0..SHARDS).map(|_| Mutex::new(Registrar::new(now, ROWS))).collect();
        Self { shards: Arc::new(shards), hasher: RandomState::new() }
    }
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

impl Contacts {
    fn shard_of(&self, aor: &str) -> usize {
        usize::try_from(self.hasher.hash_one(aor) % SHARDS as u64).unwrap_or(0)
    }

    fn rows(&self, aor: &str) -> &Mutex<Registrar> {
        &self.shards[self.shard_of(aor)]
    }

    /// Where calls to `aor` go, preferred contacts first; empty if nothing is registered.
    #[must_use]
    pub fn hops(&self, aor: &str, now: Now) -> Hops {
        let Some(aor) = self.rows(aor).lock().peek(now, aor) else { return Hops::new() };
        aor.contacts(now.mono).into_iter().filter_map(hop).collect()
    }

    /// The bindings of `aor` as a machine to work on.
    fn wake(&self, aor: &Arc<str>, now: Now) -> Aor {
        self.rows(aor).lock().peek(now, aor).unwrap_or_else(|| Aor::new(Arc::clone(aor)))
    }

    /// Puts back what the machine holds now.
    fn store(&self, aor: &Aor, now: Now) -> Result<(), ::registrar::Error> {
        let mut rows = self.rows(aor.name()).lock();
        // The old row goes first, so that an AOR without bindings leaves nothing.
        drop(rows.wake(now, aor.name()));
        rows.sleep(now, aor)
    }

    /// Drops what has run out.
    fn expire(&self, shard: usize, now: Now) {
        let mut rows = self.shards[shard].lock();
        rows.handle_timeout(now);
        while rows.poll_effect().is_some() {}
    }

    /// Sets the metric.
    fn publish(&self) {
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("tandem_registrations").set(self.len() as f64);
    }

    /// AORs with a binding.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|rows| rows.lock().len()).sum()
    }

    /// Whether nothing is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` bindings.
    #[must_use]
    pub fn list(&self, limit: usize, now: Now) -> Vec<Listed> {
        let mut out = Vec::new();
        for shard in self.shards.iter() {
            let rows = shard.lock();
            for (name, row) in rows.rows().take(limit - out.len().min(limit)) {
                let Ok(aor) = Aor::wake(Arc::clone(name), row, now) else { continue };
                out.extend(aor.contacts(now.mono).into_iter().map(|binding| listed(name, binding, now)));
            }
        }
        out.truncate(limit);
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }
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

/// The way in for REGISTERs.
#[derive(Clone)]
pub struct Registrations {
    shell: Arc<Shell>,
    doors: Arc<Vec<(Door<Ask>, Arc<AtomicUsize>)>>,
}

impl Registrations {
    /// In front of the shards.
    #[must_use]
    pub fn new(shell: Arc<Shell>) -> Self {
        Self { shell, doors: Arc::new((0..SHARDS).map(|_| Default::default()).collect()) }
    }

    /// Takes a checked REGISTER. It is dropped and counted when its shard does not keep up; the phone sends it again.
    pub(crate) fn register(&self, request: Message, flow: Flow) {
        let Some(aor) = reader::aor(&self.shell, &request) else {
            self.shell.reject("register_without_user");
            let response = sip::Builder::response(&request, 400, Some("To names no user"), "").finish();
            return self.shell.send_back(response, &request, &flow);
        };
        let (door, waiting) = &self.doors[self.shell.contacts.shard_of(&aor)];
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            waiting.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("tandem_queue_full_total", "queue" => "registrations").increment(1);
            return;
        }
        let permit = shard::Permit(Arc::clone(waiting));
        door.tell(Ask::Register(Box::new(shard::Registering { aor, request, flow, permit })));
    }
}

/// The supervision plan: the shards.
pub(crate) fn plan(registrations: &Registrations) -> Plan {
    let shards = (0..SHARDS).map(|index| {
        let shared = registrations.clone();
        Child::new("registrations", move |up| {
            let shared = shared.clone();
            async move { shard::spawn(shared.shell, shared.doors[index].0.clone(), index, up).await }
        })
    });
    Plan { name: "registrations", strategy: Strategy::OneForOne, children: shards.collect() }
}
