//! The actor of a shard: starts its worker thread, starts it again when it dies, and publishes its figures.
//!
//! One actor a shard and not one a session: a session has no behaviour that the worker does not already give it, an
//! actor costs 5 KB where a session costs 1.5, and every update would hop twice. The call's own actor is the one that a
//! session belongs to; a session that its worker loses says so with [`crate::Event::Released`].

use crate::Reason;
use crate::counters::Gauges;
use crate::handle::Handle;
use crate::start::{Exit, start_worker};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use std::collections::VecDeque;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often figures go to the metrics recorder.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// A worker that dies more often than this within [`RESTART_WINDOW`] takes its actor with it.
const RESTARTS: usize = 3;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// What the actor of a shard tells itself.
#[derive(Debug)]
pub enum ShardMessage {
    /// Publish the figures.
    Publish,
    /// The worker thread ended without having been told to.
    WorkerDied,
}

struct Shard;

/// What a shard actor is started with.
struct Arguments {
    handle: Handle,
    index: usize,
}

struct State {
    handle: Handle,
    index: usize,
    thread: Option<JoinHandle<()>>,
    deaths: VecDeque<Instant>,
}

/// Starts the actor and the worker of shard `index`, linked under `supervisor`. It stops with its worker when it is
/// told to stop, and fails when the worker dies four times in a minute.
///
/// # Errors
///
/// [`SpawnErr`] when the system refuses the thread or its descriptors.
pub async fn spawn_shard(
    handle: &Handle,
    index: usize,
    supervisor: ActorCell,
) -> Result<ActorRef<ShardMessage>, SpawnErr> {
    let arguments = Arguments { handle: handle.clone(), index };
    // No name: ractor's registry is global to the process, and two nodes may share one.
    let (actor, _) = Shard::spawn_linked(None, Shard, arguments, supervisor).await?;
    Ok(actor)
}

impl Actor for Shard {
    type Msg = ShardMessage;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<ShardMessage>, start: Arguments) -> Result<State, ActorProcessingErr> {
        let mut state = State { handle: start.handle, index: start.index, thread: None, deaths: VecDeque::new() };
        state.start(&myself)?;
        myself.send_interval(PUBLISH_EVERY, || ShardMessage::Publish);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Publish => publish(&state.handle, state.index),
            ShardMessage::WorkerDied => state.restart(&myself)?,
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<ShardMessage>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.handle.shared.shards[state.index].queue.stop();
        if let Some(thread) = state.thread.take() {
            // It ends within a nap; still, a runtime thread is not the one to wait for it.
            tokio::task::spawn_blocking(move || thread.join()).await?.map_err(|_| "the relay worker panicked")?;
        }
        publish(&state.handle, state.index);
        Ok(())
    }
}

impl State {
    fn start(&mut self, myself: &ActorRef<ShardMessage>) -> std::io::Result<()> {
        let myself = myself.clone();
        let ended = move |exit| {
            if exit == Exit::Failed {
                // An actor that is gone needs no word of it.
                let _ = myself.cast(ShardMessage::WorkerDied);
            }
        };
        self.thread = Some(start_worker(&self.handle, self.index, ended)?);
        Ok(())
    }

    fn restart(&mut self, myself: &ActorRef<ShardMessage>) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        self.deaths.push_back(now);
        self.deaths.retain(|died| now.duration_since(*died) < RESTART_WINDOW);
        metrics::counter!("tandem_actor_restarts_total", "actor" => "relay_worker").increment(1);
        if self.deaths.len() > RESTARTS {
            return Err("the relay worker dies too often".into());
        }
        tracing::error!(shard = self.index, "the relay worker died and is started again; its sessions are lost");
        self.start(myself)?;
        Ok(())
    }
}

/// Hands what has been counted since the last time to the metrics recorder.
fn publish(handle: &Handle, index: usize) {
    let shard = &handle.shared.shards[index];
    let mut now = Gauges { refused: shard.queue.refused(), ..Gauges::default() };
    shard.counters.add_to(&mut now);
    let mut before = shard.published.lock();
    metrics::counter!("tandem_rtp_packets_total").increment(now.packets - before.packets);
    metrics::counter!("tandem_rtp_lost_packets_total").increment(now.lost - before.lost);
    for reason in Reason::ALL {
        let new = now.dropped(reason) - before.dropped(reason);
        metrics::counter!("tandem_rtp_dropped_total", "reason" => reason.label()).increment(new);
    }
    metrics::counter!("tandem_queue_full_total", "queue" => "relay").increment(now.refused - before.refused);
    *before = now;
    drop(before);
    // Sessions and ports are of the whole relay: the first shard speaks for all.
    if index == 0 {
        let all = handle.gauges();
        metrics::gauge!("tandem_relay_sessions").set(all.sessions as f64);
        metrics::gauge!("tandem_relay_free_port_pairs").set(all.free_pairs as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Options, Side, Update};
    use std::net::{Ipv4Addr, UdpSocket};
    use std::sync::mpsc::channel;

    /// Stands in for the switch's supervisor.
    struct Top;

    impl Actor for Top {
        type Msg = ();
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
    }

    fn prepare(last: u8) -> Handle {
        let mut options = Options::new(vec![Ipv4Addr::new(127, 0, 6, last).into()], 30000..=30099);
        options.workers = 1;
        Handle::prepare(options).expect("sensible options")
    }

    async fn start(handle: &Handle) -> (ActorRef<ShardMessage>, ActorRef<()>) {
        let (top, _) = Top::spawn(None, Top, ()).await.expect("spawned");
        (spawn_shard(handle, 0, top.get_cell()).await.expect("spawned"), top)
    }

    fn rtp() -> [u8; 12] {
        [0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7]
    }

    /// Sends one packet into a new session whose sink is `sink`.
    fn call(handle: &Handle, party: &UdpSocket, sink: impl Fn(Event) + Send + Sync + 'static) {
        let allocation = handle.allocate(1, Box::new(sink)).expect("ports");
        for side in Side::BOTH {
            let remote = party.local_addr().expect("bound");
            handle.update(allocation.id, Update::new(0, side, Some(remote))).expect("queued");
        }
        party.send_to(&rtp(), allocation.local[0][0]).expect("sent");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_that_dies_releases_its_sessions_and_is_started_again() {
        let handle = prepare(1);
        let (_shard, _top) = start(&handle).await;
        let party = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        party.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let (sender, events) = channel();
        let bystander = sender.clone();
        handle.allocate(1, Box::new(move |event| bystander.send(event).expect("heard"))).expect("ports");
        call(&handle, &party, |event| assert!(matches!(event, Event::Released(_)), "this sink breaks its worker"));
        let lost = events.recv_timeout(Duration::from_secs(10)).expect("told");
        assert!(matches!(lost, Event::Released(stats) if stats.failed));
        party.recv(&mut [0; 100]).expect("relayed before the sink broke");

        call(&handle, &party, move |event| sender.send(event).expect("heard"));
        party.recv(&mut [0; 100]).expect("relayed by the new worker");
        let first = events.recv_timeout(Duration::from_secs(10)).expect("told");
        assert_eq!(first, Event::FirstPacket { side: Side::A, stream: 0 });
        assert_eq!((handle.gauges().sessions, handle.gauges().free_pairs), (1, 48));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_waited_behind_the_command_that_broke_the_worker_is_released_too() {
        let handle = prepare(3);
        let breaks = handle.allocate(1, Box::new(|_| panic!("this sink breaks its worker"))).expect("ports");
        handle.release(breaks.id);
        let (sender, events) = channel();
        handle.allocate(1, Box::new(move |event| sender.send(event).expect("heard"))).expect("ports");
        let (_shard, _top) = start(&handle).await;
        let lost = events.recv_timeout(Duration::from_secs(10)).expect("told");
        assert!(matches!(lost, Event::Released(stats) if stats.failed));
        assert_eq!((handle.gauges().sessions, handle.gauges().free_pairs), (0, 50));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stopped_shard_releases_its_sessions() {
        let handle = prepare(2);
        let (shard, _top) = start(&handle).await;
        let (sender, events) = channel();
        handle.allocate(1, Box::new(move |event| sender.send(event).expect("heard"))).expect("ports");
        shard.stop_and_wait(None, None).await.expect("stopped");
        assert!(matches!(events.try_recv(), Ok(Event::Released(stats)) if !stats.failed));
        assert_eq!((handle.gauges().sessions, handle.gauges().free_pairs), (0, 50));
    }
}
