//! What the console asks of everything alive, answered from the switch.

mod cluster;
mod imports;

use console::api::{self, Cdr};
use console::{Answer, Import, Problem, Switchboard, show_time};
use std::sync::Arc;
use std::time::Duration;
use switch::Node;
use switch::cdr::read;
use switch::clock;
use switch::registrations::{trunk_aor, user_aor};
use switch::shell::Shell;
use switch::trunks::Standing;
use trunk::gateway::State;

/// The live side of this node.
pub(crate) struct Board {
    shell: Arc<Shell>,
    name: String,
    site: String,
    started: String,
}

impl Board {
    /// Of a running node.
    pub(crate) fn new(node: &Node) -> Self {
        let options = node.options();
        Self {
            shell: Arc::clone(node.shell()),
            name: options.name.clone(),
            site: options.site.clone(),
            started: show_time(clock::now().wall),
        }
    }

    fn call(&self, summary: &call::Summary) -> api::Call {
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
            ..api::Call::default()
        }
    }

    fn trunk(&self, standing: Standing) -> api::Trunk {
        let state = |state| match state {
            State::Up => "up",
            State::Down => "down",
            State::Unknown => "unknown",
        };
        let view = self.shell.tables.view();
        let share = api::Share { node: self.name.clone(), channels_used: standing.used, channels_leased: None };
        api::Trunk {
            nodes: vec![share],
            account: view.trunk(&standing.name).and_then(|trunk| trunk.account.as_ref().map(ToString::to_string)),
            name: standing.name.to_string(),
            channels_used: standing.used,
            channels_limit: standing.channels,
            cps_limit: standing.cps,
            gateways: standing
                .gateways
                .into_iter()
                .map(|(address, health)| api::Gateway { address: address.to_string(), state: state(health).to_owned() })
                .collect(),
            registered: standing.registered,
        }
    }
}

fn parse(id: &str) -> Option<call::CallId> {
    call::CallId::parse(id.as_bytes())
}

impl Switchboard for Board {
    fn ready(&self) -> Result<(), String> {
        self.shell.takes_calls().map_err(|why| match why {
            "stopping" => "the node is ending".to_owned(),
            "no_shard" => "no shard of the cluster is this node's".to_owned(),
            _ => "call records cannot be stored: look at the disk of data_dir".to_owned(),
        })?;
        if self.shell.cluster.is_settled() {
            return Ok(());
        }
        Err("the node is taking its place in the cluster".to_owned())
    }

    fn calls(&self, filter: api::CallFilter) -> Answer<'_, Vec<api::Call>> {
        Box::pin(async move {
            let limit = filter.limit.unwrap_or(api::LIMIT_DEFAULT);
            let summaries = self.shell.calls.show(if filter.trunk.is_some() { api::LIMIT_MAX } else { limit }).await;
            let of_trunk = |call: &api::Call| {
                filter.trunk.as_ref().is_none_or(|trunk| call.ingress_trunk == *trunk || call.egress_trunk == *trunk)
            };
            Ok(summaries.iter().map(|summary| self.call(summary)).filter(of_trunk).take(limit).collect())
        })
    }

    fn call(&self, id: String) -> Answer<'_, Option<api::Call>> {
        Box::pin(async move {
            let Some(id) = parse(&id) else { return Ok(None) };
            Ok(self.shell.calls.show_one(id).await.map(|summary| self.call(&summary)))
        })
    }

    fn hangup(&self, id: String) -> Answer<'_, bool> {
        Box::pin(async move { Ok(parse(&id).is_some_and(|id| self.shell.calls.hangup(id, "operator"))) })
    }

    fn trunks(&self) -> Answer<'_, Vec<api::Trunk>> {
        Box::pin(async move {
            let view = self.shell.tables.view();
            Ok(self.shell.trunks.standings(&view).into_iter().map(|standing| self.trunk(standing)).collect())
        })
    }

    fn registrations(&self, limit: usize) -> Answer<'_, Vec<api::Registration>> {
        Box::pin(async move {
            let owned = self.shell.cluster.owned();
            let listed = self.shell.contacts.list(limit, clock::now(), owned);
            let shown = listed.into_iter().map(|one| api::Registration {
                name: one.name,
                contact: one.contact,
                expires_seconds: one.expires,
                transport: one.transport.to_owned(),
                user_agent: one.user_agent,
                node: self.name.clone(),
            });
            Ok(shown.collect())
        })
    }

    fn is_registered(&self, name: &str) -> bool {
        let view = self.shell.tables.view();
        let aors = [view.user(name).map(|user| user_aor(user)), view.trunk(name).map(|trunk| trunk_aor(trunk))];
        aors.into_iter().flatten().any(|aor| !self.shell.contacts.hops(&aor, clock::now()).is_empty())
    }

    fn nodes(&self) -> Answer<'_, Vec<api::Node>> {
        Box::pin(async move { Ok(vec![self.node()]) })
    }

    fn cluster(&self) -> Answer<'_, api::Cluster> {
        Box::pin(async move { Ok(self.seen().await) })
    }

    fn remove(&self, name: String) -> Answer<'_, ()> {
        Box::pin(async move { self.take_out(&name).await })
    }

    fn import(&self, import: Import) -> Answer<'_, api::Imported> {
        Box::pin(imports::run(self.shell.tables.clone(), import))
    }

    fn cdrs(&self, filter: api::CdrFilter) -> Answer<'_, Vec<Cdr>> {
        Box::pin(async move {
            let folder = self.shell.cdr.folder();
            let limit = filter.limit.unwrap_or(api::LIMIT_DEFAULT);
            let filter = read::Filter { since: filter.since, trunk: filter.trunk, limit };
            let rows = tokio::task::spawn_blocking(move || read::rows(&folder, &filter)).await;
            match rows {
                Ok(Ok(rows)) => Ok(rows),
                Ok(Err(error)) => Err(Problem::new(500, format!("call records cannot be read: {error}"))),
                Err(_) => Err(Problem::new(500, "call records cannot be read")),
            }
        })
    }
}

/// Gauges that nobody updates when they change: once a second.
pub(crate) async fn publish(shell: Arc<Shell>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        shell.messages.publish();
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("tandem_table_revision").set(shell.tables.revision() as f64);
    }
}
