//! Registrations: digest, bindings and their expiry.
//!
//! An address of record (AOR) is an actor while messages for it come, and a row while it is idle: a million phones fit only
//! as rows. The rows outlive every actor here, and calls read them without asking anyone, as long as this node owns them.

mod aor_actor;
mod contacts;
mod keeper;
mod placed;
mod reader;
mod said;
mod shard;
#[cfg(test)]
mod tests;

use crate::clock;
use crate::cluster::{Carried, Whose};
use crate::door::Door;
use crate::shell::Shell;
use crate::supervise::{Child, Plan, Strategy};
use bytes::Bytes;
pub use contacts::{Address, Contacts, Listed};
use keeper::Keeper;
use mesh::{Kind, Reply};
pub(crate) use placed::{find, known};
use routing::cluster::{NodeId, shard_of};
use routing::model::{Trunk, User};
use said::Said;
use shard::Ask;
use sip::{Builder, Flow, Message, Name};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Supervisors of registrations in this node.
const SHARDS: usize = 16;
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

/// The way in for REGISTERs.
#[derive(Clone)]
pub struct Registrations {
    shell: Arc<Shell>,
    doors: Arc<Vec<(Door<Ask>, Arc<AtomicUsize>)>>,
    keeper: Arc<Keeper>,
}

impl Registrations {
    /// In front of the shards.
    #[must_use]
    pub fn new(shell: Arc<Shell>) -> Self {
        let doors = Arc::new((0..SHARDS).map(|_| Default::default()).collect());
        Self { shell, doors, keeper: Arc::default() }
    }

    /// Takes a checked REGISTER to the node that owns its address of record.
    pub(crate) fn register(&self, request: Message, flow: Flow) {
        let Some(aor) = reader::aor(&self.shell, &request) else {
            self.shell.reject("register_without_user");
            let response = Builder::response(&request, 400, Some("To names no user"), "").finish();
            return self.shell.send_back(response, &request, &flow);
        };
        let cluster = &self.shell.cluster;
        match cluster.whose(shard_of(&aor), clock::now().mono) {
            Whose::Ours => self.take(aor, request, flow),
            Whose::Of(owner) => {
                let flow = placed::absolute(cluster, flow);
                let carried = Carried { bytes: request.bytes().clone(), flow, tried: vec![cluster.me()] };
                if !cluster.tell(owner, Kind::Registration, Said::Register(carried).encode()) {
                    self.not_now(&request, &flow);
                }
            }
            Whose::Nobody => self.not_now(&request, &flow),
        }
    }

    /// A REGISTER for an address of this node. It is dropped and counted when its shard does not keep up; the phone sends it
    /// again.
    fn take(&self, aor: Arc<str>, request: Message, flow: Flow) {
        let (door, waiting) = &self.doors[self.shell.contacts.shard_of(&aor)];
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            waiting.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("tandem_queue_full_total", "queue" => "registrations").increment(1);
            return;
        }
        let permit = shard::Permit(Arc::clone(waiting));
        door.tell(Ask::Register(Box::new(shard::Registering { aor, request, flow, permit })));
    }

    /// Nobody may act for the address just now: the phone tries again, here or at another site.
    fn not_now(&self, request: &Message, flow: &Flow) {
        self.shell.reject("no_owner");
        let tag = format!("s{:x}", self.shell.seed());
        let response = Builder::response(request, 503, None, &tag).header(Name::RetryAfter, 5).finish();
        self.shell.send_back(response, request, flow);
    }

    /// What another node says about registrations; `false` if it cannot be read.
    pub(crate) fn receive(&self, _: NodeId, body: &[u8], reply: Option<Reply>) -> bool {
        let Some(said) = Said::decode(body) else { return false };
        let (contacts, now) = (&self.shell.contacts, clock::now());
        match (said, reply) {
            (Said::Register(carried), _) => return self.carried(carried),
            (Said::Copy(copies), Some(reply)) => {
                if contacts.adopt(&copies, now).is_ok() {
                    reply.send(Bytes::new());
                }
                contacts.publish();
            }
            (Said::Fetch { shards, after }, Some(reply)) => {
                reply.send(contacts.page(&shards, after.as_deref(), now).encode());
            }
            (Said::Lookup(aor), Some(reply)) => reply.send(contacts.copies([&*aor], now).encode()),
            (Said::Copy(_) | Said::Fetch { .. } | Said::Lookup(_), None) => return false,
        }
        true
    }

    /// A REGISTER that another node has passed on. It is not passed on again: shards that move settle within a second, and the
    /// phone sends it again.
    fn carried(&self, carried: Carried) -> bool {
        let Ok(request) = Message::parse(carried.bytes) else { return false };
        let Some(aor) = reader::aor(&self.shell, &request) else { return false };
        match self.shell.cluster.whose(shard_of(&aor), clock::now().mono) {
            Whose::Ours => self.take(aor, request, carried.flow),
            Whose::Of(_) | Whose::Nobody => self.not_now(&request, &carried.flow),
        }
        true
    }

    /// Looks whether shards have moved.
    pub(crate) fn follow(&self) {
        self.keeper.follow(&self.shell);
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
