//! One run: a cluster forms, things break by a script while everything is watched, and then all must be well again.

mod acting;
mod wellness;

use crate::channels::Channels;
use crate::chronicle::{self, Chronicle};
use crate::faults::Script;
use crate::fleet::{Fleet, Seat, Setup};
use crate::ledger::Ledger;
use crate::network::Network;
use crate::owners::Owners;
use crate::partners::{self, CARRIER, CHANNELS, Load, PBX};
use crate::phones::{self, PHONES, Phones};
use crate::wire::outside;
use mesh::times::Waits;
use routing::cluster::shard_of;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use topology::{Topology, bundled};
use turmoil::Sim;

/// What one step of the simulation is.
const TICK: Duration = Duration::from_millis(4);
/// Messages within a site take up to so long, and between sites unless a fault says otherwise.
const NEAR_MS: u64 = 1;
const FAR_MS: u64 = 30;
/// How long the cluster may take to form, and to be well after the last fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// A request that nobody answers is given up within this time (RFC 3261 §17.1.2.2), and a relay finds a call silent.
const SILENCE: Duration = Duration::from_secs(40);
/// How often the owners are looked at: two that act for one shard do so for longer.
const GLANCE: Duration = Duration::from_millis(10);
/// How often everything is looked at that costs more than a look.
const OFTEN: Duration = Duration::from_millis(200);

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) seed: u64,
    /// A plan of `cluster/faults`; drawn from the seed without one.
    pub(crate) plan: Option<String>,
    pub(crate) waits: Waits,
    pub(crate) stale_reads: bool,
}

/// What came of it.
pub(crate) struct Verdict {
    pub(crate) faults: Vec<String>,
    pub(crate) figures: String,
}

struct Run<'s> {
    sim: Sim<'s>,
    fleet: Fleet,
    network: Network,
    owners: Owners,
    channels: Channels,
    load: Rc<Load>,
    phones: Rc<Phones>,
    setup: Setup,
    /// Whom the plan has brought down or made stand still.
    affected: Vec<String>,
    looked: Duration,
    glanced: Duration,
    faults: Vec<String>,
}

/// Runs it to its end or to the first fault.
pub(crate) fn run(order: &Order, chronicle: &Chronicle) -> Verdict {
    let topology = if order.plan.is_none() && order.seed.is_multiple_of(3) { five_nodes() } else { three_nodes() };
    let script = match &order.plan {
        None => Script::drawn(order.seed, &topology),
        Some(name) => Script::of_plan(&bundled::fault(name).expect("readable").expect("a plan of this name")),
    };
    let ledger = Rc::new(Ledger::default());
    let folder = std::env::temp_dir().join(format!("tandem-sim-{}", std::process::id()));
    let setup = Setup {
        seed: order.seed,
        waits: order.waits,
        stale_reads: order.stale_reads,
        folder: folder.clone(),
        ledger,
        chronicle: chronicle.clone(),
    };
    let mut run = Run::new(topology, setup);
    run.all(&script);
    // What is left there is no more than call records that nobody reads.
    let _ = std::fs::remove_dir_all(folder);
    let (asked, made, read) = run.setup.ledger.figures();
    let figures = format!(
        "{} nodes, {:.1} s: {made} of {asked} changes acknowledged, {read} reads; {} of {} calls answered, refused {:?}, \
         up to {} at a time",
        run.fleet.seats.len(),
        run.sim.elapsed().as_secs_f64(),
        run.load.answered.get(),
        run.load.offered.get(),
        run.load.refused.borrow(),
        run.channels.most,
    );
    Verdict { faults: run.faults, figures }
}

fn three_nodes() -> Topology {
    bundled::three_sites().expect("valid")
}

/// Where turmoil has a partner.
fn partner(at: &str) -> std::net::IpAddr {
    outside(at.parse::<std::net::SocketAddr>().expect("an address").ip())
}

/// Two sites of two and one of one.
fn five_nodes() -> Topology {
    let node = |(site, number, place): (&str, u8, u8)| {
        let join = if place == 1 { String::new() } else { "\"127.0.1.1:7060\", \"127.0.3.1:7060\"".to_owned() };
        let text = format!(
            "[node]\nname = \"{site}-{number}\"\nsite = \"{site}\"\ndata_dir = \"unused\"\n\
             [sip]\nudp = [\"127.0.{place}.1:5060\"]\ntcp = [\"127.0.{place}.1:5060\"]\n\
             [cluster]\nlisten = \"127.0.{place}.1:7060\"\njoin = [{join}]\n[http]\nlisten = \"127.0.{place}.1:8060\"\n"
        );
        (format!("nodes/{site}-{number}.toml"), text)
    };
    let nodes = [("fra", 1, 1), ("fra", 2, 2), ("lon", 1, 3), ("lon", 2, 4), ("ams", 1, 5)].map(node);
    Topology::parse("five-nodes", &nodes).expect("valid")
}

impl Run<'_> {
    fn new(topology: Topology, setup: Setup) -> Self {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(setup.seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(1_000_000))
            .tcp_capacity(100_000)
            .udp_capacity(100_000)
            .enable_random_order();
        let mut sim = builder.build();
        let fleet = Fleet::new(topology, &setup);
        for seat in &fleet.seats {
            let seat = Rc::clone(seat);
            sim.host(seat.host, move || Rc::clone(&seat).live());
        }
        let load = Rc::new(Load::new());
        let nodes = fleet.topology.nodes.iter().filter_map(|node| node.udp.first().copied()).collect::<Vec<_>>();
        let (seed, offers) = (setup.seed, Rc::clone(&load));
        let called = nodes.clone();
        sim.host(partner(PBX), move || partners::pbx(called.clone(), seed, Rc::clone(&offers)));
        sim.host(partner(CARRIER), partners::carrier);
        let phones = Rc::new(Phones::default());
        let (nodes, told) = (nodes.clone(), Rc::clone(&phones));
        sim.host(partner(PHONES), move || phones::live(nodes.clone(), seed, Rc::clone(&told)));
        let network = Network::new(fleet.seats.iter().map(|seat| seat.host).collect());
        let (owners, channels, affected, faults) = Default::default();
        let (looked, glanced) = (Duration::ZERO, Duration::ZERO);
        let run =
            Self { sim, fleet, network, owners, channels, load, phones, setup, affected, looked, glanced, faults };
        run.delay(FAR_MS);
        run
    }

    fn all(&mut self, script: &Script) {
        if !self.until("the cluster forms", Self::is_well) {
            return;
        }
        if !self.until("the trunks are there", Self::has_trunks) {
            return;
        }
        let began = self.sim.elapsed();
        let mut deeds = script.deeds.iter().peekable();
        while self.sim.elapsed() < began + Duration::from_millis(script.ends_ms) && self.faults.is_empty() {
            while let Some((_, deed)) =
                deeds.next_if(|(at, _)| began + Duration::from_millis(*at) <= self.sim.elapsed())
            {
                self.note(format_args!("-- {deed}"));
                self.act(deed);
            }
            self.step();
        }
        self.note("-- all faults are over");
        self.heal();
        self.restart();
        let before = self.done();
        let mended = |run: &mut Self| run.is_well() && run.has_taken_changes(&before);
        let well = self.until("all is well again", mended);
        self.load.press();
        self.phones.register.set(true);
        let goes_on = well
            && self.until("every channel is used again", Self::uses_all)
            && self.until("every phone is registered", |run| run.phones.registered.borrow().len() == phones::COUNT);
        if !goes_on {
            return;
        }
        let dies = usize::try_from(self.setup.seed).unwrap_or(0) % self.fleet.seats.len();
        self.note(format_args!("-- {dies} dies for good"));
        self.kill(dies, true);
        self.load.rest();
        let survived = self.until("the others have taken its shards over", Self::acts_for_all)
            && self.until("every phone is known where its shard is", Self::knows_phones)
            && self.rests();
        if survived {
            self.judge();
        }
    }

    /// Whether every call comes to its end and leaves nothing behind. One whose caller was not heard as it hung up would end
    /// outside by its silence; no audio passes here, so that is said to as many calls as there are such callers.
    fn rests(&mut self) -> bool {
        let silent = self.sim.elapsed() + SILENCE;
        let mut has_told = false;
        self.until("no call has left anything behind", move |run| {
            if run.sim.elapsed() >= silent && !std::mem::replace(&mut has_told, true) {
                let unheard = run.load.unheard.borrow().len();
                let told = run.fleet.up().fold(0, |told, (_, node)| told + node.end_silent(unheard - told));
                run.note(format_args!("-- {told} of {unheard} calls whose caller was not heard end by their silence"));
            }
            run.fleet.up().all(|(_, node)| node.is_at_rest())
        })
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.setup.chronicle.note(what);
    }

    /// Steps until it is so; a fault if that takes too long.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) -> bool {
        let patience = self.sim.elapsed() + PATIENCE;
        let mut next = self.sim.elapsed();
        while self.faults.is_empty() {
            if self.sim.elapsed() >= next {
                next = self.sim.elapsed() + OFTEN;
                if is_so(self) {
                    self.note(format_args!("-- {what}"));
                    return true;
                }
            }
            if self.sim.elapsed() > patience {
                let state = self.describe();
                self.faults.push(format!("in vain for {PATIENCE:?}: {what}\n{state}"));
            }
            self.step();
        }
        self.note("-- a fault");
        false
    }

    fn step(&mut self) {
        self.network.tell(&self.sim);
        if let Err(error) = self.sim.step() {
            self.faults.push(format!("a node has ended: {error}"));
        }
        chronicle::set_now(self.sim.elapsed());
        self.faults.extend(crate::panics::take());
        self.faults.extend(self.setup.ledger.faults());
        self.faults.extend(self.load.faults.take());
        if self.sim.elapsed() >= self.glanced + GLANCE {
            self.glanced = self.sim.elapsed();
            self.faults.extend(self.owners.look(&self.fleet));
            self.faults.extend(self.channels.look(&self.fleet, "carrier", CHANNELS));
        }
        if self.sim.elapsed() >= self.looked + OFTEN {
            self.looked = self.sim.elapsed();
            self.look();
        }
    }

    /// Nodes that show the same revision show the same rows.
    fn look(&mut self) {
        let views: Vec<_> =
            self.fleet.up().map(|(seat, running)| (seat.node.name.clone(), running.tables.view())).collect();
        for (name, view) in &views {
            for (other, its) in &views {
                if view.revision == its.revision && !Arc::ptr_eq(view, its) && view.tables() != its.tables() {
                    self.faults.push(format!("{name} and {other} differ in revision {}", view.revision));
                }
            }
        }
    }

    /// What can be said only at the end.
    fn judge(&mut self) {
        let histories: Vec<Vec<_>> = self
            .fleet
            .up()
            .map(|(_, running)| running.tables.history().iter().map(|info| info.revision).collect())
            .collect();
        let kept = histories.into_iter().max_by_key(Vec::len).unwrap_or_default();
        self.faults.extend(self.setup.ledger.judge(&kept));
    }

    /// For the report of what never came.
    fn describe(&self) -> String {
        let line = |(seat, running): (&Seat, crate::fleet::Running)| {
            let leadership = running.tables.leadership().borrow().clone();
            format!(
                "{}: leased {}, acts for {}, {:?}, leader {:?} in term {}, revision {}, peers {:?}",
                seat.node.name,
                running.leased(),
                running.acting().count(),
                running.standing("carrier").map(|standing| (standing.used, standing.held, standing.lent)),
                leadership.leader.map(|(leader, _)| leader),
                leadership.term,
                running.tables.revision(),
                running.mesh.peers().iter().map(|peer| (peer.id, peer.state, peer.linked)).collect::<Vec<_>>(),
            )
        };
        let phone = |phone: String| {
            let shard = shard_of(&format!("sip:{phone}@user.invalid"));
            let place = self.fleet.up().next().map(|(_, running)| running.tables.cluster().shard(shard).clone());
            let known: Vec<_> =
                self.fleet.up().filter(|(_, node)| node.knows(&phone)).map(|(seat, _)| &seat.node.name).collect();
            format!("{phone}: known to {known:?}, shard {shard}: {place:?}")
        };
        let phones = (0..phones::COUNT).map(phones::name).map(phone);
        self.fleet.up().map(line).chain(phones).collect::<Vec<_>>().join("\n")
    }
}
