//! Files of rates, numbers and ported numbers.

use super::{Desk, IMPORT_MAX, PATIENCE_IMPORT, Route};
use crate::api::{Imported, Imports};
use crate::auth::Scope;
use crate::imports::{Import, ImportOf, upload};
use crate::problem::Problem;
use crate::request::Parameters;
use ::routing::import::date;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use tables::Signature;

type Meaning = (&'static str, &'static str, &'static str);

const DECK: Meaning = ("deck", "string", "The deck, which must be in the tables: a file does not say its currency");
const FROM: Meaning = ("from", "string", "From when rows are valid that do not say (a date, or RFC 3339)");
const REPLACE: Meaning = ("replace", "boolean", "Rows that the file does not list go");
const DRY_RUN: Meaning = ("dry_run", "boolean", "Only say what would change");
const EXPECT: Meaning = ("expect", "integer", "Refuse unless the tables are at this revision");
const FILE: Meaning = ("file", "string", "The name of the file, for messages");
const WHO: Meaning = ("who", "string", "Who imports it");
const COMMENT: Meaning = ("comment", "string", "Why");
const ID: Meaning = ("id", "string", "What /api/v1/imports calls it");

const OF_RATES: &[Meaning] = &[DECK, FROM, REPLACE, DRY_RUN, EXPECT, FILE, WHO, COMMENT, ID];
const OF_NUMBERS: &[Meaning] = &[REPLACE, DRY_RUN, EXPECT, FILE, WHO, COMMENT, ID];

pub(super) fn routes() -> Vec<Route> {
    let import = |path, summary, parameters, handler: fn() -> MethodRouter<Desk>| Route {
        method: "post",
        scope: Some(Scope::Tables),
        parameters,
        body: Some("csv"),
        answer: Some("Imported"),
        patience: PATIENCE_IMPORT,
        body_max: IMPORT_MAX,
        ..Route::get(path, summary, handler)
    };
    vec![
        import("/api/v1/import/rates", "Imports rates of a deck as one revision", OF_RATES, || post(rates)),
        import("/api/v1/import/numbers", "Imports numbers that we serve as one revision", OF_NUMBERS, || post(numbers)),
        import("/api/v1/import/ported", "Imports ported numbers as one revision", OF_NUMBERS, || post(ported)),
        Route {
            answer: Some("Imports"),
            ..Route::get("/api/v1/imports", "The imports of this node under way, and the last ones", || get(list))
        },
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRates {
    deck: String,
    from: Option<String>,
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    dry_run: bool,
    expect: Option<u64>,
    file: Option<String>,
    who: Option<String>,
    comment: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfNumbers {
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    dry_run: bool,
    expect: Option<u64>,
    file: Option<String>,
    who: Option<String>,
    comment: Option<String>,
    id: Option<String>,
}

type Answered = Result<Json<Imported>, Problem>;

async fn rates(desk: State<Desk>, Parameters(asked): Parameters<OfRates>, request: Request) -> Answered {
    let OfRates { deck, from, replace, dry_run, expect, file, who, comment, id } = asked;
    let from = from.map(|from| day_or_time(&from)).transpose()?;
    let how = OfNumbers { replace, dry_run, expect, file, who, comment, id };
    import(desk, ImportOf::Rates { deck, from }, how, request).await
}

async fn numbers(desk: State<Desk>, Parameters(how): Parameters<OfNumbers>, request: Request) -> Answered {
    import(desk, ImportOf::Numbers, how, request).await
}

async fn ported(desk: State<Desk>, Parameters(how): Parameters<OfNumbers>, request: Request) -> Answered {
    import(desk, ImportOf::Ported, how, request).await
}

async fn list(State(desk): State<Desk>) -> Json<Imports> {
    Json(Imports { imports: desk.imports.list() })
}

async fn import(State(desk): State<Desk>, what: ImportOf, how: OfNumbers, request: Request) -> Answered {
    let body = csv(request)?;
    let OfNumbers { replace, dry_run, expect, file, who, comment, id } = how;
    let file = file.unwrap_or_else(|| "the body".to_owned());
    let (who, id) = (who.unwrap_or_default(), id.unwrap_or_default());
    let running = desk.imports.begin(&id, &what, &file, &who)?;
    let progress = running.progress();
    let (upload, pump) = upload(body, IMPORT_MAX, progress.clone());
    let by = Signature { who, comment: comment.unwrap_or_default() };
    let import = Import { what, file, replace, dry_run, expect, by, upload, progress };
    // Together: the one reads what the other moves, and a file that is wrong is still taken to its end.
    let (moved, imported) = tokio::join!(pump.run(), desk.board.import(import));
    let result = moved.and(imported);
    running.end(result.as_ref().err());
    result.map(Json)
}

/// A page of another origin cannot send this type without being asked first, and we never agree.
fn csv(request: Request) -> Result<Body, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != "text/csv" {
        return Err(Problem::new(415, "the body is not CSV").mend("send `Content-Type: text/csv`"));
    }
    Ok(request.into_body())
}

fn day_or_time(text: &str) -> Result<sip::clock::Wall, Problem> {
    let mend = "write it as 2026-01-31 or 2026-01-31T12:00:00Z";
    date(text).ok_or_else(|| Problem::new(400, format!("`{text}` is no date")).at("from").mend(mend))
}
