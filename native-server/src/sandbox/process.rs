//! One child as its parent sees it: pipes that never block, a deadline, and the end of it.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd, unix::process::ExitStatusExt as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sommos_core::control::{Control, Stopped, Unstoppable};

use super::{
    CHILD_COMMAND, Layers, LimitKind, Limits, ProcessorErrorKind, SandboxError,
    frame::{self, Fault, NOTE_BYTES_MAX, REPLY_BYTES, Request, Tag},
};

/// How often a waiting parent asks its control.
const CONTROL_INTERVAL: Duration = Duration::from_millis(25);
/// How long after its own deadline a child may answer before it is killed. It covers a slow
/// scheduler; the sum of limit and margin stays below limit + 1 s.
const KILL_MARGIN: Duration = Duration::from_millis(300);
/// How long a child may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Pipe buffers where the system allows it: fewer wake-ups for a chunk of some hundred kilobytes.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// Why an exchange ended early.
enum Broken {
    Stopped(Stopped),
    Deadline,
    /// The pipe closed: the child is dead or dying.
    Closed,
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A running child. Dropping it kills and reaps it.
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    layers: Layers,
    /// Chunks answered so far.
    pub(super) chunks: u32,
    /// Time spent on chunks so far.
    pub(super) busy: Duration,
}

impl Process {
    /// Starts a child and waits for its report.
    ///
    /// Call it from a thread that outlives the child: on Linux the parent death signal is tied to
    /// the thread that started it, not to the process.
    pub(super) fn start(
        program: &Path,
        address_space_bytes: u64,
        cpu_s: u64,
    ) -> Result<Self, SandboxError> {
        let unavailable = |error: io::Error| SandboxError::Unavailable(format!("start: {error}"));
        let mut child = Command::new(program)
            .arg(CHILD_COMMAND)
            .args(
                [u64::from(std::process::id()), address_space_bytes, cpu_s].map(|n| n.to_string()),
            )
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(unavailable)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(SandboxError::Unavailable("start: no pipes".into()));
        };
        let layers = Layers::default();
        let mut process = Self {
            child,
            input,
            output,
            layers,
            chunks: 0,
            busy: Duration::ZERO,
        };
        process.prepare_pipes().map_err(unavailable)?;
        let deadline = Instant::now() + START_LIMIT;
        let mut wait = Wait {
            deadline,
            control: &Unstoppable,
        };
        match process.receive(&mut wait, NOTE_BYTES_MAX) {
            Ok(Reply::Payload(Tag::Ready, report)) => {
                process.layers = serde_json::from_slice(&report)
                    .map_err(|error| SandboxError::Unavailable(format!("start: {error}")))?;
                Ok(process)
            }
            Ok(_) => Err(SandboxError::Unavailable("start: unexpected reply".into())),
            Err(broken) => Err(match process.broken(broken, Limits::default()) {
                SandboxError::Stopped(stopped) => SandboxError::Stopped(stopped),
                other => SandboxError::Unavailable(format!("start: {other}")),
            }),
        }
    }

    fn prepare_pipes(&self) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&self.input, true)?;
        rustix::io::ioctl_fionbio(&self.output, true)?;
        #[cfg(target_os = "linux")]
        for pipe in [self.input.as_fd(), self.output.as_fd()] {
            // A user may have used up the share of pipe memory: the default size works too.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
        }
        Ok(())
    }

    /// The layers that this child reported.
    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Runs one chunk. After an error other than a processor's own the child must not be reused:
    /// the second value says whether it may.
    pub(super) fn exchange(
        &mut self,
        source: &str,
        chunk: &[u8],
        limits: Limits,
        control: &dyn Control,
    ) -> (Result<Vec<u8>, SandboxError>, bool) {
        let started = Instant::now();
        let deadline = started + Duration::from_millis(limits.time_ms) + KILL_MARGIN;
        let mut wait = Wait { deadline, control };
        let header = Request {
            limits,
            source_bytes: source.len() as u64,
            chunk_bytes: chunk.len() as u64,
        };
        let sent = [&header.encode()[..], source.as_bytes(), chunk]
            .into_iter()
            .try_for_each(|part| self.send(&mut wait, part));
        let reply = sent.and_then(|()| self.receive(&mut wait, limits.output_bytes));
        self.chunks += 1;
        self.busy += started.elapsed();
        match reply {
            Ok(Reply::Payload(Tag::Output, json)) => (Ok(json), true),
            Ok(Reply::Payload(Tag::Fault, json)) => match serde_json::from_slice::<Fault>(&json) {
                Ok(fault) => {
                    let reusable = !fault.kind.is_limit();
                    (Err(fault.into()), reusable)
                }
                Err(error) => (
                    Err(SandboxError::Unavailable(format!("fault: {error}"))),
                    false,
                ),
            },
            Ok(Reply::Payload(Tag::Ready, _) | Reply::Unknown) => (
                Err(SandboxError::Unavailable("unexpected reply".into())),
                false,
            ),
            Ok(Reply::TooLarge) => (
                Err(SandboxError::output_too_large(limits.output_bytes)),
                false,
            ),
            Err(broken) => (Err(self.broken(broken, limits)), false),
        }
    }

    fn send(&mut self, wait: &mut Wait<'_>, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.input.write(bytes) {
                Ok(0) => return Err(Broken::Closed),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait.until(&self.input, PollFlags::OUT)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn fill(&mut self, wait: &mut Wait<'_>, mut bytes: &mut [u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.output.read(bytes) {
                Ok(0) => return Err(Broken::Closed),
                Ok(n) => bytes = &mut bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait.until(&self.output, PollFlags::IN)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self, wait: &mut Wait<'_>, output_bytes: u64) -> Result<Reply, Broken> {
        let mut header = [0; REPLY_BYTES];
        self.fill(wait, &mut header)?;
        let Some((tag, len)) = frame::decode_reply(header) else {
            return Ok(Reply::Unknown);
        };
        let limit = if tag == Tag::Output {
            output_bytes
        } else {
            NOTE_BYTES_MAX
        };
        if len > limit {
            return Ok(Reply::TooLarge);
        }
        let mut payload = vec![0; len as usize];
        self.fill(wait, &mut payload)?;
        Ok(Reply::Payload(tag, payload))
    }

    /// Ends the child and says what its end means.
    fn broken(&mut self, broken: Broken, limits: Limits) -> SandboxError {
        match broken {
            Broken::Stopped(stopped) => {
                self.end();
                SandboxError::Stopped(stopped)
            }
            Broken::Deadline => {
                self.end();
                SandboxError::timed_out(limits.time_ms)
            }
            Broken::Io(error) => {
                self.end();
                SandboxError::Unavailable(error.to_string())
            }
            // It closed its pipe by dying: its own exit status tells why.
            Broken::Closed => match self.child.wait() {
                Ok(status) => end_of(status, limits),
                Err(error) => SandboxError::Unavailable(error.to_string()),
            },
        }
    }

    /// Kills and reaps it.
    fn end(&mut self) {
        // Either fails only when the child is gone and reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

enum Reply {
    Payload(Tag, Vec<u8>),
    TooLarge,
    Unknown,
}

struct Wait<'a> {
    deadline: Instant,
    control: &'a dyn Control,
}

impl Wait<'_> {
    /// Waits for the pipe, asking the control on the way.
    fn until(&mut self, pipe: &impl AsFd, flags: PollFlags) -> Result<(), Broken> {
        loop {
            // Progress is the caller's to report, in chunks.
            self.control.checkpoint(0, 0).map_err(Broken::Stopped)?;
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::Deadline);
            }
            let pause = left.min(CONTROL_INTERVAL);
            let timeout = Timespec {
                tv_sec: pause.as_secs() as i64,
                tv_nsec: i64::from(pause.subsec_nanos()),
            };
            match poll(&mut [PollFd::new(pipe, flags)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Broken::Io(error.into())),
            }
        }
    }
}

/// What the end of a child in the middle of a chunk means.
fn end_of(status: ExitStatus, limits: Limits) -> SandboxError {
    let crashed = |message: &str| SandboxError::Processor {
        kind: ProcessorErrorKind::Crashed,
        message: message.to_owned(),
        line: None,
    };
    match status.signal() {
        Some(libc::SIGXCPU) => SandboxError::timed_out(limits.time_ms),
        // An allocation outside the interpreter's own accounting failed.
        Some(libc::SIGABRT) => SandboxError::Limit {
            kind: LimitKind::Memory,
            message: format!("used more than {} bytes of memory", limits.memory_bytes),
        },
        Some(libc::SIGSYS) => crashed("the interpreter made a forbidden system call"),
        Some(signal @ (libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE)) => {
            crashed(&format!("the interpreter crashed with signal {signal}"))
        }
        // SIGKILL from outside (the system ran out of memory, an administrator) and the like.
        _ => SandboxError::Unavailable(format!("the child ended: {status}")),
    }
}
