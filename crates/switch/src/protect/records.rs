//! Finds out who closes the records of calls that this node carried and does not carry any more: after its process died, or
//! after it was fenced. As long as any node cannot be asked, they wait.

use super::Protect;
use super::said::{Known, Said};
use crate::cdr::Whereabouts;
use crate::shell::Shell;
use ::call::CallId;
use mesh::Kind;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use sip::clock::Instant;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Calls in one question.
const PAGE: usize = 1_024;
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is said that records wait.
const COMPLAIN: Duration = Duration::from_secs(60);
/// How often it is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Records {
    is_asking: AtomicBool,
    next: Mutex<Option<Instant>>,
    complained: Mutex<Option<Instant>>,
}

impl Records {
    /// Whether it is time to say once more that records wait.
    fn may_complain(&self) -> bool {
        let (now, mut last) = (crate::clock::now().mono, self.complained.lock());
        let may = last.is_none_or(|last| now.since(last) >= COMPLAIN);
        if may {
            *last = Some(now);
        }
        may
    }

    /// Asks, if anything waits.
    pub(super) fn follow(&self, shell: &Arc<Shell>, now: Instant) {
        metrics::gauge!("tandem_cdr_undecided")
            .set(f64::from(u32::try_from(shell.cdr.waiting_len()).unwrap_or(u32::MAX)));
        if shell.cdr.waiting_len() == 0 || !shell.cluster.is_settled() {
            return;
        }
        {
            let mut next = self.next.lock();
            if next.is_some_and(|next| now < next) || self.is_asking.swap(true, Ordering::AcqRel) {
                return;
            }
            *next = Some(now + AGAIN);
        }
        let shell = Arc::clone(shell);
        tokio::spawn(async move {
            if let Err(error) = decide(&shell).await {
                tracing::error!(%error, "call records of an earlier life could not be stored");
            }
            shell.protect.records.is_asking.store(false, Ordering::Release);
        });
    }
}

async fn decide(shell: &Arc<Shell>) -> Result<(), crate::Error> {
    let waiting = shell.cdr.waiting(usize::MAX);
    for calls in waiting.chunks(PAGE) {
        let Some((mut taken, undecided)) = ask_all(shell, calls).await else { return Ok(()) };
        // This node may have taken over what it carried itself in another life.
        taken.extend(calls.iter().filter(|call| shell.protect.has_again(shell, **call)));
        for call in calls.iter().filter(|call| !undecided.contains(call)) {
            shell.cdr.resolve(*call, taken.contains(call))?;
        }
    }
    Ok(())
}

impl Protect {
    /// What this node knows of calls of a node that was removed.
    pub(crate) fn whereabouts(&self, shell: &Shell, calls: &[CallId]) -> Whereabouts {
        let Known { taken, undecided } = self.known(shell, self.life(shell), calls);
        Whereabouts { taken, undecided }
    }
}

/// What all others know of these calls; nothing if one of them does not say.
pub(super) async fn ask_all(shell: &Arc<Shell>, calls: &[CallId]) -> Option<(FxHashSet<CallId>, FxHashSet<CallId>)> {
    let mut answers = (FxHashSet::default(), FxHashSet::default());
    let (me, replicated) = (shell.cluster.me(), shell.cluster.replicated());
    let others = replicated.members().values().filter(|member| member.id != me && !member.witness);
    for member in others {
        let said = Said::Ask { life: shell.protect.life(shell), calls: calls.to_vec() };
        let Some(known) = shell.cluster.ask(member.id, Kind::Checkpoint, said.encode(), PATIENCE).await else {
            if shell.protect.records.may_complain() {
                tracing::warn!(
                    node = %member.name, calls = calls.len(),
                    "records of an earlier life wait: this node cannot say whether it has taken those calls; if it is gone for good, remove it"
                );
            }
            return None;
        };
        let known = Known::decode(&known)?;
        answers.0.extend(known.taken);
        answers.1.extend(known.undecided);
    }
    Some(answers)
}
