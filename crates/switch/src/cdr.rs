//! Call records: a durable outbox, and the exporter that turns it into closed CSV files.
//!
//! A row is in the outbox before the message that it accounts for is sent: written to its journal at once, which survives the
//! death of the process, and synced to the disk in groups every [`GROUP`], which survives the machine. Another
//! node keeps a copy of the outbox ([`copying`]), which survives the disk; a row is in no file before it is in that copy, or
//! has waited for it in vain. Rows leave the outbox only when the file that holds them is closed, synced and named.

pub(crate) mod copying;
mod csv_file;
mod disk;
mod finished;
mod journal;
mod kept;
mod legacy;
mod log;
mod orphans;
mod outbox;
mod overlay;
pub mod read;
mod settled;
mod store;
#[cfg(test)]
mod tests;
mod told;

use crate::clock;
use crate::door::Door;
use crate::error::Error;
use ::call::record::Record;
use outbox::{Outbox, Pace};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip::clock::Instant;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
pub use store::Shelf;
pub(crate) use told::Whereabouts;

/// How long the disk may be behind the log.
const GROUP: Duration = Duration::from_millis(50);
/// How often rows become a file.
const EXPORT: Duration = Duration::from_secs(5);
/// For how long no file is written once this node is about to be removed.
const HELD: Duration = Duration::from_secs(10);
/// How long the copy may take to be complete then.
const COMPLETE: Duration = Duration::from_secs(3);
/// How often it is looked at whether the last rows have their copy.
const GLANCE: Duration = Duration::from_millis(20);

/// Where records go, and under which names.
#[derive(Clone, Debug)]
pub struct Options {
    /// `<data_dir>/outbox` holds the outbox and `<data_dir>/cdr` the files.
    pub data_dir: PathBuf,
    /// The column `node`.
    pub node: String,
    /// The column `site`.
    pub site: String,
    /// No other node can have taken a call of an earlier process over.
    pub alone: bool,
    /// The outbox is here and not in a folder: for simulations.
    pub shelf: Option<Shelf>,
}

/// What calls hold of it.
#[derive(Clone)]
pub struct Handle {
    outbox: Arc<Outbox>,
    door: Door<Tick>,
    /// Records of a removed node are being taken over.
    is_inheriting: Arc<AtomicBool>,
}

impl Handle {
    /// Opens the outbox. What an earlier process left open ended with it, `ended_by = switch`, unless another node has taken it
    /// over: a node alone closes it at once, any other one when it has asked, by [`Handle::waiting`].
    ///
    /// # Errors
    /// [`Error::Records`] if the folder cannot be opened.
    pub fn open(options: Options) -> Result<Self, Error> {
        let alone = options.alone;
        let outbox = Arc::new(Outbox::open(options)?);
        let orphans = outbox.find_orphans()?;
        if alone {
            outbox.close_orphans()?;
        } else {
            outbox.find_closed()?;
        }
        outbox.forget_taken(clock::now().wall)?;
        // The first heartbeat, before the first record.
        outbox.sync()?;
        if orphans > 0 {
            tracing::warn!(
                orphans,
                "calls were up when the process died: they are closed, unless another node has taken them"
            );
        }
        Ok(Self { outbox, door: Door::default(), is_inheriting: Arc::default() })
    }

    /// Takes a record. When this returns, it survives the process.
    ///
    /// # Errors
    /// [`Error::Records`] if the disk refuses. The shell then takes no new call until [`Handle::probe`] succeeds; calls that
    /// are up go on.
    pub fn put(&self, record: &Record) -> Result<(), Error> {
        match record {
            Record::Open(row) => self.outbox.put_open(row),
            Record::Close(row) => self.outbox.put_closed(row),
        }
    }

    /// Another node may have this call: its open rows wait until that is known.
    pub fn abandon(&self, call: ::call::CallId) {
        self.outbox.abandon(call, clock::now().wall);
    }

    /// Calls whose open rows wait for that, up to so many.
    #[must_use]
    pub fn waiting(&self, limit: usize) -> Vec<::call::CallId> {
        self.outbox.waiting(limit)
    }

    /// How many calls wait.
    #[must_use]
    pub fn waiting_len(&self) -> usize {
        self.outbox.waiting_len()
    }

    /// It is known: another node closes the rows, or nobody does and they are closed here.
    ///
    /// # Errors
    /// [`Error::Records`]; they wait then as before.
    pub fn resolve(&self, call: ::call::CallId, is_taken: bool) -> Result<(), Error> {
        if is_taken { self.outbox.drop_orphan(call) } else { self.outbox.close_orphan(call) }.map(|_| ())
    }

    /// Whether this node has taken a call over, now or in the last days.
    #[must_use]
    pub fn has_taken(&self, call: ::call::CallId) -> bool {
        self.outbox.has_taken(call)
    }

    /// Whether this node has taken a call over in this process, and not given it away since: only then its own rows of an earlier
    /// life are superfluous. Others go by [`Self::has_taken`], so a node that took a call over and died must close them itself.
    pub(crate) fn has_retaken(&self, call: ::call::CallId) -> bool {
        self.outbox.has_retaken(call)
    }

    /// Whether this node may still come to close the records of this call, out of the copy of a removed node that had taken it
    /// over.
    pub(crate) fn is_in_limbo(&self, replicated: &routing::cluster::Cluster, call: ::call::CallId) -> bool {
        self.outbox.kept().is_in_limbo(replicated, call)
    }

    /// This node is about to be removed: no file is written for [`HELD`], so that what another node has a copy of is in no file
    /// here. Whether that copy is complete; it is waited for, but not for long.
    pub async fn hand_over(&self) -> bool {
        let (reply, held) = tokio::sync::oneshot::channel();
        if !self.door.tell(Tick::Hold(reply)) || held.await.is_err() {
            return false;
        }
        let complete = async {
            while !self.outbox.log().is_complete() {
                tokio::time::sleep(GLANCE).await;
            }
        };
        tokio::time::timeout(COMPLETE, complete).await.is_ok()
    }

    /// This node was removed from its cluster for good: rows that another node has a copy of are left to that.
    pub fn disown(&self) {
        self.outbox.disown();
    }

    /// Whether a record could be stored now: writes the heartbeat.
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn probe(&self) -> Result<(), Error> {
        self.outbox.beat(clock::now().wall)
    }

    /// Rows that no closed file holds yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.outbox.pending()
    }

    /// Where the closed files are.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.outbox.folder()
    }

    /// Starts the actor that syncs and exports.
    ///
    /// # Errors
    /// [`Error::Spawn`].
    pub async fn spawn(&self, supervisor: ractor::ActorCell) -> Result<ractor::ActorCell, Error> {
        let (actor, _) = Actor::spawn_linked(None, Cdrs, self.clone(), supervisor).await?;
        Ok(actor.get_cell())
    }
}

/// Syncs in groups, and exports.
struct Cdrs;

/// What wakes it.
enum Tick {
    Sync,
    Export,
    /// No file for a while; answered when none is being written.
    Hold(tokio::sync::oneshot::Sender<()>),
    /// Files were written, or not.
    Exported(Result<Result<u64, Error>, tokio::task::JoinError>),
}

struct State {
    handle: Handle,
    held_until: Option<Instant>,
    /// Files are being written.
    exports: bool,
    /// Who waits for the end of that.
    holders: Vec<tokio::sync::oneshot::Sender<()>>,
}

impl State {
    /// Nothing is being written, and nothing will be for a while. Whoever has asked may be gone: the hold ends by itself.
    fn hold(&mut self) {
        if !self.holders.is_empty() {
            self.held_until = Some(clock::now().mono + HELD);
        }
        for holder in self.holders.drain(..) {
            let _ = holder.send(());
        }
    }
}

impl Actor for Cdrs {
    type Msg = Tick;
    type State = State;
    type Arguments = Handle;

    async fn pre_start(&self, myself: ActorRef<Tick>, handle: Handle) -> Result<State, ActorProcessingErr> {
        handle.door.open(myself.clone());
        myself.send_after(GROUP, || Tick::Sync);
        myself.send_after(EXPORT, || Tick::Export);
        Ok(State { handle, held_until: None, exports: false, holders: Vec::new() })
    }

    async fn handle(&self, myself: ActorRef<Tick>, tick: Tick, state: &mut State) -> Result<(), ActorProcessingErr> {
        let outbox = Arc::clone(&state.handle.outbox);
        match tick {
            Tick::Hold(reply) => {
                state.holders.push(reply);
                if !state.exports {
                    state.hold();
                }
            }
            Tick::Sync => {
                // A disk that refuses must not take the live calls with it: it is told, and tried again.
                if let Err(error) = apart(outbox, |outbox| outbox.sync()).await? {
                    tracing::error!(%error, "call records cannot be synced");
                    metrics::counter!("tandem_cdr_sync_failed_total").increment(1);
                }
                // In this order: whoever sees rows in the second has seen in the first whether they have a copy.
                let (rows, oldest) = state.handle.outbox.log().lack(state.handle.pending(), clock::now().mono);
                metrics::gauge!("tandem_cdr_unreplicated").set(count(rows));
                metrics::gauge!("tandem_cdr_unreplicated_seconds").set(oldest.as_secs_f64());
                metrics::gauge!("tandem_cdr_pending").set(count(state.handle.pending()));
                myself.send_after(GROUP, || Tick::Sync);
            }
            Tick::Export if state.held_until.is_some_and(|until| clock::now().mono < until) => {
                myself.send_after(EXPORT, || Tick::Export);
            }
            // Beside the syncs, which many calls' records wait for meanwhile.
            Tick::Export => {
                state.exports = true;
                tokio::spawn(async move {
                    let exported = apart(outbox, |outbox| {
                        let written = outbox.export(Pace::steady());
                        // Behind the export, which leaves little to be moved.
                        outbox.settle();
                        written
                    });
                    let exported = exported.await;
                    // An actor that has ended exports by itself.
                    let _ = myself.send_message(Tick::Exported(exported));
                });
            }
            Tick::Exported(exported) => {
                state.exports = false;
                state.hold();
                match exported? {
                    Ok(rows) => metrics::counter!("tandem_cdr_written_total").increment(rows),
                    // The rows stay in the outbox; a full disk is told once a second and mended from outside.
                    Err(error) => tracing::error!(%error, "call records cannot be exported"),
                }
                myself.send_after(EXPORT, || Tick::Export);
            }
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Tick>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let (outbox, deadline) = (Arc::clone(&state.handle.outbox), clock::now().mono + log::PATIENCE);
        let waits = |now| now < deadline && outbox.log().bound(now) != u64::MAX;
        while waits(clock::now().mono) {
            tokio::time::sleep(GLANCE).await;
        }
        apart(outbox, |outbox| {
            outbox.sync()?;
            let written = outbox.export_all(Pace::hurried());
            outbox.settle();
            written
        })
        .await??;
        Ok(())
    }
}

/// Works where it may block; in memory, where nothing does, at once.
async fn apart<T: Send + 'static>(
    outbox: Arc<Outbox>,
    work: impl FnOnce(&Outbox) -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    if !outbox.blocks() {
        return Ok(work(&outbox));
    }
    tokio::task::spawn_blocking(move || work(&outbox)).await
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn count(n: u64) -> f64 {
    n as f64
}
