//! Reads that come together share a question to Redis.
//!
//! A read alone is sent at once. While [`QUESTIONS`] of them are under way, further ones gather,
//! and the next answer takes all of them along: the more come, the fewer questions for each.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Distributed, LinkError, reads::Answer};

/// Questions under way before reads gather, count: one is answered while the next is asked.
const QUESTIONS: usize = 2;
/// Keys of one question, count.
const KEYS_MAX: usize = 256;

/// A read that waits for the next question.
struct Ask {
    key: Box<str>,
    to: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Waiting {
    asks: Vec<Ask>,
    under_way: usize,
}

/// The reads of one server that go to Redis.
#[derive(Default)]
pub(super) struct Gather(Mutex<Waiting>);

impl Gather {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to ask Redis. Whoever gives it up hands it to those who wait.
struct Turn<'a>(&'a Distributed);

impl Turn<'_> {
    /// The reads to ask for next; none: the turn is over.
    fn next(&self) -> Vec<Ask> {
        let mut waiting = self.0.gather.waiting();
        let count = waiting.asks.len().min(KEYS_MAX);
        waiting.asks.drain(..count).collect()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.gather.waiting();
        waiting.under_way -= 1;
        if waiting.asks.is_empty() {
            return;
        }
        let Some(cache) = self.0.me.upgrade() else {
            return;
        };
        waiting.under_way += 1;
        drop(waiting);
        tokio::spawn(async move {
            let turn = Turn(&cache);
            loop {
                let asks = turn.next();
                if asks.is_empty() {
                    return;
                }
                cache.answer(asks).await;
            }
        });
    }
}

impl Distributed {
    /// What Redis has, not later than the hard timeout.
    pub(super) async fn read(&self, key: &str) -> Answer {
        let gathered = {
            let mut waiting = self.gather.waiting();
            if waiting.under_way < QUESTIONS {
                waiting.under_way += 1;
                None
            } else {
                let (to, answer) = oneshot::channel();
                let key = key.into();
                waiting.asks.push(Ask { key, to });
                Some(answer)
            }
        };
        let Some(answer) = gathered else {
            let _turn = Turn(self);
            let mut found = self.read_many(&[key]).await;
            return found.pop().unwrap_or(Ok(None));
        };
        match tokio::time::timeout(self.config.hard, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LinkError::Failed("the server ends".into())),
            Err(_) => Err(LinkError::Timeout(self.config.hard.as_millis())),
        }
    }

    async fn answer(&self, mut asks: Vec<Ask>) {
        // Nobody waits for these any more.
        asks.retain(|ask| !ask.to.is_closed());
        let keys: Vec<&str> = asks.iter().map(|ask| &*ask.key).collect();
        for (answer, ask) in self.read_many(&keys).await.into_iter().zip(asks) {
            // Whoever asked may be gone.
            let _ = ask.to.send(answer);
        }
    }
}
