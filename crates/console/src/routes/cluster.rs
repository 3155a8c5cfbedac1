//! The cluster: how it stands, and who does not belong to it any more.

use super::{Desk, Route};
use crate::api::Cluster;
use crate::auth::Scope;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            answer: Some("Cluster"),
            ..Route::get("/api/v1/cluster", "The cluster as this node sees it", || get(cluster))
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

async fn remove(State(desk): State<Desk>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    desk.board.remove(name).await.map(|()| StatusCode::NO_CONTENT)
}
