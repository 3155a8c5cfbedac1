//! Requests of our own that belong to no call: OPTIONS to gateways, REGISTER to carriers.

use crate::clock;
use crate::shell::Shell;
use crate::transport::Sent;
use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sip::transaction::{Action, ClientNonInvite};
use sip::{Flow, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// What every branch of such a request begins with; a call's never does.
const PREFIX: &str = "z9hG4bKc-";
/// Responses of one request that may wait: provisional ones and copies.
const RESPONSES: usize = 8;

/// The requests that wait for an answer, by branch.
#[derive(Default)]
pub struct Clients {
    waiting: Mutex<FxHashMap<Box<str>, mpsc::Sender<Message>>>,
    last: AtomicU64,
}

/// No answer came, or the request could not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoAnswer;

impl Clients {
    /// A branch that no request of this process had before. `seed` keeps strangers from guessing it.
    #[must_use]
    pub fn branch(&self, seed: u64) -> String {
        format!("{PREFIX}{:x}-{seed:x}", self.last.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a response with this branch is for us.
    #[must_use]
    pub fn is_ours(branch: &[u8]) -> bool {
        branch.starts_with(PREFIX.as_bytes())
    }

    /// Hands a response to whoever waits; `false` if nobody does.
    pub fn deliver(&self, message: Message) -> bool {
        let Some(via) = message.top_via() else { return false };
        let waiting = self.waiting.lock().get(via.branch()).cloned();
        waiting.is_some_and(|waiting| waiting.try_send(message).is_ok())
    }
}

/// Sends a request and waits for its final response, retransmitting by RFC 3261 §17.1.2.
///
/// # Errors
/// [`NoAnswer`].
pub(crate) async fn request(shell: &Arc<Shell>, branch: &str, bytes: Bytes, to: Flow) -> Result<Message, NoAnswer> {
    let (sender, mut responses) = mpsc::channel(RESPONSES);
    shell.clients.waiting.lock().insert(branch.into(), sender);
    let _waiting = Waiting { shell, branch };
    let timers = &shell.settings().timers;
    let mut transaction = ClientNonInvite::new(clock::now().mono, bytes.clone(), to.transport.is_reliable(), timers);
    if shell.send(bytes, &to) == Sent::Unreachable {
        return Err(NoAnswer);
    }
    loop {
        let pause = transaction.poll_timeout().map_or(Duration::ZERO, |at| at.since(clock::now().mono));
        tokio::select! {
            response = responses.recv() => {
                let Some(response) = response else { return Err(NoAnswer) };
                let code = response.code().unwrap_or(0);
                let _ = transaction.handle_response(clock::now().mono, code);
                if code >= 200 {
                    return Ok(response);
                }
            }
            () = tokio::time::sleep(pause) => match transaction.handle_timeout(clock::now().mono) {
                Action::Send(again) => {
                    shell.send(again, &to);
                }
                Action::Timeout | Action::Over => return Err(NoAnswer),
                Action::Nothing | Action::Deliver | Action::SendAndDeliver(_) => {}
            },
        }
    }
}

/// Takes the branch out of the table however the wait ends.
struct Waiting<'a> {
    shell: &'a Shell,
    branch: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shell.clients.waiting.lock().remove(self.branch);
    }
}
