//! One connection that is kept alive: sends one request at a time, reconnects when it must.
//!
//! The bytes of the request are made once for the whole test, answers are read through one buffer
//! that all connections of the test share, and the limit of time is one timer a connection: a
//! request costs a write and a read, and allocates nothing.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use sommos_core::wire::testing::TargetOrigin;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::answer::Incoming;

/// Room for what one read brings, bytes.
const READ_BYTES: usize = 64 << 10;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    Connect(io::ErrorKind),
    Timeout,
    Closed,
    Protocol(&'static str),
    /// The answer leads to this place of another origin.
    Redirect(Box<str>),
}

/// A whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body_bytes: u64,
}

/// What all connections of a test share.
pub(super) struct Wire {
    pub(super) target: SocketAddr,
    /// The origin as redirects name it.
    pub(super) origin: TargetOrigin,
    /// The request, head and body.
    pub(super) request: Bytes,
    pub(super) timeout: Duration,
    buffer: Mutex<Box<[u8]>>,
    opened: AtomicU64,
}

impl Wire {
    pub(super) fn new(
        target: SocketAddr,
        origin: TargetOrigin,
        request: Bytes,
        timeout: Duration,
    ) -> Self {
        Self {
            target,
            origin,
            request,
            timeout,
            buffer: Mutex::new(vec![0; READ_BYTES].into()),
            opened: AtomicU64::new(0),
        }
    }

    /// Connections opened so far.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

/// The client of one worker.
pub(super) struct Client<'a> {
    wire: &'a Wire,
    stream: Option<TcpStream>,
    /// The beginning of a head that came in pieces.
    kept: Vec<u8>,
    /// Never later than the limit of the request under way; moved only when it is reached.
    alarm: Pin<Box<Sleep>>,
}

impl<'a> Client<'a> {
    pub(super) fn new(wire: &'a Wire) -> Self {
        Self {
            wire,
            stream: None,
            kept: Vec::new(),
            alarm: Box::pin(tokio::time::sleep(wire.timeout)),
        }
    }

    /// Sends the request, on a new connection if there is none, and reads the whole answer.
    /// `begun` is the present.
    pub(super) async fn send(&mut self, begun: Instant) -> Result<Answer, Failure> {
        let limit = begun + self.wire.timeout;
        let (alarm, wire) = (&mut self.alarm, self.wire);
        // Taken out, so that whatever ends early leaves no connection with an answer under way.
        let stream = self.stream.take();
        let mut work = pin!(exchange(wire, stream, &mut self.kept));
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            while alarm.as_mut().poll(cx).is_ready() {
                if Instant::now() >= limit {
                    return Poll::Ready(Err(Failure::Timeout));
                }
                alarm.as_mut().reset(limit);
            }
            Poll::Pending
        })
        .await;
        let (stream, answer) = outcome?;
        self.stream = stream;
        Ok(answer)
    }
}

async fn exchange(
    wire: &Wire,
    stream: Option<TcpStream>,
    kept: &mut Vec<u8>,
) -> Result<(Option<TcpStream>, Answer), Failure> {
    let stream = match stream.filter(is_open) {
        Some(stream) => stream,
        None => {
            let failed = |error: io::Error| Failure::Connect(error.kind());
            let stream = TcpStream::connect(wire.target).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            wire.opened.fetch_add(1, Ordering::Relaxed);
            stream
        }
    };
    kept.clear();
    let sent = write(&stream, &wire.request).await;
    let mut answer = Incoming::new();
    let closed = read(wire, &stream, kept, &mut answer).await?;
    if let Some(location) = &answer.location
        && let Some(away) = wire.origin.leaves(location)
    {
        return Err(Failure::Redirect(away.into()));
    }
    let reusable = sent && !closed && answer.keep_alive;
    let found = Answer {
        status: answer.status,
        body_bytes: answer.body_bytes,
    };
    Ok((reusable.then_some(stream), found))
}

/// Whether a request may be sent: notices that the server closed the connection meanwhile, or sent
/// what nobody asked for. Costs no system call unless something arrived.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Writes all, or as much as is taken before an answer comes: one that refuses a large body. Gives
/// whether all was written.
async fn write(stream: &TcpStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let ready = stream.ready(Interest::READABLE | Interest::WRITABLE).await;
                if !ready.is_ok_and(|ready| ready.is_writable() && !ready.is_readable()) {
                    return false;
                }
            }
            // What the server said before it closed is still to be read.
            Err(_) => return false,
        }
    }
    true
}

/// Reads one answer. Gives whether the connection was closed at its end.
async fn read(
    wire: &Wire,
    stream: &TcpStream,
    kept: &mut Vec<u8>,
    answer: &mut Incoming,
) -> Result<bool, Failure> {
    loop {
        match take(wire, stream, kept, answer)? {
            Taken::Some => {}
            Taken::Whole => return Ok(false),
            Taken::Closed => return Ok(true),
            Taken::Nothing => stream.readable().await.map_err(|_| Failure::Closed)?,
        }
    }
}

/// What one read brought.
enum Taken {
    Nothing,
    Some,
    /// The rest of the answer.
    Whole,
    /// The end of the connection, where that ends the answer well.
    Closed,
}

fn take(
    wire: &Wire,
    stream: &TcpStream,
    kept: &mut Vec<u8>,
    answer: &mut Incoming,
) -> Result<Taken, Failure> {
    let mut buffer = wire.buffer.lock().unwrap_or_else(PoisonError::into_inner);
    match stream.try_read(&mut buffer) {
        Ok(0) if answer.closed() => Ok(Taken::Closed),
        Ok(0) => Err(Failure::Closed),
        Ok(length) => match answer.feed(&buffer[..length], kept) {
            Ok(true) => Ok(Taken::Whole),
            Ok(false) => Ok(Taken::Some),
            Err(malformed) => Err(Failure::Protocol(malformed.as_str())),
        },
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
        Err(_) => Err(Failure::Closed),
    }
}
