//! Asks the node every two seconds, on a thread of its own: a node that is slow to answer must not hold up the keys.

use crate::client::{Client, escape, ladder};
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
    /// One call with its ladder.
    Call(String),
}

/// What the node said.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Answer {
    pub(super) cluster: api::Cluster,
    pub(super) trunks: api::Trunks,
    /// Those of the trunk that was wanted.
    pub(super) calls: Option<(String, api::Calls)>,
    /// The call that was wanted, live or ended, or why nothing is told of it.
    pub(super) call: Option<(String, Result<api::Call, String>)>,
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
            // That it is told no more, or not to us, is said where its ladder would stand; the rest is as good as ever.
            answer.call = Some((id.clone(), ladder::fetch(client, id).map_err(|error| format!("{error:#}"))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    /// A node that answers each request by its path; answers the paths that were asked for, when nobody asks any more.
    fn node(answers: &'static [(&'static str, u16, &'static str)], requests: usize) -> (Client, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let (to, asked) = sync_channel(requests);
        std::thread::spawn(move || {
            for _ in 0..requests {
                let (mut stream, _) = listener.accept().expect("somebody asks");
                let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines().map_while(Result::ok);
                let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
                lines.find(String::is_empty);
                let known = answers.iter().find(|(known, ..)| path == *known);
                let (_, status, body) = known.unwrap_or(&("", 404, "{}"));
                let head =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).expect("answered");
                to.send(path).expect("there is room");
            }
        });
        (Client::with_patience(&base, Duration::from_secs(10)), asked)
    }

    const CLUSTER: (&str, u16, &str) =
        ("/api/v1/cluster", 200, r#"{"id":"x","me":"fra-1","term":1,"revision":1,"quorum":true,"nodes":[]}"#);
    const TRUNKS: (&str, u16, &str) = ("/api/v1/trunks", 200, r#"{"trunks":[]}"#);

    #[test]
    fn a_ladder_is_asked_for_only_while_it_is_wanted_and_as_calls_show_asks() {
        const CALL: (&str, u16, &str) = (
            "/api/v1/calls/1.2.3",
            200,
            r#"{"id":"1.2.3","state":"connected","ingress_trunk":"","egress_trunk":"","caller":"","called":"","seconds":1,
                "codec":"","attempts":1,"node":"fra-1","ladder":[{"at":"","leg":"a","way":"in","what":"INVITE"}]}"#,
        );
        let (client, asked) = node(&[CLUSTER, TRUNKS, CALL], 5);
        let answer = look(&client, &Wanted::Overview).expect("it answers");
        assert_eq!(answer.call, None);
        let answer = look(&client, &Wanted::Call("1.2.3".into())).expect("it answers");
        let (id, call) = answer.call.expect("a call");
        assert_eq!((id.as_str(), call.expect("told").ladder.len()), ("1.2.3", 1));
        let asked: Vec<String> = asked.iter().collect();
        assert_eq!(asked, [CLUSTER.0, TRUNKS.0, CLUSTER.0, TRUNKS.0, CALL.0]);
    }

    #[test]
    fn a_refused_ladder_is_told_and_the_rest_is_shown_all_the_same() {
        const GONE: (&str, u16, &str) =
            ("/api/v1/calls/1", 404, r#"{"error":"there is no call `1`","mend":"see cdr"}"#);
        const FORBIDDEN: (&str, u16, &str) = ("/api/v1/calls/2", 403, r#"{"error":"the token lacks the scope"}"#);
        const AWAY: (&str, u16, &str) = ("/api/v1/calls/3", 503, r#"{"error":"lon-1 does not answer"}"#);
        let (client, _asked) = node(&[CLUSTER, TRUNKS, GONE, FORBIDDEN, AWAY], 9);
        let why = |id: &str| {
            let answer = look(&client, &Wanted::Call(id.to_owned())).expect("the cluster and its trunks are told");
            answer.call.expect("of the call").1.expect_err("nothing is told of it")
        };
        assert_eq!(why("1"), "there is no call `1`; see cdr");
        assert_eq!(why("2"), "the token lacks the scope");
        assert_eq!(why("3"), "lon-1 does not answer");
    }
}
