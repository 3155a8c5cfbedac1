//! The tables: shown, changed, and their past.

use super::{BODY_MAX, Desk, PATIENCE_TABLES, Route, TABLES_MAX, blocking};
use crate::api::{Applied, Apply, History, Revision, RevisionDetail, Rollback, RouteQuery};
use crate::auth::Scope;
use crate::problem::Problem;
use crate::request::{Body, Parameters};
use crate::time::show_time;
use crate::{api, explain};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use routing::Document;
use serde::Deserialize;
use tables::{RevisionInfo, Signature};
use tokio::sync::Semaphore;

type Answered<T> = Result<Json<T>, Problem>;

/// Large documents that are read at the same time: each may be of 256 MB.
static READING: Semaphore = Semaphore::const_new(2);
/// From how many bytes on a document is large. Of smaller ones as many may come as the queue of the tables takes.
const LARGE: usize = 1 << 20;

/// Beside the TOML: the revision that it shows.
const REVISION_HEADER: &str = "x-tandem-revision";

pub(super) fn routes() -> Vec<Route> {
    let tables = |route: Route| Route { scope: Some(Scope::Tables), patience: PATIENCE_TABLES, ..route };
    vec![
        tables(Route::get("/api/v1/tables", "The tables as TOML, with the secrets that stand in them", || get(export))),
        tables(Route {
            method: "put",
            parameters: &[
                ("dry_run", "boolean", "Only say what would change"),
                ("prune", "boolean", "Delete the rows that are not listed, of the tables that the files name"),
                ("expect", "integer", "Refuse unless the tables are at this revision"),
            ],
            body: Some("Apply"),
            answer: Some("Applied"),
            body_max: TABLES_MAX,
            ..Route::get("/api/v1/tables", "Applies files of tables as one revision", || put(apply))
        }),
        Route {
            answer: Some("History"),
            ..Route::get("/api/v1/history", "The revisions of the tables", || get(history))
        },
        Route {
            answer: Some("RevisionDetail"),
            patience: PATIENCE_TABLES,
            ..Route::get("/api/v1/history/{revision}", "One revision and what it changed", || get(revision))
        },
        tables(Route {
            method: "post",
            body: Some("Rollback"),
            answer: Some("Applied"),
            body_max: BODY_MAX,
            ..Route::get("/api/v1/rollback", "Makes the tables as they were, as a new revision", || post(rollback))
        }),
        Route {
            parameters: &[
                ("trunk", "string", "The trunk that the call comes from, or the name of a line"),
                ("called", "string", "The called number as dialled"),
                ("caller", "string", "The caller"),
                ("at", "string", "When (RFC 3339); absent is now"),
            ],
            answer: Some("Route"),
            ..Route::get("/api/v1/route", "Where a call would go, and why", || get(route))
        },
    ]
}

async fn export(State(desk): State<Desk>) -> Result<impl IntoResponse, Problem> {
    let view = desk.tables.view();
    let revision = view.revision.to_string();
    let text = blocking(move || Ok(view.tables().to_toml())).await?;
    Ok(([(CONTENT_TYPE, "application/toml".to_owned()), (REVISION_NAME, revision)], text))
}

const REVISION_NAME: axum::http::HeaderName = axum::http::HeaderName::from_static(REVISION_HEADER);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    prune: bool,
    expect: Option<u64>,
}

async fn apply(
    State(desk): State<Desk>,
    Parameters(how): Parameters<How>,
    Body(asked): Body<Apply>,
) -> Answered<Applied> {
    let Apply { files, who, comment } = asked;
    let is_large = files.iter().map(|file| file.text.len()).sum::<usize>() >= LARGE;
    let busy = |_| Problem::new(503, "other large documents are being read; try again");
    let _place = is_large.then(|| READING.try_acquire().map_err(busy)).transpose()?;
    let document = blocking(move || {
        let files: Vec<_> = files.into_iter().map(|file| (file.name.into(), file.text)).collect();
        Document::parse(&files).map_err(|errors| Problem::of_tables(&errors))
    });
    let How { dry_run, prune, expect } = how;
    let apply = tables::Apply { prune, dry_run, by: Signature { who, comment }, expect };
    let applied = desk.tables.apply(document.await?, apply).await?;
    Ok(Json(Applied { revision: applied.revision, dry_run, changes: applied.lines }))
}

async fn history(State(desk): State<Desk>) -> Json<History> {
    Json(History { revisions: desk.tables.history().into_iter().map(shown).collect() })
}

async fn revision(State(desk): State<Desk>, Path(number): Path<String>) -> Answered<RevisionDetail> {
    let none = || Problem::new(404, format!("there is no revision {number}")).mend("`tandem history` lists them");
    let asked: u64 = number.parse().map_err(|_| none())?;
    let info = desk.tables.history().into_iter().find(|info| info.revision == asked).ok_or_else(none)?;
    let changes = desk.tables.show(asked).await?;
    Ok(Json(RevisionDetail { revision: shown(info), changes }))
}

async fn rollback(State(desk): State<Desk>, Body(asked): Body<Rollback>) -> Answered<Applied> {
    let Rollback { revision, dry_run, who, comment } = asked;
    let applied = desk.tables.rollback(revision, Signature { who, comment }, dry_run).await?;
    Ok(Json(Applied { revision: applied.revision, dry_run, changes: applied.lines }))
}

async fn route(State(desk): State<Desk>, Parameters(query): Parameters<RouteQuery>) -> Answered<api::Route> {
    explain::route(&desk.tables.view(), &query).map(Json)
}

fn shown(info: RevisionInfo) -> Revision {
    let RevisionInfo { revision, at, who, comment, added, changed, deleted, rollback_to } = info;
    Revision { revision, at: show_time(at), who, comment, added, changed, deleted, rollback_to }
}
