//! What the machines want done, and what is shown of them.

use super::{Control, Done, PUBLISH};
use crate::entry;
use crate::handover::{self, Handover};
use crate::lease::{self, Answer};
use crate::liveness::{self, State};
use crate::proto::{
    ControlReply, Hearing, Heartbeat, Opinion, Probe, ProbeAnswer, Release, ReleasedShard, Renew, control_reply,
    control_request,
};
use crate::status::Peer;
use crate::steward::{self, Duty};
use crate::times::{LEASE, OWN_LEASE};
use routing::cluster::{ClusterChange, NodeId, Outcome};
use sip::clock::Instant;
use std::sync::Arc;

impl Control {
    /// Does one thing of each machine; says whether there was any.
    pub(super) fn perform(&mut self) -> bool {
        let mut any = false;
        if let Some(effect) = self.liveness.poll_effect() {
            any = true;
            self.on_liveness(effect);
        }
        if let Some(effect) = self.holder.poll_effect() {
            any = true;
            self.on_lease(effect);
        }
        let effect = self.core.status.handover().write().as_mut().and_then(Handover::poll_effect);
        if let Some(effect) = effect {
            any = true;
            self.on_handover(effect);
        }
        if let Some(steward::Effect { ticket, duty }) = self.steward.poll_effect() {
            any = true;
            self.on_duty(ticket, duty);
        }
        any
    }

    fn send(&self, to: NodeId, frame: control_request::Frame) {
        // Without a link it is lost, as anything may be; the machines say it again.
        if let Some(link) = self.core.link(to) {
            link.control(frame);
        }
    }

    fn on_liveness(&mut self, effect: liveness::Effect) {
        let now = self.core.now();
        match effect {
            liveness::Effect::Beat { to } => {
                self.send(to, control_request::Frame::Heartbeat(Heartbeat { sent_us: now.as_micros() }));
            }
            liveness::Effect::Probe { via, about, round } => {
                self.send(via, control_request::Frame::Probe(Probe { node: about, round }));
            }
            liveness::Effect::Knock { about } => self.knock(about),
            liveness::Effect::Answer { to, about, round, heard } => {
                let answer = ProbeAnswer { node: about, round, heard };
                if let Some(replies) = self.replies.get(&to) {
                    // Lost as any message may be; it is asked again.
                    let _ = replies.push(ControlReply { frame: Some(control_reply::Frame::Probe(answer)) }, 0);
                }
            }
            liveness::Effect::Changed { node, state, incarnation } => {
                tracing::info!(node, ?state, incarnation, "another node");
                let opinion = steward::Input::Opinion { observer: self.me, about: node, state };
                self.steward.handle_input(now, opinion);
                self.changed = true;
            }
        }
    }

    fn knock(&mut self, about: NodeId) {
        let Some(member) = self.core.tables.cluster().member(about).cloned() else { return };
        let core = Arc::clone(&self.core);
        self.work.spawn(async move {
            let mut answered = false;
            for address in &member.sip {
                answered = answered || core.options.knock.knock(address).await;
            }
            Done::Knock { about, answered }
        });
    }

    fn on_lease(&mut self, effect: lease::Effect) {
        match effect {
            lease::Effect::Renew { to, incarnation, .. } if to == self.me => self.renew_here(incarnation),
            lease::Effect::Renew { to, stamp, incarnation } => {
                let opinions = self.opinions(stamp);
                let renew = Renew { sent_us: stamp.as_micros(), incarnation, opinions };
                self.send(to, control_request::Frame::Renew(renew));
            }
            lease::Effect::Start => {
                let core = Arc::clone(&self.core);
                self.work.spawn(async move { Done::Start(entry::start(&core).await) });
            }
            lease::Effect::Held(held) => {
                tracing::info!(node = self.me, held, "the lease of this node");
                self.changed = true;
            }
            lease::Effect::Expelled => self.on_expelled(),
        }
    }

    /// The leader grants itself its lease, by the same rules, but for as long only as nobody else can be elected.
    fn renew_here(&mut self, incarnation: u64) {
        let now = self.core.now();
        let Some(age) = self.leads.and_then(|_| self.core.tables.quorum_age()) else { return };
        let before = u64::try_from((age + (LEASE - OWN_LEASE)).as_micros()).unwrap_or(u64::MAX);
        let stamp = Instant::from_micros(now.as_micros().saturating_sub(before));
        if let Answer::Granted { version } = self.steward.renew(now, self.me, incarnation) {
            self.holder.handle_input(now, lease::Input::Granted { stamp, incarnation, version });
        }
    }

    fn opinions(&self, now: Instant) -> Vec<Opinion> {
        let opinion = |(node, figures): (NodeId, liveness::Figures)| {
            let hearing = match figures.state {
                State::Up => Hearing::Up,
                State::Suspect => Hearing::Suspect,
                State::Dead => Hearing::Dead,
            };
            Opinion { node, hearing: hearing.into() }
        };
        self.liveness.figures(now).map(opinion).collect()
    }

    fn on_handover(&mut self, effect: handover::Effect) {
        match effect {
            handover::Effect::Release { to, shards } => {
                let released = |(shard, epoch)| ReleasedShard { shard: u32::from(shard), epoch };
                let release = Release { shards: shards.into_iter().map(released).collect() };
                self.send(to, control_request::Frame::Release(release));
            }
            handover::Effect::Changed => self.changed = true,
        }
    }

    fn on_duty(&mut self, ticket: u64, duty: Duty) {
        tracing::debug!(?duty, "a duty of the leader");
        let tables = self.core.tables.clone();
        self.work.spawn(async move {
            let made = match duty {
                Duty::Fence { node, incarnation } => {
                    tracing::warn!(node, incarnation, "fencing a node: its lease has run out");
                    changed(&tables, ClusterChange::Fence { node, incarnation }).await
                }
                Duty::Place(moves) => changed(&tables, ClusterChange::Place(moves)).await,
                Duty::AddLearner { node, address } => told(tables.add_learner(node, address).await),
                Duty::DropLearner(node) => told(tables.remove_learner(node).await),
                Duty::SetVoters(voters) => told(tables.set_voters(voters).await),
            };
            Done::Duty { ticket, made }
        });
    }

    /// What everybody may read, and the metrics.
    pub(super) fn publish(&mut self) {
        let now = self.core.now();
        let remaining = self.holder.remaining(now);
        let until = if remaining.is_zero() { Instant::ORIGIN } else { now + remaining };
        self.core.status.set_lease_until(until);
        if self.changed || now >= self.publish_at {
            self.publish_at = now + PUBLISH;
            metrics::gauge!("tandem_lease_remaining_seconds").set(remaining.as_secs_f64());
            self.publish_peers(now);
        }
        if std::mem::take(&mut self.changed) {
            self.core.status.changed();
        }
    }

    fn publish_peers(&self, now: Instant) {
        let cluster = self.core.tables.cluster();
        let links = self.core.links.load();
        let peer = |(id, figures): (NodeId, liveness::Figures)| {
            let member = cluster.member(id)?;
            let protocol = links.get(&id).map_or(0, |link| link.protocol());
            let linked = protocol > 0;
            let (name, site) = (member.name.to_string(), member.site.to_string());
            let liveness::Figures { state, incarnation, rtt, .. } = figures;
            Some(Peer { id, name, site, state, incarnation, linked, protocol, rtt })
        };
        let peers: Vec<Peer> = self.liveness.figures(now).filter_map(peer).collect();
        self.core.status.set_peers(peers);
    }
}

async fn changed(tables: &tables::Handle, change: ClusterChange) -> bool {
    match tables.change_cluster_as_leader(change).await {
        Ok(Outcome::Done { .. }) => true,
        Ok(Outcome::Stale(stale)) => {
            tracing::debug!(%stale, "a duty of the leader came too late");
            false
        }
        Err(error) => told(Err(error)),
    }
}

fn told(done: Result<(), tables::Error>) -> bool {
    done.inspect_err(|error| tracing::warn!(%error, "a duty of the leader failed")).is_ok()
}
