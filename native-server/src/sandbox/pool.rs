//! A pool of warm children.

use std::{
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use sommos_core::control::Control;

use super::{
    Layers, LimitKind, Limits, ProcessorErrorKind, SandboxError,
    frame::{CHUNK_BYTES_MAX, SOURCE_BYTES_MAX},
    process::Process,
};

/// How often a caller in the queue asks its control.
const QUEUE_INTERVAL: Duration = Duration::from_millis(25);
/// How often idle children are looked at.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// Address space of a child beside the heap and its buffers: the binary, libc, the stack.
const BASE_BYTES: u64 = 512 << 20;

/// How a [`Sandbox`] is built.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The binary that understands [`CHILD_COMMAND`](super::CHILD_COMMAND). Default: this one.
    pub program: PathBuf,
    /// Children at once, at least 1. Default: the machine's cores.
    pub children_max: usize,
    /// An idle child ends after this time, milliseconds. Default: 30 s.
    pub idle_ms: u64,
    /// A child is replaced after this many chunks. Default: 1000.
    pub chunks_max: u32,
    /// A child is replaced after this much time at work, milliseconds. Default: 5 min.
    pub busy_ms: u64,
    /// Ceilings for the limits of a chunk. Default: 10 min, 1 GiB, 128 MiB, 4 MiB.
    pub limits_max: Limits,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            program: own_program(),
            children_max: std::thread::available_parallelism().map_or(1, usize::from),
            idle_ms: 30_000,
            chunks_max: 1000,
            busy_ms: 300_000,
            limits_max: Limits {
                time_ms: 600_000,
                memory_bytes: 1 << 30,
                output_bytes: 128 << 20,
                stack_bytes: 4 << 20,
            },
        }
    }
}

/// This binary. On Linux by a name that stays right when the file is replaced by an update.
fn own_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe().unwrap_or_default()
    }
}

/// Counts since the sandbox was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SandboxStats {
    /// Children started.
    pub started: u64,
    /// Children ended on purpose or by accident.
    pub ended: u64,
    /// Chunks answered, errors included.
    pub chunks: u64,
    /// Children that died of a chunk.
    pub crashed: u64,
    /// Chunks that took too long.
    pub timed_out: u64,
    /// Chunks that went over another limit.
    pub over_limit: u64,
    /// Chunks for which no child could be had.
    pub unavailable: u64,
    /// Children waiting for work.
    pub idle: usize,
    /// Children at work or starting.
    pub busy: usize,
}

impl SandboxStats {
    fn count(&mut self, result: &Result<Vec<u8>, SandboxError>) {
        self.chunks += 1;
        match result {
            Err(SandboxError::Processor {
                kind: ProcessorErrorKind::Crashed,
                ..
            }) => self.crashed += 1,
            Err(SandboxError::Limit {
                kind: LimitKind::Time,
                ..
            }) => self.timed_out += 1,
            Err(SandboxError::Limit { .. }) => self.over_limit += 1,
            Err(SandboxError::Unavailable(_)) => self.unavailable += 1,
            _ => {}
        }
    }
}

/// Runs processors in children. Share it behind an [`Arc`]; calls block, so make them from worker
/// threads. Dropping it kills and reaps every child.
pub struct Sandbox {
    shared: Arc<Shared>,
    starts: Option<Sender<Sender<Result<Process, SandboxError>>>>,
    keeper: Option<JoinHandle<()>>,
}

struct Shared {
    options: SandboxOptions,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<(Process, Instant)>,
    stats: SandboxStats,
    layers: Option<Layers>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements: a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Process, SandboxError> {
        let l = self.options.limits_max;
        let buffers = 4 * CHUNK_BYTES_MAX.min(l.memory_bytes) + 6 * l.output_bytes;
        let address_space = BASE_BYTES + l.memory_bytes + buffers;
        // The hard stop if the parent itself is stopped: work at most, and one chunk over it.
        let cpu_s = (self.options.busy_ms + l.time_ms) / 1000 + 5;
        let process = Process::start(&self.options.program, address_space, cpu_s)?;
        let mut state = self.lock();
        state.stats.started += 1;
        state.layers.get_or_insert_with(|| process.layers().clone());
        Ok(process)
    }

    /// Ends the children that nobody needed for a while.
    fn expire(&self) {
        let limit = Duration::from_millis(self.options.idle_ms);
        let mut ended = Vec::new();
        {
            let mut state = self.lock();
            let (old, young) = std::mem::take(&mut state.idle)
                .into_iter()
                .partition(|(_, since)| since.elapsed() >= limit);
            state.idle = young;
            ended.extend::<Vec<_>>(old);
            state.stats.ended += ended.len() as u64;
        }
        drop(ended);
    }
}

impl Sandbox {
    /// A sandbox without children yet: the first call starts one.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when the system refuses a thread.
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(State::default()),
            freed: Condvar::new(),
        });
        let (starts, requests) = mpsc::channel::<Sender<Result<Process, SandboxError>>>();
        let of_keeper = Arc::clone(&shared);
        // One thread starts every child and outlives them all, because a child dies with the thread
        // that started it. The same thread ends idle ones.
        let keeper = std::thread::Builder::new()
            .name("sandbox-keeper".into())
            .spawn(move || {
                loop {
                    match requests.recv_timeout(IDLE_INTERVAL) {
                        // A caller that gave up drops the process, which ends it.
                        Ok(reply) => drop(reply.send(of_keeper.start())),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                    of_keeper.expire();
                }
                of_keeper.lock().idle.clear();
            })
            .map_err(|error| SandboxError::Unavailable(error.to_string()))?;
        Ok(Self {
            shared,
            starts: Some(starts),
            keeper: Some(keeper),
        })
    }

    /// Runs `source` over `chunk_json` and gives the JSON of its result.
    ///
    /// `source` is a function of a chunk (`function(chunk) {..}`, `chunk => ..`, `async` or not) or
    /// an expression over `chunk`. Waits for a free child first; that wait counts against no limit.
    /// While waiting, `control.checkpoint(0, 0)` is asked every 25 ms; progress is the caller's.
    /// The call ends within `time_ms` + 0.3 s, plus the time to kill a child.
    ///
    /// # Errors
    /// [`SandboxError`]: the processor's fault, a limit, a stop, or trouble of the sandbox itself.
    pub fn run(
        &self,
        source: &str,
        chunk_json: &[u8],
        limits: Limits,
        control: &dyn Control,
    ) -> Result<Vec<u8>, SandboxError> {
        let too_large = |what: &str, len: usize, max: u64| {
            let message = format!("a {what} of {len} bytes; at most {max} fit into a child");
            Err(SandboxError::Limit {
                kind: LimitKind::Memory,
                message,
            })
        };
        if source.len() as u64 > SOURCE_BYTES_MAX {
            return too_large("source", source.len(), SOURCE_BYTES_MAX);
        }
        if chunk_json.len() as u64 > CHUNK_BYTES_MAX {
            return too_large("chunk", chunk_json.len(), CHUNK_BYTES_MAX);
        }
        let max = self.shared.options.limits_max;
        let limits = Limits {
            time_ms: limits.time_ms.min(max.time_ms),
            memory_bytes: limits.memory_bytes.min(max.memory_bytes),
            output_bytes: limits.output_bytes.min(max.output_bytes),
            stack_bytes: limits.stack_bytes.min(max.stack_bytes),
        };
        let mut seat = self.seat(control)?;
        let process = match seat.process.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let process = seat.process.insert(process);
        let (result, reusable) = process.exchange(source, chunk_json, limits, control);
        let options = &self.shared.options;
        seat.keep = reusable
            && process.chunks < options.chunks_max
            && process.busy < Duration::from_millis(options.busy_ms);
        self.shared.lock().stats.count(&result);
        result
    }

    /// What protects the children of this machine. Starts one if none has run yet.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when no child starts.
    pub fn layers(&self) -> Result<Layers, SandboxError> {
        if let Some(layers) = self.shared.lock().layers.clone() {
            return Ok(layers);
        }
        let mut seat = self.seat(&sommos_core::control::Unstoppable)?;
        let process = match seat.process.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let layers = process.layers().clone();
        seat.process = Some(process);
        seat.keep = true;
        Ok(layers)
    }

    /// Counts for monitoring.
    #[must_use]
    pub fn stats(&self) -> SandboxStats {
        let state = self.shared.lock();
        SandboxStats {
            idle: state.idle.len(),
            ..state.stats
        }
    }

    /// Process ids of the idle children, for diagnosis.
    #[must_use]
    pub fn idle_ids(&self) -> Vec<u32> {
        self.shared
            .lock()
            .idle
            .iter()
            .map(|(process, _)| process.id())
            .collect()
    }

    /// The right to one child, and an idle one if there is any.
    fn seat(&self, control: &dyn Control) -> Result<Seat<'_>, SandboxError> {
        let shared = &*self.shared;
        let max = shared.options.children_max.max(1);
        let mut state = shared.lock();
        while state.stats.busy >= max {
            control.checkpoint(0, 0)?;
            let waited = shared.freed.wait_timeout(state, QUEUE_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.stats.busy += 1;
        let mut seat = Seat {
            shared,
            process: None,
            keep: false,
        };
        while let Some((mut process, _)) = state.idle.pop() {
            if process.has_ended() {
                state.stats.ended += 1;
                continue;
            }
            seat.process = Some(process);
            break;
        }
        drop(state);
        Ok(seat)
    }

    fn start(&self) -> Result<Process, SandboxError> {
        let gone = || SandboxError::Unavailable("the keeper thread is gone".into());
        let (reply, started) = mpsc::channel();
        self.starts
            .as_ref()
            .ok_or_else(gone)?
            .send(reply)
            .map_err(|_| gone())?;
        started.recv().map_err(|_| gone())?
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.starts = None;
        if let Some(keeper) = self.keeper.take() {
            // It ends the idle children; no other can exist, as every call borrows the sandbox.
            let _ = keeper.join();
        }
    }
}

/// The right to one child. Gives it back on drop, with the child if it may be used again.
struct Seat<'a> {
    shared: &'a Shared,
    process: Option<Process>,
    keep: bool,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let process = self.process.take();
        let had_process = process.is_some();
        let kept = if self.keep {
            process
        } else {
            drop(process);
            None
        };
        let mut state = self.shared.lock();
        match kept {
            Some(process) => state.idle.push((process, Instant::now())),
            None => state.stats.ended += u64::from(had_process),
        }
        state.stats.busy -= 1;
        drop(state);
        self.shared.freed.notify_one();
    }
}
