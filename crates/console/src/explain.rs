//! Why a call goes where it goes: `routing` plans it with every candidate noted, and this puts that into words.

use crate::api;
use crate::problem::Problem;
use crate::time::{now, parse_time};
use routing::plan::{Origin, Query, Target};
use routing::{Attempt, View};

pub(crate) fn route(view: &View, query: &api::RouteQuery) -> Result<api::Route, Problem> {
    let at = match &query.at {
        None => now(),
        Some(text) => parse_time(text).ok_or_else(|| {
            Problem::new(400, format!("`{text}` is no time")).at("at").mend("write it as 2026-01-31T12:00:00Z")
        })?,
    };
    let trunk = view.trunk(&query.trunk);
    let origin = match (trunk, view.user(&query.trunk)) {
        (Some(trunk), _) => Origin::Trunk(trunk),
        (None, Some(user)) => Origin::User(user),
        (None, None) => {
            let what = format!("there is no trunk or user `{}`", query.trunk);
            return Err(Problem::new(404, what).at("trunk").mend("`tandem trunks` lists the trunks"));
        }
    };
    let prefix = trunk.and_then(|trunk| trunk.ingress.as_ref()).map_or("", |ingress| &ingress.tech_prefix);
    let query = Query {
        origin,
        called: query.called.strip_prefix(prefix).unwrap_or(&query.called),
        caller: query.caller.as_deref().unwrap_or_default(),
        at,
        seed: 0,
        explain: true,
    };
    Ok(answer(view, &query))
}

fn answer(view: &View, query: &Query<'_>) -> api::Route {
    let revision = view.revision;
    match view.plan(query) {
        Ok(plan) => api::Route {
            revision,
            attempts: plan.attempts.iter().map(attempt).collect(),
            candidates: plan.candidates.into_iter().map(candidate).collect(),
            lrn: plan.lrn.map(|lrn| lrn.to_string()),
            emergency: plan.emergency,
            ..api::Route::default()
        },
        Err(refusal) => api::Route {
            revision,
            refused: Some(refusal.to_string()),
            sip_code: Some(refusal.sip_code()),
            ..api::Route::default()
        },
    }
}

fn attempt(attempt: &Attempt) -> api::Attempt {
    let target = match &attempt.target {
        Target::Trunk(trunk) => format!("trunk:{}", trunk.name),
        Target::Registered(trunk) => format!("registered:{}", trunk.name),
        Target::User(user) => format!("user:{}", user.name),
    };
    api::Attempt {
        target,
        called: attempt.called.to_string(),
        plan: attempt.plan.as_ref().map(ToString::to_string),
        prefix: attempt.prefix.to_string(),
    }
}

fn candidate(candidate: routing::Candidate) -> api::Candidate {
    let routing::Candidate { what, by, kept, why } = candidate;
    api::Candidate { what, by, kept, why }
}
