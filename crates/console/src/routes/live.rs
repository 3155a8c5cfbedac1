//! Calls, trunks, registrations, nodes, numbers, call records.

use super::{Desk, Route, blocking};
use crate::api::{
    Call, CallFilter, CallQuery, Calls, CdrFilter, Cdrs, LIMIT_DEFAULT, LIMIT_MAX, Nodes, Number, Numbers,
    Registrations, Trunks,
};
use crate::auth::Scope;
use crate::problem::Problem;
use crate::request::Parameters;
use crate::time::{parse_time, show_time};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get};
use routing::View;
use routing::model::Destination;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

type Answered<T> = Result<Json<T>, Problem>;

const LIMIT: (&str, &str, &str) = ("limit", "integer", "At most so many, up to 10000; 1000 if absent");
const AFTER: (&str, &str, &str) = ("after", "string", "Only calls after this id: the last of the listing before");
const MESSAGES: (&str, &str, &str) =
    ("messages", "boolean", "With the text of each message, for which the token needs the scope `calls` or `records`");
const TRUNK: (&str, &str, &str) = ("trunk", "string", "Only of this trunk");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            parameters: &[TRUNK, AFTER, LIMIT],
            answer: Some("Calls"),
            ..Route::get("/api/v1/calls", "Live calls", || get(calls))
        },
        Route {
            parameters: &[MESSAGES],
            answer: Some("Call"),
            ..Route::get("/api/v1/calls/{id}", "One call with its ladder, for a while also when it has ended", || {
                get(call)
            })
        },
        Route {
            method: "delete",
            scope: Some(Scope::Calls),
            ..Route::get("/api/v1/calls/{id}", "Ends a call", || delete(hangup))
        },
        Route { answer: Some("Trunks"), ..Route::get("/api/v1/trunks", "Trunks as they stand", || get(trunks)) },
        Route {
            parameters: &[LIMIT],
            answer: Some("Registrations"),
            ..Route::get("/api/v1/registrations", "Who is registered", || get(registrations))
        },
        Route { answer: Some("Nodes"), ..Route::get("/api/v1/nodes", "The nodes of the cluster", || get(nodes)) },
        Route {
            parameters: &[LIMIT],
            answer: Some("Numbers"),
            ..Route::get("/api/v1/numbers", "The numbers that we serve", || get(numbers))
        },
        Route {
            scope: Some(Scope::Records),
            parameters: &[("since", "string", "Ended at or after this time (RFC 3339)"), TRUNK, LIMIT],
            answer: Some("Cdrs"),
            ..Route::get("/api/v1/cdrs", "Call records of closed files, the newest that match", || get(cdrs))
        },
    ]
}

async fn calls(State(desk): State<Desk>, Parameters(mut filter): Parameters<CallFilter>) -> Answered<Calls> {
    filter.limit = Some(limit(filter.limit)?);
    Ok(Json(desk.board.calls(filter).await?))
}

/// The text of messages says more of the parties than whoever may merely look is to see.
async fn call(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Parameters(asked): Parameters<CallQuery>,
) -> Answered<Call> {
    if asked.messages {
        let checked = desk.guard.check(&headers, Scope::Calls);
        checked.or_else(|_| desk.guard.check(&headers, Scope::Records))?;
    }
    let found = desk.board.call(CallQuery { id: id.clone(), ..asked }).await?;
    let none =
        || Problem::new(404, format!("there is no call `{id}`, and no node keeps one of that name that has ended"));
    found.map(Json).ok_or_else(|| none().mend("`tandem calls` lists the live calls, `tandem cdr` those that were"))
}

async fn hangup(State(desk): State<Desk>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    if desk.board.hangup(id.clone()).await? { Ok(StatusCode::NO_CONTENT) } else { Err(no_call(&id)) }
}

fn no_call(id: &str) -> Problem {
    Problem::new(404, format!("there is no live call `{id}`")).mend("`tandem calls` lists the live calls")
}

async fn trunks(State(desk): State<Desk>) -> Answered<Trunks> {
    Ok(Json(desk.board.trunks().await?))
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn registrations(State(desk): State<Desk>, Parameters(asked): Parameters<Limit>) -> Answered<Registrations> {
    Ok(Json(desk.board.registrations(limit(asked.limit)?).await?))
}

async fn nodes(State(desk): State<Desk>) -> Answered<Nodes> {
    Ok(Json(desk.board.nodes().await?))
}

async fn numbers(State(desk): State<Desk>, Parameters(asked): Parameters<Limit>) -> Answered<Numbers> {
    let limit = limit(asked.limit)?;
    let Trunks { trunks, missing } = desk.board.trunks().await?;
    let states = trunks.into_iter().map(|trunk| (trunk.name.clone(), state_of_trunk(&trunk))).collect();
    let view = desk.tables.view();
    let registered = desk.board.registered(registering(&view, limit, &states)).await?;
    let more = view.tables().numbers().len() > limit;
    let numbers = blocking(move || Ok(numbers_of(&view, limit, &states, &registered))).await?;
    Ok(Json(Numbers { numbers, more, missing }))
}

/// A trunk takes calls while one of its gateways may.
fn state_of_trunk(trunk: &crate::api::Trunk) -> &'static str {
    let any = |state: &str| trunk.gateways.iter().any(|gateway| gateway.state == state);
    match () {
        () if any("up") => "up",
        () if any("unknown") => "unknown",
        () if any("down") => "down",
        () => "",
    }
}

/// The state of each trunk by its name; empty if it has no gateway.
type States = HashMap<String, &'static str>;

/// What the first numbers lead to and stands and falls with a registration, each once.
fn registering(view: &View, limit: usize, trunks: &States) -> Vec<Destination> {
    let rows = view.tables().numbers().values().take(limit);
    let registers = |to: &&Destination| match to {
        Destination::User(_) => true,
        Destination::Trunk(name) => trunks.get(&**name).is_none_or(|state| state.is_empty()),
        Destination::Number(_) | Destination::Plan(_) => false,
    };
    let found: HashSet<&Destination> = rows.map(|row| &row.to).filter(registers).collect();
    found.into_iter().cloned().collect()
}

fn numbers_of(view: &View, limit: usize, trunks: &States, registered: &HashMap<Destination, bool>) -> Vec<Number> {
    let registration = |to: &Destination| match registered.get(to) {
        Some(true) => "registered",
        Some(false) => "not registered",
        None => "unknown",
    };
    let state = |to: &Destination| match to {
        Destination::User(_) => Some(registration(to)),
        Destination::Trunk(name) => match trunks.get(&**name) {
            Some(state) if !state.is_empty() => Some(*state),
            Some(_) | None => Some(registration(to)),
        },
        Destination::Number(_) | Destination::Plan(_) => None,
    };
    let rows = view.tables().numbers().values().take(limit);
    rows.map(|row| Number {
        number: row.number.to_string(),
        account: row.account.as_ref().map(ToString::to_string),
        to: row.to.to_string(),
        on_failure: row.on_failure.as_ref().map(ToString::to_string),
        state: state(&row.to).map(ToOwned::to_owned),
    })
    .collect()
}

async fn cdrs(State(desk): State<Desk>, Parameters(mut filter): Parameters<CdrFilter>) -> Answered<Cdrs> {
    filter.limit = Some(limit(filter.limit)?);
    if let Some(since) = &filter.since {
        let time = parse_time(since).ok_or_else(|| {
            Problem::new(400, format!("`{since}` is no time")).at("since").mend("write it as 2026-01-31T12:00:00Z")
        })?;
        filter.since = Some(show_time(time));
    }
    Ok(Json(Cdrs { cdrs: desk.board.cdrs(filter).await? }))
}

fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(LIMIT_DEFAULT),
        Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Some(limit) => {
            Err(Problem::new(400, format!("a limit of {limit}")).at("limit").mend(format!("ask for 1 to {LIMIT_MAX}")))
        }
    }
}
