//! Every route of the API in one table: the router and the OpenAPI document are both made from it.

mod cluster;
mod health;
mod imports;
mod live;
mod tables;

use crate::auth::{Guard, Scope};
use crate::imports::Imports;
use crate::problem::Problem;
use crate::recorder::Recorder;
use crate::switchboard::Switchboard;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Json, Router};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a body, where nothing else is said.
const BODY_MAX: usize = 1 << 20;
/// Bytes of a document of tables.
const TABLES_MAX: usize = 256 << 20;
/// Bytes of a file to import: ten million ported numbers and more.
const IMPORT_MAX: usize = 1 << 30;
/// How long an answer may take, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a change of the tables, their export or a look at their past may take.
pub(crate) const PATIENCE_TABLES: Duration = Duration::from_secs(120);

/// How long an import may take, its upload included.
pub(crate) const PATIENCE_IMPORT: Duration = Duration::from_secs(900);

/// What every handler has.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) board: Arc<dyn Switchboard>,
    pub(crate) tables: ::tables::Handle,
    pub(crate) recorder: Recorder,
    pub(crate) guard: Arc<Guard>,
    pub(crate) imports: Imports,
}

/// One operation.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// Absent: everybody may.
    pub(crate) scope: Option<Scope>,
    pub(crate) summary: &'static str,
    /// Names of the parameters after the `?`, each with its JSON type and meaning.
    pub(crate) parameters: &'static [(&'static str, &'static str, &'static str)],
    /// The schema of the body, and its limit.
    pub(crate) body: Option<&'static str>,
    /// The schema of the answer; absent is text.
    pub(crate) answer: Option<&'static str>,
    patience: Duration,
    body_max: usize,
    handler: fn() -> MethodRouter<Desk>,
}

impl Route {
    const fn get(path: &'static str, summary: &'static str, handler: fn() -> MethodRouter<Desk>) -> Self {
        Self {
            method: "get",
            path,
            scope: Some(Scope::Read),
            summary,
            parameters: &[],
            body: None,
            answer: None,
            patience: PATIENCE,
            body_max: BODY_MAX,
            handler,
        }
    }
}

/// In the order of the document.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = health::routes();
    routes.extend(live::routes());
    routes.extend(tables::routes());
    routes.extend(imports::routes());
    routes.extend(cluster::routes());
    routes.push(Route {
        scope: None,
        answer: Some("object"),
        ..Route::get("/api/v1/openapi.json", "This description", || axum::routing::get(openapi))
    });
    routes
}

async fn openapi() -> Json<serde_json::Value> {
    Json(crate::openapi::document())
}

/// The whole of what is served.
pub(crate) fn router(desk: Desk) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let Route { scope, patience, body_max, .. } = route;
        let gate = Gate { scope, patience, body_max, guard: desk.guard.clone() };
        let handler = (route.handler)().layer(DefaultBodyLimit::max(body_max)).layer(from_fn_with_state(gate, pass));
        router = router.route(route.path, handler);
    }
    router
        .fallback(|| async { Problem::new(404, "there is nothing here").mend("see /api/v1/openapi.json") })
        .method_not_allowed_fallback(|| async { Problem::new(405, "not this method").mend("see /api/v1/openapi.json") })
        .with_state(desk)
}

#[derive(Clone)]
struct Gate {
    scope: Option<Scope>,
    patience: Duration,
    body_max: usize,
    guard: Arc<Guard>,
}

/// Lets a request pass that may, and gives up on one that takes too long.
async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if let Some(Err(problem)) = gate.scope.map(|scope| gate.guard.check(request.headers(), scope)) {
        return problem.into_response();
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > gate.body_max) {
        return Problem::new(413, format!("the body is longer than {} bytes", gate.body_max)).into_response();
    }
    match tokio::time::timeout(gate.patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(504, format!("no answer within {} s", gate.patience.as_secs()))
            .mend("a change may still come to pass: see /api/v1/history")
            .into_response(),
    }
}

/// Runs what takes long without a network on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => result,
        Err(error) => Err(Problem::new(500, format!("a fault in the software: {error}"))),
    }
}
