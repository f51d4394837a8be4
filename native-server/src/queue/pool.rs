//! Worker threads: as many as the work needs, within bounds.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    control::WorkControl,
    inbox::{Inbox, Outcome},
    types::{Executor, Failure, PoolStats, QueueConfig, Work},
};

/// Work of this length in all may wait in front of each worker, so that a worker does not wait
/// for the disk between short jobs: about two commits.
const AHEAD: Duration = Duration::from_millis(2);
/// Claims that may wait in front of the workers, count.
const AHEAD_MAX: usize = 256;
/// Work that waited this long in front of the workers goes back to the queue.
pub(super) const STALLED: Duration = Duration::from_millis(50);

/// A claim on its way to a worker.
pub(super) struct Assignment {
    pub(super) token: u64,
    pub(super) work: Work,
    pub(super) control: Arc<WorkControl>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Assignment>,
    threads: usize,
    idle: usize,
    lost: usize,
    stopping: bool,
    /// Smoothed run time of one job.
    typical: Option<Duration>,
    busy: Duration,
    moved: Option<Instant>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    min: usize,
    max: usize,
    idle_timeout: Duration,
    executor: Arc<dyn Executor>,
    inbox: Arc<Inbox>,
}

pub(super) struct Pool(Arc<Shared>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads allowed: lost ones are replaced, but at most as many again.
    fn cap(&self, state: &State) -> usize {
        self.max + state.lost.min(self.max)
    }
}

impl Pool {
    pub(super) fn new(
        config: &QueueConfig,
        executor: Arc<dyn Executor>,
        inbox: Arc<Inbox>,
    ) -> Self {
        let max = config.max_workers.max(1);
        Self(Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            min: config.min_workers.min(max),
            max,
            idle_timeout: config.idle_timeout,
            executor,
            inbox,
        }))
    }

    /// How many more claims the workers can take.
    pub(super) fn capacity(&self) -> usize {
        let state = self.0.lock();
        let spare = self.0.cap(&state).saturating_sub(state.threads);
        let ahead = state.typical.map_or(0, |typical| {
            let each = AHEAD.as_nanos() / typical.as_nanos().max(1);
            (each as usize * self.0.max).min(AHEAD_MAX)
        });
        (state.idle + spare + ahead).saturating_sub(state.ready.len())
    }

    pub(super) fn push(&self, assignments: Vec<Assignment>) {
        if assignments.is_empty() {
            return;
        }
        let mut state = self.0.lock();
        if state.ready.is_empty() {
            state.moved = Some(Instant::now());
        }
        state.ready.extend(assignments);
        let waiting = state.ready.len();
        let wakes = waiting.min(state.idle);
        let missing = waiting - wakes;
        let spawn = missing.min(self.0.cap(&state).saturating_sub(state.threads));
        state.threads += spawn;
        drop(state);
        for _ in 0..wakes {
            self.0.wake.notify_one();
        }
        for _ in 0..spawn {
            self.spawn();
        }
    }

    fn spawn(&self) {
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("queue-worker".into());
        if let Err(error) = thread.spawn(move || work(&shared)) {
            tracing::error!(%error, "no thread for a queue worker");
            self.0.lock().threads -= 1;
        }
    }

    /// Takes back what no worker began for a while: they have longer work than thought.
    pub(super) fn take_stalled(&self) -> Vec<Assignment> {
        let mut state = self.0.lock();
        let stalled = state.moved.is_some_and(|moved| moved.elapsed() >= STALLED);
        if state.ready.is_empty() || !stalled {
            return Vec::new();
        }
        state.typical = Some(Duration::from_secs(1));
        state.ready.drain(..).collect()
    }

    /// Takes back all that no worker began.
    pub(super) fn take_ready(&self) -> Vec<Assignment> {
        self.0.lock().ready.drain(..).collect()
    }

    pub(super) fn waiting(&self) -> bool {
        !self.0.lock().ready.is_empty()
    }

    /// A worker ignores its interruption, or came back after all.
    pub(super) fn count_lost(&self, lost: bool) {
        let mut state = self.0.lock();
        state.lost = if lost {
            state.lost + 1
        } else {
            state.lost.saturating_sub(1)
        };
    }

    /// Lets idle workers end; busy ones follow when they are done.
    pub(super) fn stop(&self) {
        self.0.lock().stopping = true;
        self.0.wake.notify_all();
    }

    pub(super) fn stats(&self) -> PoolStats {
        let state = self.0.lock();
        let threads = state.threads.saturating_sub(state.lost);
        let busy = threads.saturating_sub(state.idle);
        PoolStats {
            threads,
            busy,
            lost: state.lost,
            min: self.0.min,
            max: self.0.max,
            utilization: (busy as f64 / self.0.max as f64).min(1.0),
            busy_seconds: state.busy.as_secs_f64(),
        }
    }
}

/// The life of a worker.
fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.stopping || state.threads > shared.cap(&state) {
            break;
        }
        if let Some(assignment) = state.ready.pop_front() {
            state.moved = Some(Instant::now());
            drop(state);
            let run = perform(shared, assignment);
            state = shared.lock();
            state.busy += run;
            let typical = state.typical.map_or(run, |typical| (typical * 7 + run) / 8);
            state.typical = Some(typical.max(Duration::from_nanos(100)));
            continue;
        }
        state.idle += 1;
        let (back, waited) = shared
            .wake
            .wait_timeout(state, shared.idle_timeout)
            .unwrap_or_else(PoisonError::into_inner);
        state = back;
        state.idle -= 1;
        if waited.timed_out() && state.ready.is_empty() && state.threads > shared.min {
            break;
        }
    }
    state.threads -= 1;
}

fn perform(shared: &Shared, assignment: Assignment) -> Duration {
    let Assignment {
        token,
        work,
        control,
    } = assignment;
    control.start();
    let began = Instant::now();
    let result = match control.check() {
        Err(stopped) => Err(stopped.into()),
        Ok(()) => catch_unwind(AssertUnwindSafe(|| shared.executor.run(&work, &control)))
            .unwrap_or_else(|panic| {
                Err(Failure::transient("PANICKED", panic_text(panic.as_ref())))
            }),
    };
    let run = began.elapsed();
    shared.inbox.outcome(Outcome {
        id: work.id,
        token,
        result,
    });
    run
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}
