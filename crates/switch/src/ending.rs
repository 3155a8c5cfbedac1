//! The end of a node that carries calls: it refuses new ones and hands those that are up to the other nodes, or waits for their end
//! where there is no other, until a deadline. Whoever is left then is hung up by [`crate::Node::stop`].
//!
//! A node that drains for this takes part again at its next start; one that an operator drained does not. The difference is a
//! file in `data_dir`.

use crate::shell::Shell;
use routing::cluster::{ClusterChange, Liveness, NodeId, Outcome, Stale};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Says that the node drains only in order to end.
const MARK: &str = "drains-to-end";
/// How often it is looked at what is left.
const LOOK: Duration = Duration::from_millis(50);
/// How soon the cluster is asked once more to let the node take part.
const AGAIN: Duration = Duration::from_secs(1);

/// Empties the node; how many calls are left on it. It returns at once where there is no call.
pub(crate) async fn empty(shell: Arc<Shell>, data_dir: PathBuf, patience: Duration) -> usize {
    shell.stopping.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + patience;
    if patience.is_zero() || calls(&shell) == 0 {
        return calls(&shell);
    }
    let hands_on = match timeout_at(deadline, begin(&shell, &data_dir)).await {
        Ok(hands_on) => hands_on,
        Err(_) => return calls(&shell),
    };
    while Instant::now() < deadline {
        // Its registrations and the limits that it leads go with its shards.
        if calls(&shell) == 0 && !(hands_on && shell.cluster.owns_any(shell.cluster.me())) {
            break;
        }
        sleep(LOOK).await;
    }
    calls(&shell)
}

/// Calls that are not over, those among them that have left and whose media still goes on here.
pub(crate) fn calls(shell: &Shell) -> usize {
    let directory = &shell.calls.directory;
    let in_part = |part| directory.part(part).iter().filter(|(_, call)| call.cell.holds_any()).count();
    (0..directory.parts()).map(in_part).sum()
}

/// Asks the others to take the calls and shards; whether there are others that do.
async fn begin(shell: &Shell, data_dir: &Path) -> bool {
    let (me, replicated) = (shell.cluster.me(), shell.cluster.replicated());
    if replicated.member(me).is_some_and(|member| member.liveness == Liveness::Draining) {
        return true;
    }
    let takes = |id: NodeId| id != me && shell.cluster.is_up(id);
    if !replicated.members().values().any(|member| member.carries() && takes(member.id)) {
        return false;
    }
    if let Err(error) = fs::write(data_dir.join(MARK), "") {
        tracing::warn!(%error, "cannot note in data_dir that this drain ends with the process; undrain the node after its start");
    }
    match shell.tables.change_cluster(ClusterChange::Drain { node: me, draining: true }).await {
        Ok(Outcome::Done { .. }) => true,
        Ok(Outcome::Stale(stale)) => {
            tracing::warn!(%stale, "the calls stay here until they end");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "the calls stay here until they end");
            false
        }
    }
}

/// Takes part again after an end that drained. It asks until the cluster has heard.
pub(crate) async fn take_part(shell: Arc<Shell>, data_dir: PathBuf) {
    let mark = data_dir.join(MARK);
    if !mark.exists() {
        return;
    }
    loop {
        let change = ClusterChange::Drain { node: shell.cluster.me(), draining: false };
        match shell.tables.change_cluster(change).await {
            // One that was fenced meanwhile takes part by itself.
            Ok(Outcome::Done { .. } | Outcome::Stale(Stale::Fenced(_))) => break,
            Ok(Outcome::Stale(stale)) => tracing::warn!(%stale, "still drains"),
            Err(error) => tracing::warn!(%error, "still drains"),
        }
        sleep(AGAIN).await;
    }
    match fs::remove_file(&mark) {
        Ok(()) => tracing::info!("takes part again after it was emptied to end"),
        Err(error) => {
            tracing::warn!(%error, file = %mark.display(), "cannot be removed: an operator's drain would end with the next start")
        }
    }
}
