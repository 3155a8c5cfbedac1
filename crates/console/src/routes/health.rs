//! Whether the process lives, whether it takes calls, and what it counts.

use super::{Desk, Route};
use crate::auth::Scope;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route { scope: None, ..Route::get("/healthz", "200 while the process lives", || get(healthz)) },
        Route {
            scope: None,
            ..Route::get("/readyz", "200 while the node takes calls, else 503 and why", || get(readyz))
        },
        Route {
            scope: Some(Scope::Metrics),
            ..Route::get("/metrics", "Metrics in the text form of Prometheus", || get(metrics))
        },
    ]
}

async fn healthz() -> &'static str {
    "alive\n"
}

async fn readyz(State(desk): State<Desk>) -> Result<&'static str, Problem> {
    desk.board.ready().map(|()| "ready\n").map_err(|why| Problem::new(503, why))
}

async fn metrics(State(desk): State<Desk>) -> Result<impl IntoResponse, Problem> {
    let text = super::blocking(move || Ok(desk.recorder.render(desk.board.samples()))).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
