//! The leader's side of a join: checks the newcomer, commits it as a member, and tells it who the others are.

use crate::admit::{check_certificate, check_protocol};
use crate::core::{Core, count_refused};
use crate::proto::join_reply::Answer;
use crate::proto::{Identity, JoinRequest, Joined, Leader, Neighbour, Reason, Refused};
use bytes::Bytes;
use routing::cluster::{ClusterChange, Liveness, Member, Outcome, Stale};
use std::collections::VecDeque;
use tonic::Status;

/// How many answers are kept for newcomers that did not get them.
const KEPT: usize = 64;

/// What was answered lately, by the newcomers' request ids: the member that a lost answer has made is not refused as a
/// second one of its name. The lock is held over the whole join: newcomers come one after the other.
pub(crate) type Answered = tokio::sync::Mutex<VecDeque<(Bytes, Answer)>>;

/// Answers a newcomer.
pub(crate) async fn answer(core: &Core, request: JoinRequest, certificate: Option<&str>) -> Answer {
    let from = request.from.clone().unwrap_or_default();
    let answer = match check(core, &from, certificate) {
        Err(refused) => Answer::Refused(refused),
        Ok(()) => take(core, request, &from).await,
    };
    if let Answer::Refused(refused) = &answer {
        count_refused("join");
        tracing::info!(name = %from.name, reason = %refused.text, "a node cannot join");
    }
    answer
}

fn check(core: &Core, from: &Identity, certificate: Option<&str>) -> Result<(), Refused> {
    check_protocol(from).map_err(|status| because(Reason::Protocol, &status))?;
    check_certificate(from, certificate).map_err(|status| because(Reason::Certificate, &status))?;
    let me = core.lines.me();
    if me.cluster.is_empty() || me.incarnation == 0 {
        return Err(refuse(Reason::NotNow, "this node has not entered a cluster itself yet".to_owned()));
    }
    if !from.cluster.is_empty() && from.cluster != me.cluster {
        let text = format!("it belongs to cluster {}, this is {}", from.cluster, me.cluster);
        return Err(refuse(Reason::OtherCluster, text));
    }
    Ok(())
}

async fn take(core: &Core, request: JoinRequest, from: &Identity) -> Answer {
    if !core.tables.leads().await {
        let leader = core.tables.leadership().borrow().leader.clone();
        return match leader {
            Some((node, mesh)) if node != core.lines.node() => {
                let known = core.tables.cluster().member(node).map(|member| member.mesh.to_string());
                Answer::Leader(Leader { node, mesh: known.unwrap_or(mesh) })
            }
            Some(_) | None => Answer::Refused(refuse(Reason::NotNow, "the cluster has no leader now".to_owned())),
        };
    }
    let mut answered = core.answered.lock().await;
    if let Some((_, answer)) = answered.iter().find(|(id, _)| *id == request.request && !id.is_empty()) {
        return answer.clone();
    }
    let id = request.request.clone();
    let answer = commit(core, member(request, from)).await;
    if matches!(answer, Answer::Joined(_)) {
        if answered.len() == KEPT {
            answered.pop_front();
        }
        answered.push_back((id, answer.clone()));
    }
    answer
}

fn member(request: JoinRequest, from: &Identity) -> Member {
    Member {
        id: 0,
        name: from.name.as_str().into(),
        site: request.site.into(),
        mesh: request.mesh.into(),
        http: request.http.into(),
        sip: request.sip.into_iter().map(Into::into).collect(),
        witness: request.witness,
        incarnation: 0,
        liveness: Liveness::Up,
        protocol: from.protocol,
    }
}

async fn commit(core: &Core, member: Member) -> Answer {
    let mesh = member.mesh.to_string();
    let outcome = core.tables.change_cluster(ClusterChange::Join(member)).await;
    let (node, incarnation) = match outcome {
        Ok(Outcome::Done { node, incarnation }) => (node, incarnation),
        Ok(Outcome::Stale(stale)) => return Answer::Refused(refuse(reason(&stale), stale.to_string())),
        Err(error) => return Answer::Refused(refuse(Reason::NotNow, error.to_string())),
    };
    // The leader's duties do it again for a member that has no log, so that a failure here is only told.
    if let Err(error) = core.tables.add_learner(node, mesh).await {
        tracing::warn!(node, %error, "a node has joined and does not have the log yet");
    }
    let cluster = core.tables.cluster();
    let members = cluster.members().values().map(|member| Neighbour {
        node: member.id,
        name: member.name.to_string(),
        site: member.site.to_string(),
        mesh: member.mesh.to_string(),
    });
    Answer::Joined(Joined { cluster: cluster.id.clone(), node, incarnation, members: members.collect() })
}

fn reason(stale: &Stale) -> Reason {
    match stale {
        Stale::NameTaken(_) => Reason::NameTaken,
        Stale::Unknown(_) => Reason::Removed,
        Stale::Founded
        | Stale::Incarnation(_)
        | Stale::Owns(..)
        | Stale::Fenced(_)
        | Stale::Unfounded
        | Stale::Full(_)
        | Stale::Malformed(_)
        | Stale::Steps(_)
        | Stale::Moved => Reason::Invalid,
    }
}

fn because(reason: Reason, status: &Status) -> Refused {
    refuse(reason, status.message().to_owned())
}

fn refuse(reason: Reason, text: String) -> Refused {
    Refused { reason: reason.into(), text }
}
