//! Reads that come at once go to Redis in one question: a command for each would cost both sides
//! more than its value does.
//!
//! A read that comes alone is asked at once. Those that come while it is under way wait for a
//! lane: a task that asks for all that wait, tells the answers, and goes on until none waits. So
//! nobody waits for others to come, and the more there are, the fewer questions they cost.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redis::Cmd;
use sommos_core::time::Timestamp;
use tokio::sync::oneshot;

use super::link::{Link, LinkError};

/// Keys of one question at most.
const QUESTION_MAX: usize = 128;
/// Questions of several under way at most: while Redis answers one, another is on its way there
/// and the answers of the third are told. Two to four measured about the same, one a tenth less.
const LANES: usize = 3;
/// Reads that wait for a lane at most; others ask for themselves.
const WAITING_MAX: usize = 16_384;

type Answer = Result<Option<Vec<u8>>, LinkError>;

/// Gathers reads.
pub(super) struct Gather {
    link: Arc<Link>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Reads that are asked by themselves.
    alone: usize,
    lanes: usize,
    waiting: VecDeque<Asked>,
}

struct Asked {
    name: String,
    /// When it was asked for, by the link's clock.
    since: Timestamp,
    answer: oneshot::Sender<Answer>,
}

/// How a read is asked.
enum Way {
    Alone(String),
    Waits(oneshot::Receiver<Answer>),
}

impl Gather {
    pub(super) fn new(link: Arc<Link>) -> Arc<Self> {
        Arc::new(Self {
            link,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after each of its changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes under a name, for a request since `since`.
    ///
    /// # Errors
    /// [`LinkError`]; never later than the hard timeout.
    pub(super) async fn get(self: &Arc<Self>, name: String, since: Timestamp) -> Answer {
        match self.way(name, since) {
            Way::Alone(name) => {
                let _alone = Alone(self);
                let mut get = Cmd::with_capacity(2, "GET".len() + name.len());
                get.arg("GET").arg(name);
                self.link.ask_within(&get, self.link.left(since)).await
            }
            // No sender is dropped but with its runtime.
            Way::Waits(answer) => answer.await.unwrap_or(Err(LinkError::Open)),
        }
    }

    fn way(self: &Arc<Self>, name: String, since: Timestamp) -> Way {
        let mut state = self.state();
        let calm = state.alone == 0 && state.lanes == 0;
        if calm || state.waiting.len() >= WAITING_MAX {
            state.alone += 1;
            return Way::Alone(name);
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.push_back(Asked {
            name,
            since,
            answer,
        });
        if state.lanes < LANES {
            state.lanes += 1;
            drop(state);
            tokio::spawn(Arc::clone(self).serve());
        }
        Way::Waits(answered)
    }

    /// What waits, as far as one question holds it; when none does, its lane ends.
    fn take(&self) -> Option<Vec<Asked>> {
        let mut state = self.state();
        let count = state.waiting.len().min(QUESTION_MAX);
        if count == 0 {
            // In one step with the look: whoever comes next opens a lane.
            state.lanes -= 1;
            return None;
        }
        Some(state.waiting.drain(..count).collect())
    }

    /// One lane, until no read waits.
    async fn serve(self: Arc<Self>) {
        loop {
            // Who was just told asks for more: those are gathered first.
            tokio::task::yield_now().await;
            let Some(asked) = self.take() else {
                return;
            };
            self.ask(asked).await;
        }
    }

    async fn ask(&self, asked: Vec<Asked>) {
        // The first has waited longest: within its time, all are.
        let since = asked.first().map_or(Timestamp::ZERO, |asked| asked.since);
        let bytes = asked.iter().map(|asked| asked.name.len()).sum::<usize>();
        let mut get = Cmd::with_capacity(1 + asked.len(), "MGET".len() + bytes);
        get.arg("MGET");
        for asked in &asked {
            get.arg(&asked.name);
        }
        let answer: Result<Vec<Option<Vec<u8>>>, _> =
            self.link.ask_within(&get, self.link.left(since)).await;
        // Who gave up needs no answer.
        match answer {
            Ok(found) => {
                for (asked, found) in asked.into_iter().zip(found) {
                    let _ = asked.answer.send(Ok(found));
                }
            }
            Err(error) => {
                for asked in asked {
                    let _ = asked.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// A read that is asked by itself, until it is dropped.
struct Alone<'a>(&'a Gather);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}
