//! The bounded queue before each stream: what does not fit is dropped and counted, nobody waits.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// How much may wait in a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// For `queue_full_total{queue}`.
    pub(crate) name: &'static str,
}

/// Heartbeats, leases, probes: a peer that does not read a hundred of them is stuck.
pub(crate) const CONTROL: Limit = Limit { messages: 128, bytes: 1 << 20, name: "mesh_control" };
/// Parcels to one node.
pub(crate) const PARCELS: Limit = Limit { messages: 4096, bytes: 16 << 20, name: "mesh" };

/// The end that is written to.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    to: mpsc::Sender<(T, usize)>,
    bytes: Arc<AtomicUsize>,
    limit: Limit,
}

/// The end that a stream of gRPC reads.
#[derive(Debug)]
pub(crate) struct Outgoing<T> {
    from: mpsc::Receiver<(T, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// Why something was not queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dropped {
    Full,
    Closed,
}

pub(crate) fn queue<T>(limit: Limit) -> (Queue<T>, Outgoing<T>) {
    let (to, from) = mpsc::channel(limit.messages);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Queue { to, bytes: Arc::clone(&bytes), limit }, Outgoing { from, bytes })
}

impl<T> Queue<T> {
    /// Queues it, with what its body weighs.
    pub(crate) fn push(&self, item: T, size: usize) -> Result<(), Dropped> {
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > self.limit.bytes {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(self.full());
        }
        self.to.try_send((item, size)).map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => self.full(),
                mpsc::error::TrySendError::Closed(_) => Dropped::Closed,
            }
        })
    }

    fn full(&self) -> Dropped {
        metrics::counter!("tandem_queue_full_total", "queue" => self.limit.name).increment(1);
        Dropped::Full
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { to: self.to.clone(), bytes: Arc::clone(&self.bytes), limit: self.limit }
    }
}

impl<T> Outgoing<T> {
    /// The next one, for those who read it on this node.
    pub(crate) async fn next(&mut self) -> Option<T> {
        let (item, size) = self.from.recv().await?;
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Some(item)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.from.poll_recv(cx).map(|next| {
            next.map(|(item, size)| {
                self.bytes.fetch_sub(size, Ordering::Relaxed);
                item
            })
        })
    }
}

/// What the side that asks sends.
impl<T> tokio_stream::Stream for Outgoing<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll(cx)
    }
}

/// What the side that answers sends.
#[derive(Debug)]
pub(crate) struct Answers<T>(pub(crate) Outgoing<T>);

impl<T> tokio_stream::Stream for Answers<T> {
    type Item = Result<T, tonic::Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(cx).map(|next| next.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limit = Limit { messages: 2, bytes: 10, name: "test" };

    #[tokio::test]
    async fn messages_and_bytes_are_bounded_and_come_back() {
        let (queue, mut outgoing) = queue(SMALL);
        assert_eq!(queue.push(1, 11), Err(Dropped::Full), "too heavy");
        assert_eq!(queue.push(1, 6), Ok(()));
        assert_eq!(queue.push(2, 6), Err(Dropped::Full), "too heavy together");
        assert_eq!(queue.push(2, 4), Ok(()));
        assert_eq!(queue.push(3, 0), Err(Dropped::Full), "too many");
        assert_eq!(outgoing.next().await, Some(1));
        assert_eq!(queue.push(3, 6), Ok(()));
        drop(outgoing);
        assert_eq!(queue.push(4, 0), Err(Dropped::Closed));
    }
}
