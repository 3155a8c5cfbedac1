//! What all parts of a running mesh share.

use crate::control::Event;
use crate::inbound::Inbound;
use crate::joins::Answered;
use crate::lines::Lines;
use crate::link::Link;
use crate::status::Status;
use crate::{Error, Options, Receiver};
use arc_swap::ArcSwap;
use routing::cluster::NodeId;
use sip::clock::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, watch};

/// How many events may wait for the control loop: about ten a node and second come in.
const EVENTS: usize = 4096;

/// See the module.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) lines: Arc<Lines>,
    pub(crate) tables: tables::Handle,
    pub(crate) receiver: Arc<dyn Receiver>,
    /// One a member, this node left out.
    pub(crate) links: ArcSwap<BTreeMap<NodeId, Arc<Link>>>,
    pub(crate) inbound: Inbound,
    pub(crate) answered: Answered,
    pub(crate) status: Status,
    pub(crate) phase: watch::Sender<Phase>,
    events: mpsc::Sender<Event>,
    /// Held by the control loop while it runs.
    pub(crate) events_in: Mutex<mpsc::Receiver<Event>>,
}

/// How far this node is with its entry.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// It founds, joins or starts; or comes back after it was fenced.
    Entering,
    /// It takes part.
    In,
    /// It is refused for good.
    Out(Error),
}

impl Core {
    pub(crate) fn new(
        options: Options,
        lines: Arc<Lines>,
        tables: tables::Handle,
        receiver: Arc<dyn Receiver>,
    ) -> Self {
        let (events, events_in) = mpsc::channel(EVENTS);
        Self {
            options,
            lines,
            tables,
            receiver,
            links: ArcSwap::default(),
            inbound: Inbound::default(),
            answered: Answered::default(),
            status: Status::default(),
            phase: watch::channel(Phase::Entering).0,
            events,
            events_in: Mutex::new(events_in),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        (self.options.clock)()
    }

    /// Hands something to the control loop. Lost if that is far behind, and counted: everything in it is repeated.
    pub(crate) fn event(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            metrics::counter!("tandem_queue_full_total", "queue" => "mesh_events").increment(1);
        }
    }

    pub(crate) fn link(&self, node: NodeId) -> Option<Arc<Link>> {
        self.links.load().get(&node).map(Arc::clone)
    }
}

/// Counts something from another node that was not taken.
pub(crate) fn count_refused(reason: &'static str) {
    metrics::counter!("tandem_mesh_refused_total", "reason" => reason).increment(1);
}
