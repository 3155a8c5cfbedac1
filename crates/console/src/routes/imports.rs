//! Files of rates, numbers and ported numbers; backups and their way back.

use super::{Desk, IMPORT_MAX, PATIENCE_IMPORT, Route};
use crate::api::{Imported, Imports};
use crate::auth::Scope;
use crate::imports::{Import, ImportOf, upload};
use crate::problem::Problem;
use crate::request::Parameters;
use crate::time::show_time;
use ::routing::import::date;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use sip::clock::Wall;
use std::convert::Infallible;
use std::time::SystemTime;
use tables::Signature;
use tokio::sync::{Semaphore, mpsc};

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

/// What a backup is sent as.
const OF_A_BACKUP: &str = "application/x-tandem-backup";
/// Backups that are made at the same time: each holds its revision of the tables.
static BACKUPS: Semaphore = Semaphore::const_new(2);
/// Pieces of a backup that wait to be sent.
const PIECES: usize = 4;

const OF_BACKUP: &[Meaning] = &[DRY_RUN, EXPECT, FILE, WHO, COMMENT, ID];
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
            body: Some("backup"),
            parameters: OF_BACKUP,
            ..import("/api/v1/restore", "Makes the tables as a backup has them, as one revision", OF_BACKUP, || {
                post(restore)
            })
        },
        Route {
            scope: Some(Scope::Tables),
            answer: Some("backup"),
            ..Route::get("/api/v1/backup", "All tables with their secrets, as a file for /api/v1/restore", || {
                get(backup)
            })
        },
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfBackup {
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

async fn restore(desk: State<Desk>, Parameters(asked): Parameters<OfBackup>, request: Request) -> Answered {
    let OfBackup { dry_run, expect, file, who, comment, id } = asked;
    let how = OfNumbers { replace: true, dry_run, expect, file, who, comment, id };
    import(desk, ImportOf::Backup, how, request).await
}

/// The rows are written as they are taken, on a thread that may block; a client that is slow holds no more than some pieces.
async fn backup(State(desk): State<Desk>) -> Result<impl IntoResponse, Problem> {
    let place = BACKUPS.try_acquire();
    let place =
        place.map_err(|_| Problem::new(503, "other backups are being made").mend("try again when they are done"))?;
    let (view, cluster) = (desk.tables.view(), desk.tables.cluster());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let made = show_time(Wall(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)));
    let (to, pieces) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        tables::backup::write(&view, &cluster.id, &made, |piece| to.blocking_send(piece).is_ok());
    });
    let next = |mut pieces: mpsc::Receiver<Vec<u8>>| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, Infallible>(piece), pieces))
    };
    Ok(([(CONTENT_TYPE, OF_A_BACKUP)], Body::from_stream(futures_util::stream::unfold(pieces, next))))
}

async fn list(State(desk): State<Desk>) -> Json<Imports> {
    Json(Imports { imports: desk.imports.list() })
}

async fn import(State(desk): State<Desk>, what: ImportOf, how: OfNumbers, request: Request) -> Answered {
    let body = if what == ImportOf::Backup { sent_as(request, OF_A_BACKUP)? } else { sent_as(request, "text/csv")? };
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
fn sent_as(request: Request, wanted: &str) -> Result<Body, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != wanted {
        return Err(
            Problem::new(415, format!("the body is not {wanted}")).mend(format!("send `Content-Type: {wanted}`"))
        );
    }
    Ok(request.into_body())
}

fn day_or_time(text: &str) -> Result<sip::clock::Wall, Problem> {
    let mend = "write it as 2026-01-31 or 2026-01-31T12:00:00Z";
    date(text).ok_or_else(|| Problem::new(400, format!("`{text}` is no date")).at("from").mend(mend))
}
