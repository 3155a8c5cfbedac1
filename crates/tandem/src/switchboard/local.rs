//! What this node alone says of itself: for its own part of a view of the cluster, and for others that ask it.
//!
//! It asks no other node, and every answer of it is a page of bounded size.

use super::explain::{self, Teller};
use super::question::{AORS, Answer, PAGE_BYTES, Page, Question};
use call::CallId;
use console::{api, show_time};
use futures_util::future::join_all;
use routing::cluster::Liveness;
use std::sync::Arc;
use std::time::Duration;
use switch::Node;
use switch::clock;
use switch::registrations::Listed;
use switch::shell::Shell;
use switch::trunks::{Standing, Traffic};
use tokio::sync::Mutex;
use tokio::time::Instant;
use trunk::gateway::State;

/// Calls that are looked at for one page: a filter may let few of them pass.
const EXAMINED: usize = 20_000;
/// Calls that are asked at the same time.
const ASKED: usize = 64;
/// Addresses of record that are looked at for one page.
const ADDRESSES: usize = 2_000;
/// So many addresses are counted whenever somebody asks, and more of them only after this.
const FEW: usize = 10_000;
/// See [`FEW`].
const COUNTED: Duration = Duration::from_secs(2);
/// How long one call may take to say how it stands, before it is left out.
const PATIENCE: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct Local {
    pub(super) shell: Arc<Shell>,
    pub(super) name: String,
    pub(super) site: String,
    started: String,
    /// The addresses of this node's shards when they were last counted.
    addresses: Mutex<Option<(Instant, u64)>>,
}

impl Local {
    pub(super) fn new(node: &Node) -> Self {
        let options = node.options();
        Self {
            shell: Arc::clone(node.shell()),
            name: options.name.clone(),
            site: options.site.clone(),
            started: show_time(clock::now().wall),
            addresses: Mutex::new(None),
        }
    }

    /// Answers anything that may be asked.
    pub(super) async fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Node => Answer::Node { node: self.node().await },
            Question::Calls { trunk, after, limit } => match after.map(|id| parse(&id).ok_or(id)).transpose() {
                Ok(after) => Answer::Calls(self.calls(trunk.as_deref(), after, limit).await),
                Err(_) => Answer::refused("does not know such an id"),
            },
            Question::Call { id, messages } => Answer::Call { call: self.call(&id, messages).await.map(Box::new) },
            Question::Hangup { id } => Answer::Hangup { found: self.hangup(&id) },
            Question::Leave => Answer::Leave { ready: self.shell.cdr.hand_over().await },
            Question::Trunks { after } => Answer::Trunks(self.trunks(after.as_deref())),
            Question::Registrations { after, limit } => Answer::Registrations(self.registrations(after, limit).await),
            Question::Registered { aors } => Answer::Registered { aors: self.registered(aors) },
        }
    }

    /// This node, for the list of nodes.
    pub(super) async fn node(&self) -> api::Node {
        let shell = &self.shell;
        let registrations = Some(self.addresses().await);
        let replicated = shell.cluster.replicated();
        let draining =
            replicated.member(shell.cluster.me()).is_some_and(|member| member.liveness == Liveness::Draining);
        let millis = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        api::Node {
            name: self.name.clone(),
            site: self.site.clone(),
            state: if draining { "draining" } else { "up" }.to_owned(),
            calls: Some(shell.calls.directory.len() as u64),
            registrations,
            relay_sessions: Some(shell.relay.gauges().sessions),
            revision: Some(shell.tables.revision()),
            lease_remaining_ms: shell.cluster.lease_remaining(clock::now().mono).map(millis),
            rtt_ms: None,
            started: Some(self.started.clone()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }
    }

    /// Addresses of record of this node's shards. Many are not counted again for everybody who asks.
    async fn addresses(&self) -> u64 {
        let mut last = self.addresses.lock().await;
        if let Some((at, count)) = *last
            && self.shell.contacts.len() > FEW
            && at.elapsed() < COUNTED
        {
            return count;
        }
        let shell = Arc::clone(&self.shell);
        let count = blocking(move || shell.contacts.count(shell.cluster.owned()) as u64).await;
        *last = Some((Instant::now(), count));
        count
    }

    /// The calls after an id, by id. The next page begins after the last call that was looked at, whether it is shown or not.
    async fn calls(&self, trunk: Option<&str>, after: Option<CallId>, limit: usize) -> Page<api::Call> {
        let shell = Arc::clone(&self.shell);
        let (ids, mut more) = blocking(move || ids_after(&shell, after)).await;
        let (mut rows, mut size, mut examined) = (Vec::new(), 0, None);
        for some in ids.chunks(ASKED) {
            if rows.len() > limit || size > PAGE_BYTES {
                more = true;
                break;
            }
            let shown = join_all(some.iter().map(|id| tokio::time::timeout(PATIENCE, self.shell.calls.show_one(*id))));
            for summary in shown.await.into_iter().filter_map(|shown| shown.ok().flatten()) {
                let passes = |trunk: &str| *summary.ingress_trunk == *trunk || *summary.egress_trunk == *trunk;
                if trunk.is_none_or(passes) {
                    let row = self.row(&summary);
                    size += serde_json::to_vec(&row).map_or(0, |written| written.len());
                    rows.push((row.id.clone(), row));
                }
            }
            examined = some.last().map(ToString::to_string);
        }
        let page = Page::fill(rows, limit, PAGE_BYTES, false);
        Page { next: page.next.or(examined.filter(|_| more)), rows: page.rows }
    }

    /// One call as far as this node knows it: it lives here, it ended here, or it was here before it went elsewhere.
    pub(super) async fn call(&self, id: &str, messages: bool) -> Option<api::Call> {
        let (id, shell) = (parse(id)?, &self.shell);
        let summary = shell.calls.show_one(id).await;
        let mut lives = shell.ladders.ended(id);
        lives.extend(shell.calls.directory.find(id).and_then(|place| shell.ladders.live(&place)));
        if summary.is_none() && lives.is_empty() {
            return None;
        }
        let replicated = shell.cluster.replicated();
        let name = |node| match replicated.member(node) {
            Some(member) => member.name.to_string(),
            None => format!("node {node}"),
        };
        let attempt = summary.as_ref().map_or(0, |summary| summary.attempts);
        let told = Teller { node: &self.name, name: &name, messages, attempt }.tell(&lives);
        // What only answers what comes again has ended already.
        let is_over = |summary: &call::Summary| summary.state == "clearing" && told.last.is_some();
        let live = summary.filter(|summary| !told.has_gone && !is_over(summary));
        let call = match (live, &told.last) {
            (Some(summary), _) => self.row(&summary),
            (None, Some(row)) => explain::ended(row),
            (None, None) => {
                let state = if told.has_gone { "moved" } else { "clearing" };
                api::Call { id: id.to_string(), state: state.to_owned(), ..api::Call::default() }
            }
        };
        Some(api::Call {
            node: self.name.clone(),
            site: self.site.clone(),
            ladder: told.steps,
            left_out: Some(told.left_out).filter(|count| *count > 0),
            moves: told.moves,
            media: told.media,
            ..call
        })
    }

    pub(super) fn hangup(&self, id: &str) -> bool {
        parse(id).is_some_and(|id| self.shell.calls.hangup(id, "operator"))
    }

    fn row(&self, summary: &call::Summary) -> api::Call {
        api::Call {
            id: summary.id.to_string(),
            state: summary.state.to_owned(),
            ingress_trunk: summary.ingress_trunk.to_string(),
            egress_trunk: summary.egress_trunk.to_string(),
            caller: summary.caller.to_string(),
            called: summary.called.to_string(),
            started: summary.started.map(show_time),
            answered: summary.answered.map(show_time),
            seconds: summary.seconds,
            codec: summary.codec.to_string(),
            attempts: summary.attempts,
            node: self.name.clone(),
            site: self.site.clone(),
            ..api::Call::default()
        }
    }

    fn trunks(&self, after: Option<&str>) -> Page<api::Trunk> {
        let view = self.shell.tables.view();
        let standings = self.shell.trunks.standings(&view).into_iter();
        let rows = standings.filter(|one| after.is_none_or(|after| *one.name > *after)).map(|one| {
            let account = view.trunk(&one.name).and_then(|trunk| trunk.account.as_ref().map(ToString::to_string));
            (one.name.to_string(), self.trunk(account, one))
        });
        Page::fill(rows, usize::MAX, PAGE_BYTES, false)
    }

    fn trunk(&self, account: Option<String>, standing: Standing) -> api::Trunk {
        let share = api::Share {
            node: self.name.clone(),
            channels_used: standing.used,
            channels_leased: standing.leased,
            registered: standing.registered,
            ingress: traffic(&standing.traffic[0]),
            egress: traffic(&standing.traffic[1]),
        };
        let gateway = |(address, health): (Arc<str>, State)| {
            let state = match health {
                State::Up => "up",
                State::Down => "down",
                State::Unknown => "unknown",
            };
            let seen = api::GatewaySite { site: self.site.clone(), state: state.to_owned() };
            api::Gateway { address: address.to_string(), state: state.to_owned(), sites: vec![seen] }
        };
        api::Trunk {
            account,
            name: standing.name.to_string(),
            channels_used: standing.used,
            channels_limit: standing.channels,
            cps_limit: standing.cps,
            nodes: vec![share],
            gateways: standing.gateways.into_iter().map(gateway).collect(),
            registered: standing.registered,
        }
    }

    /// The registrations of this node's shards. A page ends with an address, never between two contacts of one.
    async fn registrations(&self, after: Option<String>, limit: usize) -> Page<api::Registration> {
        let (shell, most) = (Arc::clone(&self.shell), limit.min(ADDRESSES));
        let look = move || {
            let (contacts, owned) = (&shell.contacts, shell.cluster.owned());
            contacts.list(after.as_deref(), most, clock::now(), owned)
        };
        let found = blocking(look).await;
        let more = found.len() >= most;
        let rows = found.into_iter().map(|address| {
            let bindings: Vec<_> = address.bindings.into_iter().map(|one| self.registration(one)).collect();
            (address.aor.to_string(), bindings)
        });
        let page = Page::fill(rows, limit, PAGE_BYTES, more);
        Page { rows: page.rows.into_iter().flatten().collect(), next: page.next }
    }

    fn registration(&self, one: Listed) -> api::Registration {
        api::Registration {
            name: one.name,
            contact: one.contact,
            expires_seconds: one.expires,
            transport: one.transport.to_owned(),
            user_agent: one.user_agent,
            node: self.name.clone(),
            site: self.site.clone(),
        }
    }

    fn registered(&self, mut aors: Vec<String>) -> Vec<String> {
        let now = clock::now();
        aors.truncate(AORS);
        aors.retain(|aor| !self.shell.contacts.hops(aor, now).is_empty());
        aors
    }
}

fn traffic(way: &Traffic) -> api::Traffic {
    let Traffic { active, attempts, answered, rang, until_ring, heard, mos_milli } = *way;
    let pdd_ms_sum = u64::try_from(until_ring.as_millis()).unwrap_or(u64::MAX);
    api::Traffic { active, attempts, answered, rang, pdd_ms_sum, heard, mos_milli_sum: mos_milli }
}

/// Runs what looks at very many rows on a thread that may block.
async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(job).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is ending: nobody waits any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Ids of calls after one, by id, and whether there are more.
fn ids_after(shell: &Shell, after: Option<CallId>) -> (Vec<CallId>, bool) {
    let all = shell.calls.directory.some(usize::MAX);
    let mut ids: Vec<CallId> =
        all.into_iter().map(|(id, _)| id).filter(|id| after.is_none_or(|after| *id > after)).collect();
    ids.sort_unstable();
    let more = ids.len() > EXAMINED;
    ids.truncate(EXAMINED);
    (ids, more)
}

pub(super) fn parse(id: &str) -> Option<CallId> {
    CallId::parse(id.as_bytes())
}
