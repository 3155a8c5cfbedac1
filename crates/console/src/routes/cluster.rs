//! The cluster: how it stands, who is being emptied, and who does not belong to it any more.

use super::{Desk, Route};
use crate::api::{Cluster, Drain};
use crate::auth::Scope;
use crate::problem::Problem;
use crate::request::Body;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            answer: Some("Cluster"),
            ..Route::get("/api/v1/cluster", "The cluster as this node sees it", || get(cluster))
        },
        Route {
            method: "post",
            scope: Some(Scope::Cluster),
            body: Some("Drain"),
            answer: Some("Drain"),
            ..Route::get(
                "/api/v1/cluster/drain",
                "Moves the calls and shards of a node to the others, or lets it take part again",
                || post(drain),
            )
        },
        Route {
            method: "delete",
            scope: Some(Scope::Cluster),
            ..Route::get(
                "/api/v1/cluster/nodes/{name}",
                "Removes a node for good: it never comes back under its number, and another may replace its vote",
                || delete(remove),
            )
        },
    ]
}

async fn cluster(State(desk): State<Desk>) -> Result<Json<Cluster>, Problem> {
    Ok(Json(desk.board.cluster().await?))
}

async fn drain(State(desk): State<Desk>, Body(asked): Body<Drain>) -> Result<Json<Drain>, Problem> {
    desk.board.drain(asked.clone()).await.map(|()| Json(asked))
}

async fn remove(State(desk): State<Desk>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    desk.board.remove(name).await.map(|()| StatusCode::NO_CONTENT)
}
