//! Trunks: their capacity and the health of their gateways, read by calls without waiting; one actor each, which pings,
//! registers with carriers and follows the tables.

mod fencings;
mod figures;
mod leading;
mod probe;
mod said;
mod share;
mod supervisor;
mod trunk_actor;

use crate::clock;
use crate::cluster::Cluster;
use crate::door::Door;
use crate::shell::Shell;
use ::call::effect::{Event, Outcome};
use ::trunk::gateway::{self, GatewaySet};
use ::trunk::quota::Limits;
use arc_swap::ArcSwap;
use fencings::Fencings;
use figures::Figures;
pub use figures::Traffic;
use leading::Leading;
use parking_lot::Mutex;
use routing::model::{self, Trunk};
use rustc_hash::FxHashMap;
use share::Share;
pub use share::{Acquired, Purpose};
use sip::clock::Instant;
use std::sync::Arc;
use std::time::Duration;
pub use supervisor::spawn;
use tokio::task::JoinSet;
use trunk_actor::Ask;

/// How long a trunk may take to stop.
const LEAVE: Duration = Duration::from_secs(1);

/// What calls see of one trunk.
pub(crate) struct Gate {
    name: Arc<str>,
    share: Mutex<Share>,
    leading: Mutex<Leading>,
    pub(crate) gateways: Mutex<GatewaySet>,
    pub(crate) figures: Figures,
    pub(crate) door: Door<Ask>,
    /// Since when our registration with the carrier stands, if it does.
    pub(crate) registered: Mutex<Option<Instant>>,
}

/// All trunks. A gate outlives its trunk's row as long as calls hold channels of it.
#[derive(Default)]
pub struct Trunks {
    gates: ArcSwap<FxHashMap<Arc<str>, Arc<Gate>>>,
    adding: Mutex<()>,
    fencings: Fencings,
}

/// How a trunk stands, for listings.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub name: Arc<str>,
    /// Channels in use.
    pub used: u32,
    /// Channels that this node may use without asking the trunk's leader; `None` where there is no limit.
    pub leased: Option<u32>,
    /// Channels that this node holds, in use or free.
    pub held: u32,
    /// The life of this node that holds them.
    pub incarnation: u64,
    /// Channels that the trunk's leader has lent, if it is on this node and not counting them yet.
    pub lent: Option<u32>,
    /// Their limit.
    pub channels: Option<u32>,
    /// Calls a second allowed.
    pub cps: Option<u32>,
    /// Address of each gateway and what is known of it.
    pub gateways: Vec<(Arc<str>, gateway::State)>,
    /// Whether we are registered with the carrier; `None` if we are not meant to be.
    pub registered: Option<bool>,
    /// What has gone over it here, ingress and egress.
    pub traffic: [Traffic; 2],
}

impl Trunks {
    /// The gate of a trunk, made if this is the first to ask.
    pub(crate) fn gate(&self, trunk: &Trunk, cluster: &Cluster) -> Arc<Gate> {
        if let Some(gate) = self.gates.load().get(&trunk.name) {
            return Arc::clone(gate);
        }
        let _one_at_a_time = self.adding.lock();
        if let Some(gate) = self.gates.load().get(&trunk.name) {
            return Arc::clone(gate);
        }
        let gate = Arc::new(Gate {
            name: Arc::clone(&trunk.name),
            share: Mutex::new(Share::new(trunk, cluster)),
            leading: Mutex::default(),
            gateways: Mutex::new(GatewaySet::default()),
            figures: Figures::new(&trunk.name),
            door: Door::default(),
            registered: Mutex::new(None),
        });
        configure(&gate, trunk);
        let mut gates = FxHashMap::clone(&self.gates.load());
        gates.insert(Arc::clone(&trunk.name), Arc::clone(&gate));
        self.gates.store(Arc::new(gates));
        gate
    }

    fn known(&self, name: &str) -> Option<Arc<Gate>> {
        self.gates.load().get(name).map(Arc::clone)
    }

    /// A changed row: limits and gateways follow it, calls in progress stay.
    pub(crate) fn reconfigure(&self, shell: &Arc<Shell>, trunk: &Trunk) {
        configure(&self.gate(trunk, &shell.cluster), trunk);
        self.resize(shell, trunk);
    }

    /// The gateways that a call should try, in order.
    #[must_use]
    pub fn candidates(&self, trunk: &Trunk, now: Instant, seed: u64) -> Vec<model::Gateway> {
        let Some(gate) = self.known(&trunk.name) else { return Vec::new() };
        let gateways = gate.gateways.lock();
        let order = gateways.candidates(now, seed);
        order.into_iter().filter_map(|index| gateways.gateways().get(index)).map(|g| g.row().clone()).collect()
    }

    /// What a call learnt of a gateway.
    pub fn outcome(&self, trunk: &str, gateway: &str, outcome: Outcome, now: Instant) {
        let Some(gate) = self.known(trunk) else { return };
        let learnt = match outcome {
            Outcome::Alive => gateway::Outcome::Response,
            Outcome::Unavailable(seconds) => {
                gateway::Outcome::Unavailable { retry_after: seconds.map(|s| Duration::from_secs(s.into())) }
            }
            Outcome::Timeout | Outcome::Unreachable => gateway::Outcome::Silence,
        };
        let mut gateways = gate.gateways.lock();
        let Some(index) = gateways.gateways().iter().position(|g| &*g.row().address == gateway) else { return };
        let Some(machine) = gateways.gateway_mut(index) else { return };
        let before = (machine.state(), machine.poll_timeout());
        machine.handle_call(now, learnt);
        let moved = before.0 != machine.state() || machine.poll_timeout() < before.1;
        drop(gateways);
        if moved {
            gate.door.tell(Ask::Look);
        }
    }

    /// Stops every trunk's actor, while there is still a way to tell the carriers that we are gone.
    pub(crate) async fn leave(&self) {
        let mut leaving = JoinSet::new();
        for actor in self.gates.load().values().filter_map(|gate| gate.door.actor()) {
            leaving.spawn(async move { actor.stop_and_wait(Some("shutdown".to_owned()), Some(LEAVE)).await });
        }
        leaving.join_all().await;
    }

    /// Counts what happened to a call.
    pub fn count(&self, event: &Event) {
        let name = match event {
            Event::Moved { .. } => return,
            Event::Attempt { trunk, .. }
            | Event::Answered { trunk, .. }
            | Event::Rang { trunk, .. }
            | Event::Carried { trunk, .. }
            | Event::Heard { trunk, .. }
            | Event::Unheard { trunk, .. }
            | Event::Failed { trunk, .. }
            | Event::Ended { trunk, .. } => trunk,
        };
        if &**name == "unknown" {
            if let Event::Failed { .. } = event {
                metrics::counter!("tandem_sip_rejected_total", "reason" => "unknown_source").increment(1);
            }
            return;
        }
        match self.known(name) {
            Some(gate) => gate.figures.count(event),
            // Phones have no trunk; their calls are counted together.
            None => Figures::of_phones().count(event),
        }
    }

    /// How every trunk stands.
    #[must_use]
    pub fn standings(&self, view: &routing::View) -> Vec<Standing> {
        let mut all: Vec<_> = view.trunks().map(|trunk| self.standing(trunk)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Answered calls that are up on each trunk, ingress and egress, those of phones under an empty name. A trunk that was removed
    /// is told of as long as it has calls.
    #[must_use]
    pub fn active(&self, view: &routing::View) -> Vec<(Arc<str>, [i64; 2])> {
        let of_ways = |figures: &Figures| figures.traffic().map(|way| way.active);
        let gates = self.gates.load();
        let named = gates.values().map(|gate| (Arc::clone(&gate.name), of_ways(&gate.figures)));
        let mut all: Vec<_> = named.filter(|(name, active)| view.trunk(name).is_some() || *active != [0, 0]).collect();
        all.push((Arc::from(""), of_ways(Figures::of_phones())));
        all.sort_unstable();
        all
    }

    fn standing(&self, trunk: &Trunk) -> Standing {
        let gate = self.known(&trunk.name);
        let (used, held, incarnation, limits) = gate.as_ref().map_or((0, 0, 0, Limits::of(trunk)), |gate| {
            let share = gate.share.lock();
            (share.used(), share.held(), share.incarnation(), share.limits())
        });
        let wants_registration = trunk.egress.as_ref().is_some_and(|egress| egress.register.is_some());
        Standing {
            name: Arc::clone(&trunk.name),
            used,
            leased: limits.channels.map(|_| held),
            held,
            incarnation,
            lent: gate.as_ref().and_then(|gate| gate.leading.lock().lent()),
            channels: limits.channels,
            cps: limits.cps,
            gateways: gate.as_ref().map_or_else(Vec::new, |gate| {
                let gateways = gate.gateways.lock();
                gateways.gateways().iter().map(|g| (Arc::clone(&g.row().address), g.state())).collect()
            }),
            traffic: gate.as_ref().map(|gate| gate.figures.traffic()).unwrap_or_default(),
            registered: wants_registration.then(|| gate.is_some_and(|gate| gate.registered.lock().is_some())),
        }
    }
}

fn configure(gate: &Gate, trunk: &Trunk) {
    let rows = trunk.egress.as_ref().map_or(&[][..], |egress| &egress.gateways);
    gate.gateways.lock().reconfigure(rows, clock::now().mono, fastrand(trunk));
}

/// Spreads the first pings of many trunks over a second; which trunk comes when is of no consequence.
fn fastrand(trunk: &Trunk) -> u64 {
    trunk.name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
