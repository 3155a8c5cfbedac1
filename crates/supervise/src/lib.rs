//! Restart strategies, which ractor leaves to its users. It knows nothing of what it supervises.
//!
//! A [`Supervisor`] starts its children in order, and when one of them ends without being asked to, restarts it by the
//! [`Strategy`]. More than [`INTENSITY`] restarts within [`WINDOW`] make the supervisor itself fail, so that its own
//! supervisor decides; the topmost ends the process, which systemd starts anew.

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// The most restarts within [`WINDOW`].
pub const INTENSITY: usize = 3;
/// The time over which restarts are counted.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long a child may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(5);

/// What is restarted when a child fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// Only that child: its siblings do not depend on it.
    OneForOne,
    /// That child and all that were started after it: they depend on it.
    RestForOne,
}

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, ActorProcessingErr>> + Send>>;

/// How one child is started, again and again.
pub struct Child {
    name: &'static str,
    start: Box<dyn Fn(ActorCell) -> Starting + Send + Sync>,
}

impl Child {
    /// `start` is given the supervisor's cell and answers with the linked child.
    pub fn new<F, R, E>(name: &'static str, start: F) -> Self
    where
        F: Fn(ActorCell) -> R + Send + Sync + 'static,
        R: Future<Output = Result<ActorCell, E>> + Send + 'static,
        E: Into<ActorProcessingErr>,
    {
        let start = move |supervisor| -> Starting {
            let starting = start(supervisor);
            Box::pin(async move { starting.await.map_err(Into::into) })
        };
        Self { name, start: Box::new(start) }
    }
}

/// The actor; see the module.
pub struct Supervisor;

/// What a supervisor is started with.
pub struct Plan {
    /// For logs and `actor_restarts_total{actor}`.
    pub name: &'static str,
    /// What is restarted.
    pub strategy: Strategy,
    /// In the order of their dependency.
    pub children: Vec<Child>,
}

/// What a supervisor knows.
pub struct Supervision {
    plan: Plan,
    running: Vec<Option<ActorCell>>,
    restarts: VecDeque<Instant>,
}

/// A supervisor takes no messages.
pub enum Never {}

impl Actor for Supervisor {
    type Msg = Never;
    type State = Supervision;
    type Arguments = Plan;

    async fn pre_start(&self, myself: ActorRef<Never>, plan: Plan) -> Result<Supervision, ActorProcessingErr> {
        let mut state = Supervision { running: Vec::new(), restarts: VecDeque::new(), plan };
        state.running.resize(state.plan.children.len(), None);
        for index in 0..state.plan.children.len() {
            if let Err(error) = state.start(index, &myself).await {
                state.stop_from(0).await;
                return Err(error);
            }
        }
        Ok(state)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Never>,
        event: SupervisionEvent,
        state: &mut Supervision,
    ) -> Result<(), ActorProcessingErr> {
        let (who, why) = match event {
            SupervisionEvent::ActorFailed(who, why) => (who.get_id(), why.to_string()),
            SupervisionEvent::ActorTerminated(who, _, why) => (who.get_id(), why.unwrap_or_default()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        // A child that this supervisor stopped itself is no longer in `running`.
        let Some(index) = state.index_of(who) else { return Ok(()) };
        let name = state.plan.children[index].name;
        tracing::error!(actor = name, supervisor = state.plan.name, reason = %why, "actor ended, restarting");
        metrics::counter!("tandem_actor_restarts_total", "actor" => name).increment(1);
        state.running[index] = None;
        if state.too_many_restarts() {
            return Err(format!("{}: {name} keeps failing", state.plan.name).into());
        }
        state.restart(index, &myself).await
    }

    async fn post_stop(&self, _: ActorRef<Never>, state: &mut Supervision) -> Result<(), ActorProcessingErr> {
        state.stop_from(0).await;
        Ok(())
    }
}

impl Supervision {
    async fn start(&mut self, index: usize, myself: &ActorRef<Never>) -> Result<(), ActorProcessingErr> {
        let child = &self.plan.children[index];
        let cell = (child.start)(myself.get_cell()).await?;
        self.running[index] = Some(cell);
        Ok(())
    }

    fn index_of(&self, who: ActorId) -> Option<usize> {
        self.running.iter().position(|cell| cell.as_ref().is_some_and(|cell| cell.get_id() == who))
    }

    fn too_many_restarts(&mut self) -> bool {
        let now = Instant::now();
        self.restarts.push_back(now);
        while self.restarts.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.restarts.pop_front();
        }
        self.restarts.len() > INTENSITY
    }

    async fn restart(&mut self, index: usize, myself: &ActorRef<Never>) -> Result<(), ActorProcessingErr> {
        let last = match self.plan.strategy {
            Strategy::OneForOne => index,
            Strategy::RestForOne => {
                self.stop_from(index + 1).await;
                self.plan.children.len() - 1
            }
        };
        for index in index..=last {
            self.start(index, myself).await?;
        }
        Ok(())
    }

    /// Stops children in the reverse of their starting order.
    async fn stop_from(&mut self, first: usize) {
        for cell in self.running[first..].iter_mut().rev().filter_map(Option::take) {
            if matches!(cell.get_status(), ActorStatus::Stopped) {
                continue;
            }
            if cell.stop_and_wait(Some("supervisor".to_owned()), Some(STOP)).await.is_err() {
                cell.kill();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::mpsc;

    /// Reports its starts; fails when told to.
    struct Worker(&'static str, mpsc::Sender<(&'static str, ActorRef<Fail>)>);
    struct Fail;

    impl Actor for Worker {
        type Msg = Fail;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, myself: ActorRef<Fail>, (): ()) -> Result<(), ActorProcessingErr> {
            self.1.try_send((self.0, myself)).map_err(|e| e.to_string().into())
        }

        async fn handle(&self, _: ActorRef<Fail>, _: Fail, (): &mut ()) -> Result<(), ActorProcessingErr> {
            Err("told to".into())
        }
    }

    async fn tree(
        strategy: Strategy,
    ) -> (ActorRef<Never>, mpsc::Receiver<(&'static str, ActorRef<Fail>)>, Arc<AtomicUsize>) {
        let (starts, started) = mpsc::channel(64);
        let count = Arc::new(AtomicUsize::new(0));
        let child = |name: &'static str| {
            let (starts, count) = (starts.clone(), Arc::clone(&count));
            Child::new(name, move |supervisor| {
                let (starts, count) = (starts.clone(), Arc::clone(&count));
                async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    let (actor, _) = Actor::spawn_linked(None, Worker(name, starts), (), supervisor).await?;
                    Ok::<_, ractor::SpawnErr>(actor.get_cell())
                }
            })
        };
        let plan = Plan { name: "test", strategy, children: vec![child("a"), child("b"), child("c")] };
        let (supervisor, _) = Actor::spawn(None, Supervisor, plan).await.expect("starts");
        (supervisor, started, count)
    }

    async fn next(started: &mut mpsc::Receiver<(&'static str, ActorRef<Fail>)>) -> (&'static str, ActorRef<Fail>) {
        tokio::time::timeout(Duration::from_secs(5), started.recv()).await.expect("in time").expect("open")
    }

    #[tokio::test]
    async fn rest_for_one_restarts_what_depends_on_the_failed() {
        let (supervisor, mut started, _) = tree(Strategy::RestForOne).await;
        let mut cells = Vec::new();
        for expected in ["a", "b", "c"] {
            let (name, cell) = next(&mut started).await;
            assert_eq!(name, expected);
            cells.push(cell);
        }
        cells[1].cast(Fail).expect("alive");
        assert_eq!(next(&mut started).await.0, "b");
        assert_eq!(next(&mut started).await.0, "c");
        assert_eq!(cells[0].get_status(), ActorStatus::Running);
        supervisor.stop_and_wait(None, None).await.expect("stops");
    }

    #[tokio::test]
    async fn one_for_one_restarts_only_the_failed_and_gives_up_at_the_intensity() {
        let (supervisor, mut started, count) = tree(Strategy::OneForOne).await;
        next(&mut started).await;
        let (_, mut b) = next(&mut started).await;
        next(&mut started).await;
        for _ in 0..INTENSITY {
            b.cast(Fail).expect("alive");
            let (name, again) = next(&mut started).await;
            assert_eq!(name, "b");
            b = again;
        }
        b.cast(Fail).expect("alive");
        supervisor.wait(Some(Duration::from_secs(5))).await.expect("the supervisor fails in its turn");
        assert_eq!(count.load(Ordering::Relaxed), 3 + INTENSITY);
    }
}
