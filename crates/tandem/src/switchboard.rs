//! What the console asks of everything alive, answered for the whole cluster: from this node, and from all others that
//! answer. Nothing here decides anything of a call.

mod cluster;
mod explain;
mod imports;
mod local;
mod merge;
mod peers;
mod question;
mod registered;
mod restore;
mod samples;
mod teller;

use crate::machine::Machine;
use console::api::{self, Cdr};
use console::{Answer, Import, Problem, Sample, Switchboard};
use local::{Local, parse};
use peers::{Heard, Peers, pages};
use question::{Answer as Told, Page, Question};
use routing::cluster::NodeId;
use routing::model::Destination;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use switch::Node;
use switch::cdr::read;
use switch::shell::Shell;
use teller::Answering;
use tokio::time::Instant;

/// The live side of the cluster, as this node finds it.
pub(crate) struct Board {
    shell: Arc<Shell>,
    local: Arc<Local>,
    peers: Peers,
    machine: Machine,
}

impl Board {
    /// Of a running node, which from now on answers others as well.
    pub(crate) fn new(node: &Node, machine: Machine) -> Self {
        let (shell, local) = (Arc::clone(node.shell()), Arc::new(Local::new(node)));
        node.answer_with(Arc::new(Answering::new(Arc::clone(&local))));
        Self { peers: Peers::new(Arc::clone(&shell)), shell, local, machine }
    }

    /// Pages of this node, first, and of all others.
    async fn gather<T>(
        &self,
        limit: usize,
        question: impl Fn(Option<String>, usize) -> Question,
        read: fn(Told) -> Option<Page<T>>,
    ) -> Result<Heard<Page<T>>, Problem> {
        let here = |asked: Question| async move {
            let told = self.local.answer(asked).await;
            if let Told::Refused { why } = told {
                return Err(why);
            }
            read(told).ok_or_else(|| "answers something else".to_owned())
        };
        // This node needs no patience with itself.
        let patient = Instant::now() + Duration::from_secs(3600);
        let (own, others) =
            tokio::join!(pages(limit, patient, &question, here), self.peers.gather(limit, &question, read));
        let (page, refused) = own;
        if let Some(why) = refused {
            return Err(Problem::new(500, format!("this node {why}")));
        }
        let Heard { mut told, missing } = others;
        told.insert(0, (self.shell.cluster.me(), page));
        Ok(Heard { told, missing })
    }

    /// Nodes that are missing, each with its number.
    fn numbered(&self, missing: Vec<api::Missing>) -> Vec<(NodeId, api::Missing)> {
        let replicated = self.shell.cluster.replicated();
        let number = |one: &api::Missing| replicated.member_named(&one.node).map(|member| member.id);
        missing.into_iter().filter_map(|one| Some((number(&one)?, one))).collect()
    }

    /// The call is at no node that answers.
    fn not_found(&self, id: &str, silent: Vec<(NodeId, api::Missing)>) -> Result<(), Problem> {
        let Some(name) = parse(id) else { return Ok(()) };
        let replicated = self.shell.cluster.replicated();
        let holders: Vec<NodeId> = replicated.shard(name.shard).owners_since(name.epoch).collect();
        certain(id, &holders, silent)
    }
}

/// That nobody has a call is certain only if those that could have it answer.
fn certain(id: &str, holders: &[NodeId], silent: Vec<(NodeId, api::Missing)>) -> Result<(), Problem> {
    match silent.into_iter().find(|(node, _)| holders.contains(node)) {
        Some((_, api::Missing { node, why, .. })) => {
            let what = format!("`{id}` may be at {node}, which does not answer: {why}");
            Err(Problem::new(503, what).mend("ask again when `tandem nodes` shows it up"))
        }
        None => Ok(()),
    }
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

    fn samples(&self) -> Vec<Sample> {
        let mut all = samples::of(&self.shell);
        all.extend(self.machine.samples());
        all
    }

    fn calls(&self, filter: api::CallFilter) -> Answer<'_, api::Calls> {
        Box::pin(async move {
            let api::CallFilter { trunk, after: begin, limit } = filter;
            let limit = limit.unwrap_or(api::LIMIT_DEFAULT);
            if let Some(id) = begin.as_ref().filter(|id| parse(id).is_none()) {
                let what = format!("`{id}` is no id of a call");
                return Err(Problem::new(400, what).at("after").mend("take the last of the listing before"));
            }
            let question = |after: Option<String>, limit| Question::Calls {
                trunk: trunk.clone(),
                after: after.or_else(|| begin.clone()),
                limit,
            };
            let read = |told| if let Told::Calls(page) = told { Some(page) } else { None };
            let Heard { told, missing } = self.gather(limit, question, read).await?;
            let (calls, more) = merge::calls(told.into_iter().map(|(_, page)| page), limit);
            Ok(api::Calls { calls, more, missing })
        })
    }

    fn call(&self, asked: api::CallQuery) -> Answer<'_, Option<api::Call>> {
        Box::pin(async move {
            let api::CallQuery { id, messages } = asked;
            // A call that has moved is told in parts, by every node that has had it.
            let read = |told| if let Told::Call { call } = told { Some(call) } else { None };
            let question = Question::Call { id: id.clone(), messages };
            let (own, others) = tokio::join!(self.local.call(&id, messages), self.peers.ask(&question, read));
            let parts = own.into_iter().chain(others.told.into_iter().filter_map(|(_, part)| part.map(|part| *part)));
            match merge::call(parts, &others.missing) {
                Some(call) => Ok(Some(call)),
                None => self.not_found(&id, self.numbered(others.missing)).map(|()| None),
            }
        })
    }

    fn hangup(&self, id: String) -> Answer<'_, bool> {
        Box::pin(async move {
            if self.local.hangup(&id) {
                return Ok(true);
            }
            let read = |told| if let Told::Hangup { found } = told { Some(found.then_some(())) } else { None };
            match self.peers.find(&Question::Hangup { id: id.clone() }, read).await {
                Ok(()) => Ok(true),
                Err(silent) => self.not_found(&id, silent).map(|()| false),
            }
        })
    }

    fn trunks(&self) -> Answer<'_, api::Trunks> {
        Box::pin(async move {
            let read = |told| if let Told::Trunks(page) = told { Some(page) } else { None };
            let Heard { told, missing } = self.gather(usize::MAX, |after, _| Question::Trunks { after }, read).await?;
            Ok(api::Trunks { trunks: merge::trunks(told.into_iter().map(|(_, page)| page)), missing })
        })
    }

    fn registrations(&self, limit: usize) -> Answer<'_, api::Registrations> {
        Box::pin(async move {
            let read = |told| if let Told::Registrations(page) = told { Some(page) } else { None };
            let question = |after, limit| Question::Registrations { after, limit };
            let Heard { told, missing } = self.gather(limit, question, read).await?;
            let (registrations, more) = merge::registrations(told.into_iter().map(|(_, page)| page), limit);
            Ok(api::Registrations { registrations, more, missing })
        })
    }

    fn registered(&self, whom: Vec<Destination>) -> Answer<'_, HashMap<Destination, bool>> {
        Box::pin(async move { Ok(self.registrations_of(whom).await) })
    }

    fn nodes(&self) -> Answer<'_, api::Nodes> {
        Box::pin(async move { Ok(self.all_nodes().await) })
    }

    fn cluster(&self) -> Answer<'_, api::Cluster> {
        Box::pin(async move { Ok(self.seen().await) })
    }

    fn drain(&self, asked: api::Drain) -> Answer<'_, ()> {
        Box::pin(async move { self.empty(&asked).await })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_no_such_call_is_only_said_when_it_is_certain() {
        let silent = || {
            let missing = |node: &str| api::Missing { node: node.into(), site: "s".into(), why: "down".into() };
            vec![(2, missing("lon-1")), (3, missing("ams-1"))]
        };
        assert_eq!(certain("1.1.1", &[1, 4], silent()), Ok(()), "neither could have it");
        assert_eq!(certain("1.1.1", &[2], vec![]), Ok(()));
        let problem = certain("1.1.1", &[1, 3], silent()).expect_err("ams-1 could have it");
        assert_eq!((problem.status, &*problem.error), (503, "`1.1.1` may be at ams-1, which does not answer: down"));
    }
}
