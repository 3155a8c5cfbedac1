//! Asks the node every two seconds, on a thread of its own: a node that is slow to answer must not hold up the keys.

use crate::client::{Client, escape};
use console::api;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// Calls of a trunk that are listed at most.
const CALLS: usize = 500;

/// What is looked at besides nodes and trunks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Wanted {
    /// Nothing.
    #[default]
    Overview,
    /// The calls of a trunk.
    Trunk(String),
    /// One call.
    Call(String),
}

/// What the node said.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Answer {
    pub(super) cluster: api::Cluster,
    pub(super) trunks: api::Trunks,
    /// Those of the trunk that was wanted.
    pub(super) calls: Option<(String, api::Calls)>,
    /// The call that was wanted; the inner is absent when it is over.
    pub(super) call: Option<(String, Option<api::Call>)>,
}

/// One look.
pub(super) fn look(client: &Client, wanted: &Wanted) -> anyhow::Result<Answer> {
    let cluster = serde_json::from_value(client.get("cluster")?)?;
    let trunks = serde_json::from_value(client.get("trunks")?)?;
    let mut answer = Answer { cluster, trunks, ..Answer::default() };
    match wanted {
        Wanted::Overview => {}
        Wanted::Trunk(name) => {
            let calls = client.get(&format!("calls?trunk={}&limit={CALLS}", escape(name)))?;
            answer.calls = Some((name.clone(), serde_json::from_value(calls)?));
        }
        Wanted::Call(id) => {
            // One that has ended is no error here.
            let call = client.get(&format!("calls/{}", escape(id))).ok();
            answer.call = Some((id.clone(), call.map(serde_json::from_value).transpose()?));
        }
    }
    Ok(answer)
}

/// The thread that asks. It ends with the process, or when nobody takes its answers.
pub(super) struct Asker {
    wanted: Arc<(Mutex<Wanted>, Condvar)>,
    answers: Receiver<Result<Answer, String>>,
}

impl Asker {
    pub(super) fn start(client: Client) -> Self {
        let (to, answers) = sync_channel(1);
        let wanted = Arc::new((Mutex::new(Wanted::default()), Condvar::new()));
        let mine = Arc::clone(&wanted);
        std::thread::spawn(move || ask(&client, &mine, &to));
        Self { wanted, answers }
    }

    /// What is to be looked at from now on; something new is asked for at once.
    pub(super) fn want(&self, wanted: Wanted) {
        let (mutex, changed) = &*self.wanted;
        let mut now = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != wanted {
            *now = wanted;
            changed.notify_one();
        }
    }

    /// An answer that has come since the last one.
    pub(super) fn heard(&self) -> Option<Result<Answer, String>> {
        self.answers.try_recv().ok()
    }
}

fn ask(client: &Client, wanted: &(Mutex<Wanted>, Condvar), to: &SyncSender<Result<Answer, String>>) {
    loop {
        let asked = wanted.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if to.send(look(client, &asked).map_err(|error| format!("{error:#}"))).is_err() {
            return;
        }
        let now = wanted.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wanted.1.wait_timeout_while(now, EVERY, |now| *now == asked);
    }
}
