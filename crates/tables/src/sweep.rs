//! Gives up imports that nobody goes on with: the leader's work.

use crate::actor::Shared;
use crate::command::{Command, RequestId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long an import may stand still.
const STILL: Duration = Duration::from_secs(120);

/// What was seen of the open imports, and when it was last something else.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    seen: BTreeMap<RequestId, (u32, Instant)>,
}

impl Sweep {
    /// Looks at the imports, and gives up those that have stood still for too long.
    pub(crate) fn sweep(&mut self, shared: &Shared) {
        let Ok(running) = shared.running() else { return };
        if !shared.core.leadership.borrow().me {
            self.seen.clear();
            return;
        }
        let now = Instant::now();
        let open = shared.core.replica.summary().imports;
        self.seen.retain(|import, _| open.iter().any(|(there, _)| there == import));
        for (import, pieces) in open {
            let seen = self.seen.entry(import).or_insert((pieces, now));
            if seen.0 != pieces {
                *seen = (pieces, now);
            }
            if now.duration_since(seen.1) > STILL {
                seen.1 = now;
                tracing::warn!(pieces, "tables: an import was abandoned");
                let running = running.clone();
                tokio::spawn(async move {
                    if let Err(failure) = running.write(Command::Discard { import }).await {
                        tracing::warn!(?failure, "tables: an abandoned import stays for now");
                    }
                });
            }
        }
    }
}
