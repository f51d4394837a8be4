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
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use sommos_core::{
    batch::{
        lines::{LineCutter, append_error, append_lines, array_of},
        operations::RowPipeline,
    },
    control::{Control, Stopped},
    jobs::{BatchId, JobError},
    wire::{
        ApiError, ErrorCode,
        batch::{BatchPlanOptions, Processor, decode_query, encode_submit_answer},
    },
};

use super::{
    Call,
    batches::{NDJSON, params},
    jobs::refused,
    reply::Reply,
};
use crate::{app::App, queue::QueueError};

/// Chunks are handed to a worker together until they have so many bytes: a hop to another thread
/// costs some microseconds, a small chunk of a built-in processor not much more.
const GROUP_BYTES: usize = 256 << 10;

pub(super) async fn process(call: Call) -> Result<Reply, ApiError> {
    let timeout_ms = call.app.config.batch_timeout_ms;
    let (processor, options) = decode_query(call.query(), timeout_ms, &call.app.limits)?;
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
                append_error(&mut out, index, &error);
                failed = true;
            }
        }
        (Bytes::from(out), failed)
    })
    .await;
    result.unwrap_or_else(|error| {
        let mut out = Vec::new();
        append_error(&mut out, first, &error.to_string());
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
        let (array, _) = array_of(lines);
        let result = self
            .app
            .executor
            .run_chunk(&self.processor, &array, &*self.control)
            .map_err(|failure| failure.message)?;
        append_lines(out, &result).map_err(|error| error.to_string())
    }
}

/// Cuts a body into chunks of whole lines.
struct Lines {
    body: Body,
    /// When the whole body must have come: a client that stops sending must not stay for ever.
    deadline: tokio::time::Instant,
    timeout_ms: u64,
    cutter: LineCutter,
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
            cutter: LineCutter::new(options.batch_size, bytes_max),
            bytes_max,
            next: 0,
            ended: false,
        }
    }

    /// The next chunk; `None` at the end.
    async fn chunk(&mut self) -> Option<Chunk> {
        loop {
            if let Some(chunk) = self.cutter.chunk() {
                return Some(Chunk::Lines(chunk.into()));
            }
            if self.ended {
                return self.cutter.end().map(|last| Chunk::Lines(last.into()));
            }
            let waiting = self.cutter.waiting();
            if waiting > self.bytes_max {
                let limit = self.bytes_max as u64;
                return Some(self.broken(ApiError::too_large("chunk", waiting, limit)));
            }
            match tokio::time::timeout_at(self.deadline, self.body.frame()).await {
                Err(_) => {
                    let message = format!("the body did not end within {} ms", self.timeout_ms);
                    return Some(self.broken(ApiError::new(ErrorCode::TimedOut, message)));
                }
                Ok(None) => self.ended = true,
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.cutter.push(&data);
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
        self.cutter.clear();
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
            let (array, count) = array_of(&chunk);
            items += count as usize;
            append(app, id, Bytes::from(array), u64::from(count)).await?;
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
                Ok(json) => append_lines(&mut out, json).map_err(|error| error.to_string()),
                Err(error) => Err(error.clone()),
            };
            if let Err(error) = written {
                append_error(&mut out, result.chunk, &error);
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
}
