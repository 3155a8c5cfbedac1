//! Answers the questions of other nodes: away from where they come in, and no more than so many at a time.

use super::local::Local;
use super::question::{Answer, Question};
use bytes::Bytes;
use mesh::Reply;
use std::sync::Arc;
use switch::cluster::Teller;
use tokio::sync::Semaphore;

/// Questions that are answered at the same time; one more is refused, and the one who asked says so to its operator.
const ANSWERING: usize = 32;

/// Who knows the answers.
pub(super) trait Knows: Send + Sync + 'static {
    fn answer(&self, question: Question) -> impl Future<Output = Answer> + Send;
}

impl Knows for Local {
    fn answer(&self, question: Question) -> impl Future<Output = Answer> + Send {
        Self::answer(self, question)
    }
}

/// See the module.
pub(super) struct Answering<K> {
    knows: Arc<K>,
    seats: Arc<Semaphore>,
}

impl<K: Knows> Answering<K> {
    pub(super) fn new(knows: Arc<K>) -> Self {
        Self { knows, seats: Arc::new(Semaphore::new(ANSWERING)) }
    }

    fn take(&self, question: Bytes, send: impl FnOnce(Answer) + Send + 'static) {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            metrics::counter!("tandem_queue_full_total", "queue" => "questions").increment(1);
            return send(Answer::refused("is asked too much"));
        };
        let knows = Arc::clone(&self.knows);
        tokio::spawn(async move {
            let answer = match Question::decode(&question) {
                Ok(question) => knows.answer(question).await,
                Err(why) => {
                    metrics::counter!("tandem_parcels_refused_total").increment(1);
                    Answer::refused(why)
                }
            };
            send(answer);
            drop(seat);
        });
    }
}

impl<K: Knows> Teller for Answering<K> {
    fn tell(&self, question: Bytes, reply: Reply) {
        self.take(question, move |answer| reply.send(answer.encode().into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::mpsc;

    /// Answers when it is allowed to.
    struct Slow(Semaphore);

    impl Knows for Slow {
        async fn answer(&self, _: Question) -> Answer {
            self.0.acquire().await.expect("never closed").forget();
            Answer::Hangup { found: true }
        }
    }

    #[tokio::test]
    async fn one_question_too_many_is_refused_at_once_and_the_next_is_answered_again() {
        let answering = Answering::new(Arc::new(Slow(Semaphore::new(0))));
        let (told, mut answers) = mpsc::channel(2 * ANSWERING);
        let ask = |bytes: Vec<u8>| {
            let told = told.clone();
            answering.take(bytes.into(), move |answer| told.try_send(answer).expect("room"));
        };
        (0..=ANSWERING).for_each(|_| ask(Question::Node.encode()));
        let first = tokio::time::timeout(Duration::from_secs(5), answers.recv()).await;
        assert_eq!(first, Ok(Some(Answer::refused("is asked too much"))), "the last one, before all others");
        answering.knows.0.add_permits(ANSWERING);
        for _ in 0..ANSWERING {
            assert_eq!(answers.recv().await, Some(Answer::Hangup { found: true }));
        }
        ask(b"rubbish".to_vec());
        assert_eq!(answers.recv().await, Some(Answer::refused("does not know the question")));
    }
}
