//! Questions that come at once are asked together: one for each would cost both sides more than
//! its answer does.
//!
//! A question that comes alone is asked at once. Those that come while it is under way wait for a
//! lane: a task that asks all that wait, tells the answers, and goes on until none waits. So
//! nobody waits for others to come, and the more there are, the less each costs.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Steps of several under way at most: while one is answered, another is on its way there and the
/// answers of the third are told. Of Redis' reads two to four measured about the same, one a tenth
/// less.
const LANES: usize = 3;
/// Questions that wait for a lane at most; others are asked by themselves.
const WAITING_MAX: usize = 16_384;

/// Who can be asked several questions in one step.
pub(crate) trait Together: Send + Sync + 'static {
    /// What one caller asks.
    type Question: Send + 'static;
    /// What it is told.
    type Answer: Send + 'static;
    /// Questions of one step at most.
    const MAX: usize;
    /// Bytes of one step at most, unless one question alone has more.
    const BYTES_MAX: usize = usize::MAX;

    /// What a question adds to a step, bytes.
    fn bytes(_question: &Self::Question) -> usize {
        0
    }

    /// Asks one step; gives the answers in the order of the questions.
    fn ask(&self, questions: Vec<Self::Question>)
    -> impl Future<Output = Vec<Self::Answer>> + Send;

    /// As [`Self::ask`], for one question alone.
    fn ask_one(
        &self,
        question: Self::Question,
    ) -> impl Future<Output = Option<Self::Answer>> + Send {
        async { self.ask(vec![question]).await.pop() }
    }
}

/// Gathers questions.
pub(crate) struct Gather<T: Together> {
    together: T,
    state: Mutex<State<T>>,
}

struct State<T: Together> {
    /// Questions that are asked by themselves.
    alone: usize,
    lanes: usize,
    waiting: VecDeque<Waiting<T>>,
}

struct Waiting<T: Together> {
    question: T::Question,
    answer: oneshot::Sender<T::Answer>,
}

/// How a question is asked.
enum Way<T: Together> {
    Alone(T::Question),
    Waits(oneshot::Receiver<T::Answer>),
}

impl<T: Together> Gather<T> {
    pub(crate) fn new(together: T) -> Arc<Self> {
        Arc::new(Self {
            together,
            state: Mutex::new(State {
                alone: 0,
                lanes: 0,
                waiting: VecDeque::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Whole after each of its changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a question; nothing when the runtime ends. Who gives up before it was asked is
    /// not asked for.
    pub(crate) async fn ask(self: &Arc<Self>, question: T::Question) -> Option<T::Answer> {
        match self.way(question) {
            Way::Alone(question) => {
                let _alone = Alone(self);
                self.together.ask_one(question).await
            }
            Way::Waits(answer) => answer.await.ok(),
        }
    }

    fn way(self: &Arc<Self>, question: T::Question) -> Way<T> {
        let mut state = self.state();
        let calm = state.alone == 0 && state.lanes == 0;
        if calm || state.waiting.len() >= WAITING_MAX {
            state.alone += 1;
            return Way::Alone(question);
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.push_back(Waiting { question, answer });
        if state.lanes < LANES {
            state.lanes += 1;
            drop(state);
            tokio::spawn(Arc::clone(self).serve());
        }
        Way::Waits(answered)
    }

    /// What waits, as far as one step holds it; when none does, its lane ends. The lock is held for
    /// a count and a move: who asks meanwhile waits for it.
    fn take(&self) -> Option<Vec<Waiting<T>>> {
        let mut state = self.state();
        let mut bytes = 0;
        let fits = |next: &&Waiting<T>| {
            let first = bytes == 0;
            bytes += T::bytes(&next.question);
            first || bytes <= T::BYTES_MAX
        };
        let count = state.waiting.iter().take(T::MAX).take_while(fits).count();
        if count == 0 {
            // In one step with the look: whoever comes next opens a lane.
            state.lanes -= 1;
            return None;
        }
        Some(state.waiting.drain(..count).collect())
    }

    /// One lane, until no question waits.
    async fn serve(self: Arc<Self>) {
        loop {
            // Who was just told asks more: that is gathered first.
            tokio::task::yield_now().await;
            let Some(step) = self.take() else {
                return;
            };
            // Who gave up may have asked elsewhere.
            let (questions, answers): (Vec<_>, Vec<_>) = step
                .into_iter()
                .filter(|waiting| !waiting.answer.is_closed())
                .map(|waiting| (waiting.question, waiting.answer))
                .unzip();
            if questions.is_empty() {
                continue;
            }
            let told = self.together.ask(questions).await;
            for (answer, told) in answers.into_iter().zip(told) {
                // Who gave up needs no answer.
                let _ = answer.send(told);
            }
        }
    }
}

/// A question that is asked by itself, until it is dropped.
struct Alone<'a, T: Together>(&'a Gather<T>);

impl<T: Together> Drop for Alone<'_, T> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{future::poll_fn, pin::pin, task::Poll};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Doubles numbers, a step for each permit.
    struct Doubles {
        permits: Semaphore,
        steps: Mutex<Vec<Vec<usize>>>,
    }

    impl Together for Doubles {
        type Question = usize;
        type Answer = usize;
        const MAX: usize = 10;
        const BYTES_MAX: usize = 1000;

        fn bytes(question: &usize) -> usize {
            *question
        }

        async fn ask(&self, questions: Vec<usize>) -> Vec<usize> {
            self.permits.acquire().await.unwrap().forget();
            self.steps.lock().unwrap().push(questions.clone());
            questions.iter().map(|n| 2 * n).collect()
        }
    }

    fn doubles() -> Arc<Gather<Doubles>> {
        Gather::new(Doubles {
            permits: Semaphore::new(0),
            steps: Mutex::default(),
        })
    }

    /// Asks all while no step is answered; gives the steps that it took.
    async fn steps(gather: &Arc<Gather<Doubles>>, questions: Vec<usize>) -> Vec<Vec<usize>> {
        let asked = questions.iter().map(|n| {
            let (gather, n) = (Arc::clone(gather), *n);
            tokio::spawn(async move { gather.ask(n).await })
        });
        let asked: Vec<_> = asked.collect();
        // Each asks when its turn comes.
        tokio::task::yield_now().await;
        gather.together.permits.add_permits(1000);
        for (asked, n) in join_all(asked).await.into_iter().zip(&questions) {
            assert_eq!(asked.unwrap(), Some(2 * n));
        }
        while gather.state().lanes > 0 {
            tokio::task::yield_now().await;
        }
        let state = gather.state();
        assert_eq!((state.alone, state.waiting.len()), (0, 0));
        drop(state);
        gather.together.steps.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn each_gets_its_own_answer_and_steps_have_a_limit() {
        let steps = steps(&doubles(), (0..95).collect()).await;
        // The first alone, the others together.
        assert!(steps.contains(&vec![0]), "{steps:?}");
        let largest = steps.iter().map(Vec::len).max();
        assert!(steps.len() <= 12 && largest == Some(10), "{steps:?}");
    }

    #[tokio::test]
    async fn large_ones_go_by_themselves() {
        let mut steps = steps(&doubles(), vec![1, 600, 600, 5000, 7, 8]).await;
        steps.sort();
        assert_eq!(
            steps,
            [vec![1], vec![7, 8], vec![600], vec![600], vec![5000]]
        );
    }

    #[tokio::test]
    async fn who_gave_up_is_not_asked_for() {
        let gather = doubles();
        let alone = tokio::spawn({
            let gather = Arc::clone(&gather);
            async move { gather.ask(1).await }
        });
        tokio::task::yield_now().await;
        {
            let mut gone = pin!(gather.ask(2));
            let once = poll_fn(|context| Poll::Ready(gone.as_mut().poll(context).is_pending()));
            assert!(once.await);
        }
        gather.together.permits.add_permits(10);
        assert_eq!(gather.ask(3).await, Some(6));
        assert_eq!(alone.await.unwrap(), Some(2));
        let steps = gather.together.steps.lock().unwrap();
        assert!(!steps.concat().contains(&2));
    }
}
