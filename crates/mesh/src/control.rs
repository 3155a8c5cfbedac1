//! The control loop: hands time and messages to the machines of liveness, lease, handover and leader's duties, and does what
//! they want done. It decides nothing itself.

mod effects;
mod followed;

use crate::Error;
use crate::core::{Core, Phase};
use crate::entry::{self, Entered, Start};
use crate::handover::{self, Handover};
use crate::lease::{Answer, Holder, Input as LeaseInput};
use crate::liveness::{Input as LivenessInput, Liveness, State};
use crate::proto::{ControlReply, Grant, Hearing, ProbeAnswer, Release, Renew, control_reply, control_request};
use crate::queue::Queue;
use crate::steward::{Input as StewardInput, Lead, Seat, Steward};
use followed::Followed;
use routing::cluster::NodeId;
use sip::clock::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long Raft may take to say whether this node leads; without an answer it does not.
const LEADS: Duration = Duration::from_millis(20);
/// How far behind the leader's log a node may be to be given a vote.
const NEAR_THE_END: u64 = 1000;
/// The longest sleep: metrics are brought up to date.
const IDLE: Duration = Duration::from_secs(1);
/// How often the peers and the metrics are published while nothing changes.
const PUBLISH: Duration = Duration::from_millis(100);

/// What the links and the server bring in.
#[derive(Debug)]
pub(crate) enum Event {
    /// Another node asks, on a stream that it has opened.
    Asked { node: NodeId, incarnation: u64, frame: control_request::Frame, replies: Queue<ControlReply> },
    /// Another node answers, on a stream that this node has opened.
    Answered { node: NodeId, incarnation: u64, frame: control_reply::Frame },
    /// Another node does not know this one.
    Disowned,
}

/// What came of something that took its time.
enum Done {
    Start(Start),
    Duty {
        ticket: u64,
        made: bool,
    },
    Knock {
        about: NodeId,
        answered: bool,
    },
    /// Everything that was committed before this term is applied here.
    Barrier {
        term: u64,
        reached: bool,
    },
}

struct Control {
    core: Arc<Core>,
    me: NodeId,
    liveness: Liveness,
    holder: Holder,
    steward: Steward,
    leads: Option<u64>,
    followed: Followed,
    /// The term in which the barrier was reached, and the one for which it is being waited for.
    settled_term: u64,
    settling: Option<u64>,
    /// The newest stream of control of each node, for answers that take a thought.
    replies: BTreeMap<NodeId, Queue<ControlReply>>,
    work: JoinSet<Done>,
    /// Something has changed that others wait for.
    changed: bool,
    publish_at: Instant,
    seats_at: Instant,
}

/// Enters and then runs for as long as it is not stopped.
pub(crate) async fn run(core: Arc<Core>) -> String {
    let entered = match entry::enter(&core).await {
        Ok(entered) => entered,
        Err(error) => {
            tracing::error!(%error, "this node cannot take part");
            core.phase.send_replace(Phase::Out(error));
            // A restart would change nothing; whoever owns the node ends it.
            return std::future::pending().await;
        }
    };
    Control::new(core, entered).run().await
}

impl Control {
    fn new(core: Arc<Core>, entered: Entered) -> Self {
        let (me, now) = (entered.node, core.now());
        *core.status.handover().write() = Some(Handover::new(me, core.options.waits));
        if entered.incarnation.is_some() {
            core.phase.send_replace(Phase::In);
        }
        Self {
            me,
            liveness: Liveness::new(me, now),
            holder: Holder::new(me, entered.incarnation, now),
            steward: Steward::new(me, core.options.waits),
            leads: None,
            followed: Followed::default(),
            settled_term: 0,
            settling: None,
            replies: BTreeMap::new(),
            work: JoinSet::new(),
            changed: true,
            publish_at: Instant::ORIGIN,
            seats_at: Instant::ORIGIN,
            core,
        }
    }

    async fn run(mut self) -> String {
        let core = Arc::clone(&self.core);
        let mut events = core.events_in.lock().await;
        let mut versions = core.tables.cluster_watch();
        let mut leadership = core.tables.leadership();
        versions.mark_changed();
        leadership.mark_changed();
        loop {
            let pause = self.due().since(core.now());
            tokio::select! {
                biased;
                changed = versions.changed() => match changed {
                    Ok(()) => self.on_cluster(),
                    Err(_) => return "the tables have ended".to_owned(),
                },
                changed = leadership.changed() => match changed {
                    Ok(()) => self.on_leadership(&leadership),
                    Err(_) => return "the tables have ended".to_owned(),
                },
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.on_done(done),
                    Err(failed) => return format!("work of the mesh has failed: {failed}"),
                },
                Some(event) = events.recv() => {
                    self.ask_raft(&leadership).await;
                    self.on_event(event);
                }
                () = tokio::time::sleep(pause) => self.ask_raft(&leadership).await,
            }
            self.settle();
        }
    }

    fn due(&self) -> Instant {
        let handover = self.core.status.handover().read().as_ref().and_then(Handover::poll_timeout);
        let timeouts =
            [self.liveness.poll_timeout(), self.holder.poll_timeout(), self.steward.poll_timeout(), handover];
        let idle = self.core.now() + IDLE;
        timeouts.into_iter().flatten().fold(idle, Instant::min)
    }

    /// Lets every machine do what is due, and does what they want, until none wants anything.
    fn settle(&mut self) {
        let now = self.core.now();
        self.liveness.handle_timeout(now);
        self.holder.handle_timeout(now);
        self.steward.handle_timeout(now);
        self.with_handover(Handover::handle_timeout);
        while self.perform() {}
        self.publish();
    }

    fn with_handover(&self, act: impl FnOnce(&mut Handover, Instant)) {
        let now = self.core.now();
        if let Some(handover) = self.core.status.handover().write().as_mut() {
            act(handover, now);
        }
    }

    fn on_cluster(&mut self) {
        let (cluster, now) = (self.core.tables.cluster(), self.core.now());
        self.replies.retain(|node, _| cluster.member(*node).is_some());
        self.liveness.handle_input(now, LivenessInput::Cluster(Arc::clone(&cluster)));
        self.holder.handle_input(now, LeaseInput::Cluster(&cluster));
        self.steward.handle_input(now, StewardInput::Cluster(Arc::clone(&cluster)));
        self.with_handover(|handover, now| handover.handle_input(now, handover::Input::Cluster(&cluster)));
        let states: Vec<(NodeId, State)> =
            self.liveness.figures(now).map(|(node, figures)| (node, figures.state)).collect();
        for (about, state) in states {
            self.steward.handle_input(now, StewardInput::Opinion { observer: self.me, about, state });
        }
        self.changed = true;
    }

    fn on_leadership(&mut self, leadership: &watch::Receiver<tables::Leadership>) {
        let (now, leadership) = (self.core.now(), leadership.borrow().clone());
        self.seats_at = now + PUBLISH;
        let leader = leadership.leader.as_ref().map(|(node, _)| *node);
        self.followed.see(now, leader.filter(|leader| *leader != self.me), leadership.term);
        self.holder.handle_input(now, LeaseInput::Leader(leader));
        if !leadership.me {
            self.lead(None);
            return;
        }
        let matched: BTreeMap<NodeId, Option<u64>> = leadership.matched.iter().copied().collect();
        let voters = self.core.tables.voters();
        let cluster = self.core.tables.cluster();
        let seat = |node: NodeId| {
            let behind = matched.get(&node).copied().flatten();
            Seat {
                // The lines go where the tables say, whatever Raft has written down.
                address: cluster.member(node).map(|member| member.mesh.to_string()).unwrap_or_default(),
                voter: voters.contains(&node),
                current: node == self.me || behind.is_some_and(|index| index + NEAR_THE_END >= leadership.log),
            }
        };
        let seats = voters.iter().chain(&self.core.tables.learners()).map(|node| (*node, seat(*node))).collect();
        self.steward.handle_input(now, StewardInput::Raft(seats));
    }

    /// Whether this node leads is asked anew before each decision that rests on it.
    async fn ask_raft(&mut self, leadership: &watch::Receiver<tables::Leadership>) {
        let (me, term) = {
            let leadership = leadership.borrow();
            (leadership.me, leadership.term)
        };
        let leads = me && tokio::time::timeout(LEADS, self.core.tables.leads()).await.unwrap_or(false);
        if leads && self.settled_term != term && self.settling != Some(term) {
            self.settling = Some(term);
            let tables = self.core.tables.clone();
            self.work.spawn(async move { Done::Barrier { term, reached: tables.read_index().await.is_ok() } });
        }
        self.lead((leads && self.settled_term == term).then_some(term));
        // Not every change of the seats is one of the leadership.
        if leads && self.core.now() >= self.seats_at {
            self.on_leadership(leadership);
        }
    }

    fn lead(&mut self, leads: Option<u64>) {
        if self.leads != leads {
            self.leads = leads;
            let now = self.core.now();
            let former = self.followed.former(now, self.core.tables.former_leader());
            let lead = leads.map(|term| Lead { term, former });
            self.steward.handle_input(now, StewardInput::Leads(lead));
        }
    }

    fn on_done(&mut self, done: Done) {
        let now = self.core.now();
        match done {
            Done::Start(Start::Begun(incarnation)) => {
                tracing::info!(node = self.me, incarnation, "takes part in the cluster");
                let me = self.core.lines.me();
                self.core.lines.become_node(crate::lines::Me { incarnation, ..me });
                self.core.phase.send_replace(Phase::In);
                self.holder.handle_input(now, LeaseInput::Started(incarnation));
                // The tables may have shown it before the answer came.
                self.on_cluster();
            }
            Done::Start(Start::Failed(why)) => {
                tracing::warn!(reason = %why, "cannot take part yet, trying on");
                self.holder.handle_input(now, LeaseInput::StartFailed);
            }
            Done::Start(Start::Refused(error)) => {
                self.holder.handle_input(now, LeaseInput::Refused);
                self.core.phase.send_replace(Phase::Out(error));
            }
            Done::Duty { ticket, made } => self.steward.handle_input(now, StewardInput::Done { ticket, made }),
            Done::Knock { about, answered } => {
                self.liveness.handle_input(now, LivenessInput::Knocked { about, answered });
            }
            Done::Barrier { term, reached } => {
                self.settling = None;
                if reached {
                    self.settled_term = term;
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Asked { node, incarnation, frame, replies } => {
                self.on_asked(node, incarnation, frame, &replies);
                self.replies.insert(node, replies);
            }
            Event::Answered { node, incarnation, frame } => self.on_answered(node, incarnation, frame),
            Event::Disowned => self.holder.handle_input(self.core.now(), LeaseInput::Disowned),
        }
    }

    fn on_asked(
        &mut self,
        node: NodeId,
        incarnation: u64,
        frame: control_request::Frame,
        replies: &Queue<ControlReply>,
    ) {
        let now = self.core.now();
        match frame {
            control_request::Frame::Heartbeat(_) => {
                self.liveness.handle_input(now, LivenessInput::Heard { from: node, incarnation, rtt: None });
            }
            control_request::Frame::Renew(renew) => self.on_renew(node, incarnation, &renew, replies),
            control_request::Frame::Probe(probe) => {
                let asked = LivenessInput::Asked { from: node, about: probe.node, round: probe.round };
                self.liveness.handle_input(now, asked);
            }
            control_request::Frame::Release(release) => self.on_release(node, &release),
            control_request::Frame::Opening(_) => crate::core::count_refused("unknown_frame"),
        }
    }

    fn on_renew(&mut self, node: NodeId, incarnation: u64, renew: &Renew, replies: &Queue<ControlReply>) {
        let now = self.core.now();
        for opinion in &renew.opinions {
            let state = match opinion.hearing() {
                Hearing::Up => State::Up,
                Hearing::Suspect => State::Suspect,
                Hearing::Dead => State::Dead,
                Hearing::Unspecified => continue,
            };
            self.steward.handle_input(now, StewardInput::Opinion { observer: node, about: opinion.node, state });
        }
        if self.leads.is_none() || renew.incarnation != incarnation {
            return;
        }
        match self.steward.renew(now, node, incarnation) {
            Answer::Granted { version } => {
                let grant = Grant { sent_us: renew.sent_us, incarnation, version };
                // One whose queue is full is about to lose its stream, and its lease with it.
                let _ = replies.push(ControlReply { frame: Some(control_reply::Frame::Grant(grant)) }, 0);
            }
            Answer::Refused(denial) => tracing::debug!(node, ?denial, "a lease is not renewed"),
        }
    }

    fn on_release(&self, from: NodeId, release: &Release) {
        let shards: Vec<(u16, u32)> = release
            .shards
            .iter()
            .filter_map(|released| Some((u16::try_from(released.shard).ok()?, released.epoch)))
            .collect();
        self.with_handover(|handover, now| {
            handover.handle_input(now, handover::Input::Released { from, shards: &shards });
        });
    }

    fn on_answered(&mut self, node: NodeId, incarnation: u64, frame: control_reply::Frame) {
        let now = self.core.now();
        match frame {
            control_reply::Frame::Echo(echo) => {
                let rtt = Some(now.since(Instant::from_micros(echo.sent_us)));
                self.liveness.handle_input(now, LivenessInput::Heard { from: node, incarnation, rtt });
            }
            control_reply::Frame::Grant(Grant { sent_us, incarnation, version }) => {
                let stamp = Instant::from_micros(sent_us);
                self.holder.handle_input(now, LeaseInput::Granted { stamp, incarnation, version });
            }
            control_reply::Frame::Probe(ProbeAnswer { node: about, round, heard }) => {
                self.liveness.handle_input(now, LivenessInput::Answered { via: node, about, round, heard });
            }
            control_reply::Frame::Opening(_) => crate::core::count_refused("unknown_frame"),
        }
    }

    /// This node is no member any more.
    fn on_expelled(&self) {
        let why = "this node was removed from the cluster; give it an empty data folder to join anew".to_owned();
        self.core.phase.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Out(_));
            if first {
                *phase = Phase::Out(Error::NotTaken { by: "the cluster".to_owned(), why });
            }
            first
        });
    }
}
