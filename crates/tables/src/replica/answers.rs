//! The answers already given, so that who asks again over an election is answered and not served twice.

use crate::Error;
use crate::command::{RequestId, Told};
use crate::store::{self, Batch, Engine, Family};
use std::collections::{HashMap, VecDeque};

/// How many are remembered: at the highest rate, several times as long as anybody asks again.
const REMEMBERED: usize = 10_000;
/// The first byte of their keys.
const PREFIX: u8 = b'q';

/// The newest answers, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The number of the first of the queue.
    first: u64,
    queue: VecDeque<RequestId>,
    told: HashMap<RequestId, Told>,
}

impl Answers {
    pub(super) fn load(engine: &Engine) -> Result<Self, Error> {
        let mut answers = Self::default();
        engine.scan(Family::Cluster, &[PREFIX], |key, value| {
            let Some((&PREFIX, number)) = key.split_first() else { return Ok(false) };
            let (id, told): (RequestId, Told) =
                serde_json::from_slice(value).map_err(|error| engine.broken(format!("an answer: {error}")))?;
            if answers.queue.is_empty() {
                let number = number.try_into().map_err(|_| engine.broken("an answer has no number"))?;
                answers.first = u64::from_be_bytes(number);
            }
            answers.queue.push_back(id);
            answers.told.insert(id, told);
            Ok(true)
        })?;
        Ok(answers)
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Told> {
        self.told.get(&id)
    }

    pub(super) fn put(&mut self, batch: &mut Batch, id: RequestId, told: Told) -> Result<(), Error> {
        let number = self.first + self.queue.len() as u64;
        batch.put(Family::Cluster, key(number), store::encode(&(id, &told))?);
        self.queue.push_back(id);
        self.told.insert(id, told);
        while self.queue.len() > REMEMBERED {
            batch.delete(Family::Cluster, key(self.first));
            self.first += 1;
            if let Some(old) = self.queue.pop_front() {
                self.told.remove(&old);
            }
        }
        Ok(())
    }
}

fn key(number: u64) -> Vec<u8> {
    let mut key = vec![PREFIX];
    key.extend_from_slice(&number.to_be_bytes());
    key
}
