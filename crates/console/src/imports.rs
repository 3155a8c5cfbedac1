//! Imports: a file that comes in pieces while it is read, and how far each one is.
//!
//! The console moves bytes and keeps the figures; what the rows mean is the [`Switchboard`](crate::Switchboard)'s
//! business. A file is never held as a whole here: pieces wait in a short queue, and the sender waits when it is full.

use crate::api;
use crate::problem::Problem;
use axum::body::{Body, Bytes, HttpBody as _};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tables::Signature;
use tokio::sync::mpsc;

/// Imports at the same time: each may hold millions of rows.
const RUNNING: usize = 2;
/// Imports that ended and can still be looked at.
const REMEMBERED: usize = 32;
/// Pieces of a file that wait to be read.
const PIECES: usize = 16;

/// What is imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImportOf {
    /// Rates of a deck.
    Rates {
        /// The deck, which must be in the tables: a file does not say its currency.
        deck: String,
        /// From when rows are valid that do not say.
        from: Option<sip::clock::Wall>,
    },
    /// Numbers that we serve.
    Numbers,
    /// Numbers and where they were ported to.
    Ported,
    /// All tables, as a backup holds them.
    Backup,
}

impl ImportOf {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Rates { .. } => "rates",
            Self::Numbers => "numbers",
            Self::Ported => "ported",
            Self::Backup => "backup",
        }
    }
}

/// A file to import, whole or not at all.
pub struct Import {
    /// What its rows are.
    pub what: ImportOf,
    /// Its name, for messages only.
    pub file: String,
    /// Whether rows that it does not list go: those of the deck, or all numbers, or all ported numbers. Of a backup they always do.
    pub replace: bool,
    /// Only say what would change.
    pub dry_run: bool,
    /// Refuse unless the tables are at this revision.
    pub expect: Option<u64>,
    /// Who and why.
    pub by: Signature,
    /// Its text.
    pub upload: Upload,
    /// Where the one who imports says how far it is.
    pub progress: Arc<Progress>,
}

/// The text of a file as it comes. To be read on a thread that may block, never in the task that answers: the same task
/// moves the pieces.
pub struct Upload {
    pieces: mpsc::Receiver<Option<Bytes>>,
}

impl Upload {
    /// Waits for the next piece; `None` at the end of the file.
    ///
    /// # Errors
    /// The sender is gone in the middle of it: nothing may be made of what came.
    pub fn read(&mut self) -> Result<Option<Bytes>, Problem> {
        self.pieces
            .blocking_recv()
            .ok_or_else(|| Problem::new(400, "the file ended in the middle").mend("send it again"))
    }
}

/// How far an import is. Written by whoever imports, read by everybody.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    rows: AtomicU64,
    written: AtomicU64,
    stage: AtomicU64,
}

/// The stages, in their order; what ended is told apart by its result.
const STAGES: [&str; 3] = ["reading", "checking", "writing"];

impl Progress {
    /// The file is read and holds so many rows, which are now checked against the tables.
    pub fn checking(&self, rows: u64) {
        self.rows.store(rows, Relaxed);
        self.stage.store(1, Relaxed);
    }

    /// A quorum of the cluster holds so many of the rows.
    pub fn written(&self, rows: u64) {
        self.written.store(rows, Relaxed);
        self.stage.store(2, Relaxed);
    }
}

/// One import.
struct Entry {
    id: String,
    what: &'static str,
    file: String,
    who: String,
    progress: Arc<Progress>,
    began: Instant,
    end: Mutex<Option<(Duration, Option<String>)>>,
}

impl Entry {
    fn runs(&self) -> bool {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn state(&self) -> api::ImportState {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stage = usize::try_from(self.progress.stage.load(Relaxed)).unwrap_or(0).min(STAGES.len() - 1);
        let (took, stage, error) = match end {
            None => (self.began.elapsed(), STAGES[stage], None),
            Some((took, None)) => (took, "done", None),
            Some((took, error)) => (took, "failed", error),
        };
        api::ImportState {
            id: self.id.clone(),
            what: self.what.to_owned(),
            file: self.file.clone(),
            who: self.who.clone(),
            stage: stage.to_owned(),
            bytes: self.progress.bytes.load(Relaxed),
            rows: self.progress.rows.load(Relaxed),
            written: self.progress.written.load(Relaxed),
            seconds: took.as_secs_f64(),
            error,
        }
    }
}

/// The imports of this node, the newest first.
#[derive(Clone, Default)]
pub(crate) struct Imports(Arc<Mutex<VecDeque<Arc<Entry>>>>);

/// An import that runs, until this is dropped.
pub(crate) struct Running(Arc<Entry>);

impl Imports {
    /// Takes a place.
    pub(crate) fn begin(&self, id: &str, what: &ImportOf, file: &str, who: &str) -> Result<Running, Problem> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.iter().filter(|entry| entry.runs()).count() >= RUNNING {
            return Err(Problem::new(503, "other files are being imported").mend("try again when they are done"));
        }
        if entries.iter().any(|entry| entry.id == id && entry.runs()) {
            return Err(Problem::new(409, format!("an import `{id}` is under way")).at("id").mend("choose another id"));
        }
        let entry = Entry {
            id: id.to_owned(),
            what: what.as_str(),
            file: file.to_owned(),
            who: who.to_owned(),
            progress: Arc::default(),
            began: Instant::now(),
            end: Mutex::new(None),
        };
        let entry = Arc::new(entry);
        entries.push_front(entry.clone());
        entries.truncate(REMEMBERED);
        Ok(Running(entry))
    }

    /// All that are remembered.
    pub(crate) fn list(&self) -> Vec<api::ImportState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|entry| entry.state()).collect()
    }
}

impl Running {
    pub(crate) fn progress(&self) -> Arc<Progress> {
        self.0.progress.clone()
    }

    /// Notes how it ended.
    pub(crate) fn end(&self, error: Option<&Problem>) {
        let mut end = self.0.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            *end = Some((self.0.began.elapsed(), error.map(|problem| problem.error.clone())));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Some(&Problem::new(400, "the sender left")));
    }
}

/// A queue for a file, and what fills it from a body.
pub(crate) fn upload(body: Body, most: usize, progress: Arc<Progress>) -> (Upload, Pump) {
    let (to, pieces) = mpsc::channel(PIECES);
    (Upload { pieces }, Pump { body, to, most, progress })
}

/// Moves a body into an [`Upload`].
pub(crate) struct Pump {
    body: Body,
    to: mpsc::Sender<Option<Bytes>>,
    most: usize,
    progress: Arc<Progress>,
}

impl Pump {
    /// Moves all of it. When the reader has had enough, the rest is taken and thrown away: a client that is cut off while
    /// it still sends would never see the answer.
    pub(crate) async fn run(mut self) -> Result<(), Problem> {
        let mut left = self.most;
        loop {
            match poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
                None => break,
                Some(Err(error)) => return Err(Problem::new(400, error.to_string()).at("the body")),
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    left = left.checked_sub(bytes.len()).ok_or_else(|| too_long(self.most))?;
                    self.progress.bytes.fetch_add(bytes.len() as u64, Relaxed);
                    let _ = self.to.send(Some(bytes)).await;
                }
            }
        }
        let _ = self.to.send(None).await;
        Ok(())
    }
}

fn too_long(most: usize) -> Problem {
    Problem::new(413, format!("the file is longer than {most} bytes"))
        .mend("split it; each part is a revision of its own")
}
