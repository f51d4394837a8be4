//! NDJSON streams: read, processed chunk by chunk and written in order, with backpressure and in
//! constant memory.
//!
//! A chunk that fails is one line `{"$error":{"chunk":N,"error":"..."}}` in place of its records.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use sommos_core::{
    batch::operations::RowPipeline,
    control::{Control, Stopped},
    jobs::{BatchId, JobError},
    wire::{
        ApiError, ErrorCode,
        batch::{BatchPlanOptions, Processor, encode_submit_answer},
    },
};

use super::{
    Call,
    batches::{NDJSON, from_query, params},
    jobs::refused,
    reply::Reply,
};
use crate::{app::App, queue::QueueError};

/// Chunks are handed to a worker together until they have so many bytes: a hop to another thread
/// costs some microseconds, a small chunk of a built-in processor not much more.
const GROUP_BYTES: usize = 256 << 10;

pub(super) async fn process(call: Call) -> Result<Reply, ApiError> {
    let (processor, options) = from_query(&call.app, call.query())?;
    let app = Arc::clone(&call.app);
    let stored = call.accepts("application/json") && !call.accepts(NDJSON);
    let lines = Lines::new(call.request.into_body(), &options, app.limits.body_bytes);
    if stored {
        return store(&app, processor, options, lines).await;
    }
    let rows = processor
        .built_in(&app.limits)?
        .and_then(|b| b.row_wise(&app.limits));
    // JavaScript takes long for a chunk: each goes alone, so that several run at once.
    let group_bytes = if rows.is_some() { GROUP_BYTES } else { 1 };
    let control = Arc::new(StreamControl {
        stop: AtomicBool::new(false),
        deadline: Instant::now() + Duration::from_millis(options.timeout_ms),
    });
    let work = Arc::new(Work {
        app,
        processor,
        rows,
        control: Arc::clone(&control),
    });
    let stop_on_error = options.stop_on_error;
    let groups = stream::unfold(lines, move |mut lines| async move {
        lines.group(group_bytes).await.map(|group| (group, lines))
    });
    let guard = StopOnDrop(control);
    let output = groups
        .map(move |group| run(Arc::clone(&work), group))
        .buffered(options.max_concurrency as usize)
        .scan((false, guard), move |(ended, _guard), (out, failed)| {
            let go = !*ended;
            *ended = failed && stop_on_error;
            futures_util::future::ready(go.then_some(Ok::<_, std::convert::Infallible>(out)))
        });
    Ok(Reply::stream(NDJSON, Body::from_stream(output)))
}

/// What every chunk of a stream needs.
struct Work {
    app: Arc<App>,
    processor: Processor,
    rows: Option<RowPipeline>,
    control: Arc<StreamControl>,
}

/// Ends the computations of a stream whose client went away, or whose time is over.
struct StreamControl {
    stop: AtomicBool,
    deadline: Instant,
}

impl Control for StreamControl {
    fn checkpoint(&self, _done: u64, _total: u64) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(Stopped::TimedOut);
        }
        Ok(())
    }
}

struct StopOnDrop(Arc<StreamControl>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Some chunks in a row: lines, how many, and the index of the first chunk.
struct Group {
    first: u32,
    chunks: Vec<Chunk>,
}

enum Chunk {
    Lines(Bytes),
    /// The body could not be read on; nothing follows.
    Broken(ApiError),
}

/// Runs a group on a blocking thread: its output and whether a chunk failed.
async fn run(work: Arc<Work>, group: Group) -> (Bytes, bool) {
    let first = group.first;
    let result = tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        let mut failed = false;
        for (index, chunk) in (first..).zip(group.chunks) {
            let before = out.len();
            let result = match chunk {
                Chunk::Lines(lines) => work.chunk(&lines, &mut out),
                Chunk::Broken(error) => Err(error.message.into_owned()),
            };
            if let Err(error) = result {
                out.truncate(before);
                error_line(&mut out, index, &error);
                failed = true;
            }
        }
        (Bytes::from(out), failed)
    })
    .await;
    result.unwrap_or_else(|error| {
        let mut out = Vec::new();
        error_line(&mut out, first, &error.to_string());
        (Bytes::from(out), true)
    })
}

impl Work {
    fn chunk(&self, lines: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.control
            .checkpoint(0, 1)
            .map_err(|stopped| stopped.to_string())?;
        if let Some(rows) = &self.rows {
            return rows
                .clone()
                .apply_lines(lines, out, &*self.control)
                .map_err(|error| error.to_string());
        }
        let array = array_of(lines);
        let result = self
            .app
            .executor
            .run_chunk(&self.processor, &array, &*self.control)
            .map_err(|failure| failure.message)?;
        append_lines(out, &result)
    }
}

fn error_line(out: &mut Vec<u8>, chunk: u32, error: &str) {
    let line = serde_json::json!({"$error": {"chunk": chunk, "error": error}});
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

/// Lines of JSON values as one JSON array, not yet parsed.
fn array_of(lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() + 2);
    out.push(b'[');
    for line in lines
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|l| !l.is_empty())
    {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(line);
    }
    out.push(b']');
    out
}

/// The values of a JSON array, one a line; a value that is no array is one line.
fn append_lines(out: &mut Vec<u8>, json: &[u8]) -> Result<(), String> {
    if let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(json) {
        for item in items {
            one_line(out, item);
        }
        return Ok(());
    }
    let item: &RawValue = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    one_line(out, item);
    Ok(())
}

/// Within JSON a line break can only stand between tokens: leaving it out changes nothing.
fn one_line(out: &mut Vec<u8>, item: &RawValue) {
    out.extend(item.get().bytes().filter(|b| !matches!(b, b'\n' | b'\r')));
    out.push(b'\n');
}

/// Cuts a body into chunks of whole lines.
struct Lines {
    body: Body,
    /// When the whole body must have come: a client that stops sending must not stay for ever.
    deadline: tokio::time::Instant,
    timeout_ms: u64,
    rest: BytesMut,
    /// Bytes of `rest` that are known to have no further line break to count.
    scanned: usize,
    lines: usize,
    batch_size: usize,
    bytes_max: usize,
    next: u32,
    ended: bool,
}

impl Lines {
    fn new(body: Body, options: &BatchPlanOptions, bytes_max: usize) -> Self {
        let timeout = Duration::from_millis(options.timeout_ms);
        Self {
            body,
            deadline: tokio::time::Instant::now() + timeout,
            timeout_ms: options.timeout_ms,
            rest: BytesMut::new(),
            scanned: 0,
            lines: 0,
            batch_size: options.batch_size,
            bytes_max,
            next: 0,
            ended: false,
        }
    }

    /// The next chunk of `batch_size` lines that is in memory already.
    fn cut(&mut self) -> Option<Bytes> {
        while let Some(at) = memchr::memchr(b'\n', &self.rest[self.scanned..]) {
            self.scanned += at + 1;
            self.lines += 1;
            if self.lines == self.batch_size {
                let chunk = self.rest.split_to(self.scanned).freeze();
                (self.scanned, self.lines) = (0, 0);
                return Some(chunk);
            }
        }
        self.scanned = self.rest.len();
        None
    }

    /// The next chunk; `None` at the end.
    async fn chunk(&mut self) -> Option<Chunk> {
        loop {
            if let Some(chunk) = self.cut() {
                return Some(Chunk::Lines(chunk));
            }
            if self.ended {
                let last = self.rest.split().freeze();
                (self.scanned, self.lines) = (0, 0);
                return (!last.trim_ascii().is_empty()).then_some(Chunk::Lines(last));
            }
            if self.rest.len() > self.bytes_max {
                let limit = self.bytes_max as u64;
                return Some(self.broken(ApiError::too_large("chunk", self.rest.len(), limit)));
            }
            match tokio::time::timeout_at(self.deadline, self.body.frame()).await {
                Err(_) => {
                    let message = format!("the body did not end within {} ms", self.timeout_ms);
                    return Some(self.broken(ApiError::new(ErrorCode::TimedOut, message)));
                }
                Ok(None) => self.ended = true,
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                Ok(Some(Err(error))) => {
                    let message = format!("the body broke off: {error}");
                    return Some(self.broken(ApiError::new(ErrorCode::InvalidJson, message)));
                }
            }
        }
    }

    fn broken(&mut self, error: ApiError) -> Chunk {
        self.ended = true;
        self.rest.clear();
        (self.scanned, self.lines) = (0, 0);
        Chunk::Broken(error)
    }

    /// The next chunks, until they have `bytes` together.
    async fn group(&mut self, bytes: usize) -> Option<Group> {
        let first = self.next;
        let mut chunks = Vec::new();
        let mut size = 0;
        while size < bytes {
            let Some(chunk) = self.chunk().await else {
                break;
            };
            if let Chunk::Lines(lines) = &chunk {
                size += lines.len();
            }
            self.next += 1;
            chunks.push(chunk);
        }
        (!chunks.is_empty()).then_some(Group { first, chunks })
    }
}

/// Keeps the chunks of a body as they come, as a batch whose results are paged later.
async fn store(
    app: &App,
    processor: Processor,
    options: BatchPlanOptions,
    mut lines: Lines,
) -> Result<Reply, ApiError> {
    let queue = &app.queue;
    let id = queue
        .open_batch(options.queue_options(), params(&processor)?)
        .await
        .map_err(|e| refused(&e))?;
    let (mut items, mut chunks) = (0, 0);
    let stored = async {
        while let Some(chunk) = lines.chunk().await {
            let chunk = match chunk {
                Chunk::Lines(chunk) => chunk,
                Chunk::Broken(error) => return Err(error),
            };
            chunks += 1;
            if chunks > app.limits.batch_chunks {
                let limit = app.limits.batch_chunks as u64;
                return Err(ApiError::over("batchSize", "chunks", chunks, limit));
            }
            let count = chunk
                .split(|b| *b == b'\n')
                .filter(|l| !l.trim_ascii().is_empty())
                .count();
            items += count;
            append(app, id, Bytes::from(array_of(&chunk)), count as u64).await?;
        }
        if chunks == 0 {
            return Err(ApiError::invalid("data", "must not be empty"));
        }
        queue.seal_batch(id).await.map_err(|e| refused(&e))
    };
    if let Err(error) = stored.await {
        // It may have ended already: what matters is that it does not go on.
        let _ = queue.cancel_batch(id).await;
        return Err(error);
    }
    Ok(Reply::json(encode_submit_answer(id, items, chunks)?))
}

/// Appends a chunk, waiting while the queue is full: this is the backpressure.
async fn append(app: &App, id: BatchId, chunk: Bytes, items: u64) -> Result<(), ApiError> {
    const WAIT: Duration = Duration::from_millis(20);
    loop {
        match app.queue.append_chunk(id, chunk.clone(), items).await {
            Ok(_) => return Ok(()),
            Err(QueueError::Job(JobError::Full { .. }) | QueueError::Busy(_))
                if !app.is_draining() =>
            {
                tokio::time::sleep(WAIT).await;
            }
            Err(error) => return Err(refused(&error)),
        }
    }
}

/// All results of a stored batch, in order, a page in memory at a time.
pub(super) fn results(app: Arc<App>, id: BatchId, chunks: u32) -> Reply {
    const PAGE: usize = 16;
    let pages = stream::unfold((app, 0), move |(app, from)| async move {
        if from >= chunks {
            return None;
        }
        let page = match app.queue.batch_results(id, from, PAGE).await {
            Ok(page) if page.is_empty() => return None,
            Ok(page) => page,
            Err(error) => return Some((Err(error), (app, u32::MAX))),
        };
        let mut out = Vec::new();
        let mut next = from;
        for result in page {
            next = result.chunk + 1;
            let written = match &result.outcome {
                Ok(json) => append_lines(&mut out, json),
                Err(error) => Err(error.clone()),
            };
            if let Err(error) = written {
                error_line(&mut out, result.chunk, &error);
            }
        }
        Some((Ok(Bytes::from(out)), (app, next)))
    });
    Reply::stream(NDJSON, Body::from_stream(pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(batch_size: usize) -> BatchPlanOptions {
        BatchPlanOptions {
            batch_size,
            max_concurrency: 1,
            timeout_ms: 1000,
            stop_on_error: false,
            priority: 0,
        }
    }

    #[tokio::test]
    async fn bodies_are_cut_at_lines_wherever_frames_end() {
        let frames =
            ["1\n2", "\n\n3\n", "4"].map(|f| Ok::<_, std::convert::Infallible>(Bytes::from(f)));
        let mut lines = Lines::new(Body::from_stream(stream::iter(frames)), &options(2), 100);
        let mut chunks = Vec::new();
        while let Some(Chunk::Lines(chunk)) = lines.chunk().await {
            chunks.push(String::from_utf8(chunk.to_vec()).unwrap());
        }
        assert_eq!(chunks, ["1\n2\n", "\n3\n", "4"]);
    }

    #[tokio::test]
    async fn a_chunk_over_the_limit_ends_the_stream() {
        let mut lines = Lines::new(Body::from("x".repeat(200)), &options(2), 100);
        assert!(matches!(lines.chunk().await, Some(Chunk::Broken(_))));
        assert!(lines.chunk().await.is_none());
    }

    #[test]
    fn results_become_lines() {
        let mut out = Vec::new();
        append_lines(&mut out, b"[1,\n{\"a\":\n2}]").unwrap();
        append_lines(&mut out, b"{}").unwrap();
        assert_eq!(out, b"1\n{\"a\":2}\n{}\n");
    }
}
