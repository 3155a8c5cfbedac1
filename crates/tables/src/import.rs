//! Many rows at once: they travel in pieces beside the tables, and become one revision when all are there.

use crate::ask::{Ask, Done};
use crate::calm::{Calm, breathe};
use crate::command::RequestId;
use crate::piece::Form;
use crate::{Error, Handle, Revision, Signature, front};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use routing::{Row, RowKey};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How an import meets the rows that are there.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// The decks and plans that become exactly what is imported; rows of others stay. Empty: the rows are put, and
    /// everything else stays.
    pub replace: Vec<RowKey>,
    /// Who and why.
    pub by: Signature,
    /// Refuse with [`Error::Moved`](crate::Error::Moved) unless the tables are at this revision when it is committed.
    pub expect: Option<Revision>,
}

/// How far an import is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Rows that a quorum holds.
    pub staged: u64,
    /// Whether all are, and only the commit is left.
    pub committing: bool,
}

/// Pieces that are under way at once: between sites far from each other an answer takes long.
const UNDER_WAY: usize = 24;
/// From one piece to the next, so that calls come between them: a million rates in some four seconds.
const PACE: Duration = Duration::from_millis(8);

impl Handle {
    /// Puts many rows as one revision, from any node. They travel in pieces beside the tables; nobody sees any of them
    /// before all are there, and no reader waits. `progress` is told after every piece.
    ///
    /// # Errors
    /// As [`Handle::propose`]. [`Error::Busy`] too when as many imports are open as may be.
    pub async fn import(
        &self,
        batches: impl Iterator<Item = Vec<Row>> + Send + 'static,
        import: Import,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Revision, Error> {
        let id = self.shared.next_id();
        let staged = self.stage(id, batches, &mut progress).await;
        let committed = match staged {
            Ok((pieces, rows)) => {
                progress(Progress { staged: rows, committing: true });
                let Import { replace, by, expect } = import;
                let commit = Ask::Commit { import: id, pieces, replace, by, expect };
                front::ask(&self.shared, commit, None).await.and_then(Done::revision)
            }
            Err(error) => Err(error),
        };
        if committed.is_err() {
            self.discard(id);
        }
        committed
    }

    async fn stage(
        &self,
        import: RequestId,
        batches: impl Iterator<Item = Vec<Row>> + Send + 'static,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(u32, u64), Error> {
        let pieces = written(
            Pieces { rows: batches.flatten(), number: 0, form: Form::of(&self.cluster()) },
            self.shared.core.replica.engine.blocks(),
        );
        let asks = paced(pieces).map(|piece| async move {
            let (piece, body, rows) = piece?;
            front::ask(&self.shared, Ask::Stage { import, piece, body }, None).await?;
            Ok::<_, Error>(rows)
        });
        let mut under_way = asks.buffer_unordered(UNDER_WAY);
        let (mut count, mut staged) = (0, 0);
        while let Some(rows) = under_way.next().await {
            count += 1;
            staged += rows?;
            progress(Progress { staged, committing: false });
        }
        Ok((count, staged))
    }

    /// In the background: if it fails, the leader gives the import up by itself.
    fn discard(&self, import: RequestId) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            if let Err(error) = front::ask(&shared, Ask::Discard { import }, None).await {
                tracing::warn!(%error, "tables: what was staged of an import stays for now");
            }
        });
    }
}

/// A [`routing::Change`]: its number, itself as it travels, and how many rows are in it.
type Piece = Result<(u32, Bytes, u64), Error>;

/// The pieces as they are written: apart, since each takes milliseconds that no message should wait for; in memory, where nothing
/// blocks, when they are asked for.
fn written(mut pieces: impl Iterator<Item = Piece> + Send + 'static, apart: bool) -> BoxStream<'static, Piece> {
    if !apart {
        return stream::iter(pieces).boxed();
    }
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    tokio::task::spawn_blocking(move || {
        let _calm = Calm::begin();
        // Nobody waits for the rest of an import that has failed.
        while let Some(piece) = pieces.next()
            && sender.blocking_send(piece).is_ok()
        {}
    });
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

/// Each of `items` a while after the one before, at the soonest.
pub(crate) fn paced<T: Send + 'static>(items: impl Stream<Item = T> + Send + Unpin + 'static) -> BoxStream<'static, T> {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((items, pace), |(mut items, mut pace)| async move {
        let item = items.next().await?;
        pace.tick().await;
        Some((item, (items, pace)))
    })
    .boxed()
}

/// Rows as pieces of bounded size.
struct Pieces<I> {
    rows: I,
    number: u32,
    form: Form,
}

impl<I: Iterator<Item = Row>> Iterator for Pieces<I> {
    type Item = Piece;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut body, mut rows) = (b"{\"put\":[".to_vec(), 0);
        while body.len() < self.form.length()
            && let Some(row) = self.rows.next()
        {
            breathe();
            if rows > 0 {
                body.push(b',');
            }
            rows += 1;
            if let Err(error) = serde_json::to_writer(&mut body, &row) {
                return Some(Err(Error::Fault(format!("a row cannot be written: {error}"))));
            }
        }
        body.extend_from_slice(b"],\"delete\":[]}");
        let number = self.number;
        self.number += 1;
        (rows > 0).then(|| Ok((number, self.form.write(body), rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test]
    async fn each_piece_comes_a_while_after_the_one_before() {
        let began = Instant::now();
        let items: Vec<u32> = paced(stream::iter(0..5)).collect().await;
        assert_eq!(items, [0, 1, 2, 3, 4]);
        assert!(began.elapsed() >= PACE * 4, "{:?}", began.elapsed());
    }
}
