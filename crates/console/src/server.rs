//! Binds, serves, stops.

use crate::Error;
use crate::auth::{Guard, Token};
use crate::connection::Door;
use crate::imports::Imports;
use crate::recorder::Recorder;
use crate::routes::{Desk, PATIENCE_IMPORT, router};
use crate::switchboard::Switchboard;
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How often samples of metrics are folded together.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long answers under way may take once the console is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// A connection on which nothing moves is closed: later than the slowest answer comes.
const IDLE: Duration = Duration::from_secs(PATIENCE_IMPORT.as_secs() + 30);

/// `[http]` of node.toml.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may do what. Without any, everybody on this machine may do everything, and nobody else can reach us.
    pub tokens: Vec<Token>,
}

impl Options {
    /// Checks everything that can be checked before a port is taken.
    ///
    /// # Errors
    /// A listener that others can reach without a token; a token that is too short or has wrong scopes.
    pub fn check(&self) -> Result<(), Error> {
        Guard::new(self.listen, &self.tokens).map(drop)
    }
}

/// The port, taken before anything else of a node starts: one that is taken by others is said while nothing runs yet.
pub struct Listener {
    listener: TcpListener,
    listen: SocketAddr,
    guard: Arc<Guard>,
}

impl Listener {
    /// Takes the port. Who connects waits until [`Console::serve`].
    ///
    /// # Errors
    /// As [`Options::check`], or the port is taken.
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        let guard = Arc::new(Guard::new(options.listen, &options.tokens)?);
        let bind = |source| Error::Bind { listen: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(bind)?;
        let listen = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, listen, guard })
    }

    /// The console behind the port.
    #[must_use]
    pub fn console(self, board: Arc<dyn Switchboard>, tables: tables::Handle, recorder: Recorder) -> Console {
        let Self { listener, listen, guard } = self;
        if guard.is_open() {
            tracing::warn!(%listen, "http: no token is set, so everybody on this machine may change everything");
        }
        let router = router(Desk { board, tables, recorder: recorder.clone(), guard, imports: Imports::default() });
        Console { listener, listen, router, recorder }
    }
}

/// A console that is ready to answer.
pub struct Console {
    listener: TcpListener,
    listen: SocketAddr,
    router: Router,
    recorder: Recorder,
}

impl Console {
    /// Where it listens: the port that the system chose, if 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Answers until `stop` is over, then finishes the answers under way for two seconds at most.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) {
        let Self { listener, router, recorder, .. } = self;
        let (told, hears) = tokio::sync::oneshot::channel();
        let graceful = async move {
            stop.await;
            let _ = told.send(());
        };
        let server = axum::serve(Door::new(listener, IDLE), router).with_graceful_shutdown(graceful);
        let end = async {
            // A sender that is gone without a word belongs to a server that ended: the other branch sees that.
            let _ = hears.await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            ended = server => {
                if let Err(error) = ended {
                    tracing::error!(%error, "http: the console ended");
                }
            }
            () = end => tracing::debug!("http: answers under way are cut off"),
            () = upkeep(recorder) => {}
        }
    }
}

async fn upkeep(recorder: Recorder) {
    let mut clock = tokio::time::interval(UPKEEP);
    loop {
        clock.tick().await;
        recorder.upkeep();
    }
}
