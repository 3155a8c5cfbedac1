//! Supervises one link actor a member: makes them as members come, stops them as members go, restarts what fails.

use crate::core::Core;
use crate::link::{self, Link};
use crate::tasked;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use routing::cluster::NodeId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use supervise::{INTENSITY, WINDOW};
use tokio::time::Instant;

/// The actor; see the module.
pub(crate) struct Links;

/// What it is told.
pub(crate) enum Message {
    /// The members may have changed. At most one waits: [`watch`] sends the next when this is done.
    Members(ractor::RpcReplyPort<()>),
}

/// What it knows.
pub(crate) struct Running {
    core: Arc<Core>,
    links: BTreeMap<NodeId, (Arc<Link>, ActorCell)>,
    restarts: VecDeque<Instant>,
}

/// Tells the links of each change of the members.
pub(crate) async fn watch(core: Arc<Core>, links: ActorRef<Message>) -> String {
    let mut versions = core.tables.cluster_watch();
    let mut me = core.lines.watch_me();
    loop {
        versions.mark_unchanged();
        me.mark_unchanged();
        core.lines.learn(&core.tables.cluster());
        if links.call(Message::Members, None).await.is_err() {
            return "the links have ended".to_owned();
        }
        let changed = tokio::select! {
            changed = versions.changed() => changed,
            changed = me.changed() => changed,
        };
        if changed.is_err() {
            return "the tables have ended".to_owned();
        }
    }
}

impl Actor for Links {
    type Msg = Message;
    type State = Running;
    type Arguments = Arc<Core>;

    async fn pre_start(&self, myself: ActorRef<Message>, core: Arc<Core>) -> Result<Running, ActorProcessingErr> {
        tasked::spawn(Box::pin(watch(Arc::clone(&core), myself.clone())), myself.get_cell()).await?;
        Ok(Running { core, links: BTreeMap::new(), restarts: VecDeque::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Members(done): Message,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        state.follow(&myself).await?;
        // Whoever watches the members may be stopping.
        let _ = done.send(());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let (who, why) = match event {
            SupervisionEvent::ActorFailed(who, why) => (who.get_id(), why.to_string()),
            SupervisionEvent::ActorTerminated(who, _, why) => (who.get_id(), why.unwrap_or_default()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        state.ended(&myself, who, why).await
    }

    async fn post_stop(&self, _: ActorRef<Message>, state: &mut Running) -> Result<(), ActorProcessingErr> {
        state.core.links.store(Arc::default());
        for (_, (_, cell)) in std::mem::take(&mut state.links) {
            stop(&cell).await;
        }
        Ok(())
    }
}

impl Running {
    async fn follow(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        let me = self.core.lines.node();
        let cluster = self.core.tables.cluster();
        let wanted: BTreeSet<NodeId> =
            cluster.members().keys().copied().filter(|node| me != 0 && *node != me).collect();
        let gone: Vec<NodeId> = self.links.keys().copied().filter(|node| !wanted.contains(node)).collect();
        for node in gone {
            if let Some((_, cell)) = self.links.remove(&node) {
                stop(&cell).await;
            }
        }
        self.core.inbound.retain(|node| cluster.member(node).is_some());
        for node in wanted {
            if !self.links.contains_key(&node) {
                self.begin(myself, node).await?;
            }
        }
        self.publish();
        Ok(())
    }

    async fn begin(&mut self, myself: &ActorRef<Message>, node: NodeId) -> Result<(), ActorProcessingErr> {
        let link = Arc::new(Link::new(node));
        let task = link::run(Arc::clone(&self.core), Arc::clone(&link));
        let cell = tasked::spawn(Box::pin(task), myself.get_cell()).await?;
        self.links.insert(node, (link, cell));
        Ok(())
    }

    fn publish(&self) {
        let links = self.links.iter().map(|(node, (link, _))| (*node, Arc::clone(link))).collect();
        self.core.links.store(Arc::new(links));
    }

    async fn ended(&mut self, myself: &ActorRef<Message>, who: ActorId, why: String) -> Result<(), ActorProcessingErr> {
        let Some(node) = self.links.iter().find(|(_, (_, cell))| cell.get_id() == who).map(|(node, _)| *node) else {
            // One that was stopped here is no longer among them; only the watch over the members is left.
            let stopping = self.links.is_empty() || why == STOPPED;
            return if stopping { Ok(()) } else { Err(why.into()) };
        };
        tracing::error!(actor = "link", node, reason = %why, "actor ended, restarting");
        metrics::counter!("tandem_actor_restarts_total", "actor" => "link").increment(1);
        self.links.remove(&node);
        let now = Instant::now();
        self.restarts.push_back(now);
        self.restarts.retain(|at| now.duration_since(*at) <= WINDOW);
        if self.restarts.len() > INTENSITY {
            return Err("links keep failing".into());
        }
        self.follow(myself).await
    }
}

/// The reason with which links are stopped.
const STOPPED: &str = "no member any more";

async fn stop(cell: &ActorCell) {
    // One that does not end in time has only its task left, which ends with the runtime.
    if cell.stop_and_wait(Some(STOPPED.to_owned()), Some(std::time::Duration::from_secs(2))).await.is_err() {
        cell.kill();
    }
}
