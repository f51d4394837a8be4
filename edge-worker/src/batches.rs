//! Batches as NDJSON: processed as they pass, or kept chunk by chunk; and their results as lines.

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use sommos_core::{
    batch::lines::{LineCutter, append_error, append_lines, array_of},
    control::Unstoppable,
    jobs::BatchId,
    limits::Limits,
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        batch::{self, BatchPlanOptions, Processor, decode_query, run_built_in},
    },
};
use worker::ByteStream;

use crate::{
    body::broken,
    call::{Call, Object},
    http::{Answer, Asked, runs},
    objects::jobs::Command,
};

const NDJSON: &str = "application/x-ndjson";
/// Chunks are sent to the object together until they have so many bytes.
const SEND_BYTES: usize = 1 << 20;

/// A body of lines: an answer of lines, or, when the client takes only JSON, a batch that is kept.
pub(crate) async fn process_lines(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let call = asked.call;
    let (settings, limits) = (&call.settings, &call.settings.limits);
    let timeout_ms = settings.defaults.batch_timeout_ms;
    let (processor, options) = decode_query(asked.query, timeout_ms, limits)?;
    runs(&processor)?;
    let stored = asked.accept.contains("application/json") && !asked.accept.contains(NDJSON);
    let body = match asked.request.inner().body() {
        Some(_) => Some(asked.request.stream().map_err(broken)?),
        None => None,
    };
    let lines = Lines {
        body,
        cutter: LineCutter::new(options.batch_size, limits.chunk_bytes),
        bytes_max: limits.body_bytes,
        next: 0,
    };
    if stored {
        return keep(call, processor, options, lines).await;
    }
    let work = Work {
        processor,
        limits: limits.clone(),
        now: call.now,
        stop_on_error: options.stop_on_error,
    };
    stream_of(work, lines)
}

struct Work {
    processor: Processor,
    limits: Limits,
    #[cfg_attr(
        not(feature = "processors"),
        expect(dead_code, reason = "JavaScript's clock")
    )]
    now: Timestamp,
    stop_on_error: bool,
}

impl Work {
    fn chunk(&self, lines: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let (array, _) = array_of(lines);
        let result = self
            .run(&array)
            .map_err(|error| error.message.into_owned())?;
        append_lines(out, &result).map_err(|error| error.to_string())
    }

    fn run(&self, array: &[u8]) -> Result<Vec<u8>, ApiError> {
        #[cfg(feature = "processors")]
        if let Processor::Source(source) = &self.processor {
            return crate::processors::run(source, array, self.now);
        }
        run_built_in(&self.processor, array, &Unstoppable, &self.limits)
    }
}

/// Chunks are processed as they come, each answered before the next is read: the client's reading
/// is the backpressure.
fn stream_of(work: Work, lines: Lines) -> Result<Answer, ApiError> {
    let output = stream::unfold(Some((work, lines)), |state| async move {
        let (work, mut lines) = state?;
        let (index, chunk) = lines.chunk().await?;
        let mut out = Vec::new();
        let outcome = match &chunk {
            Ok(lines) => work.chunk(lines, &mut out),
            Err(error) => Err(error.message.to_string()),
        };
        let mut go = chunk.is_ok();
        if let Err(error) = outcome {
            out.clear();
            append_error(&mut out, index, &error);
            go &= !work.stop_on_error;
        }
        Some((Ok::<_, worker::Error>(out), go.then_some((work, lines))))
    });
    let sent = worker::Response::builder()
        .with_header("content-type", NDJSON)
        .and_then(|built| built.from_stream(output));
    sent.map(Answer::Sent)
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))
}

/// Chunks of a body of lines, numbered.
struct Lines {
    body: Option<ByteStream>,
    cutter: LineCutter,
    bytes_max: usize,
    next: u32,
}

impl Lines {
    async fn chunk(&mut self) -> Option<(u32, Result<Vec<u8>, ApiError>)> {
        let chunk = self.read().await?;
        let index = self.next;
        self.next += 1;
        if chunk.is_err() {
            self.body = None;
            self.cutter.clear();
        }
        Some((index, chunk))
    }

    async fn read(&mut self) -> Option<Result<Vec<u8>, ApiError>> {
        loop {
            if let Some(chunk) = self.cutter.chunk() {
                return Some(Ok(chunk));
            }
            let waiting = self.cutter.waiting();
            if waiting > self.bytes_max {
                let limit = self.bytes_max as u64;
                return Some(Err(ApiError::too_large("chunk", waiting, limit)));
            }
            let Some(body) = &mut self.body else {
                return self.cutter.end().map(Ok);
            };
            match body.next().await {
                Some(Ok(piece)) => self.cutter.push(&piece),
                Some(Err(error)) => {
                    let error = broken(error);
                    return Some(Err(ApiError::new(ErrorCode::InvalidJson, error.message)));
                }
                None => self.body = None,
            }
        }
    }
}

/// Keeps the chunks as they come, as a batch whose results are paged later.
async fn keep(
    call: &Call,
    processor: Processor,
    options: BatchPlanOptions,
    lines: Lines,
) -> Result<Answer, ApiError> {
    let open = Command::Open {
        processor,
        options: options.queue_options(),
    };
    let none: [&[u8]; 0] = [];
    let opened = call.ask::<_, BatchId>(Object::Jobs, &open, &none).await?;
    let batch = opened.ok_or_else(|| ApiError::new(ErrorCode::Internal, "no batch was opened"))?;
    let batch = batch.head;
    match append(call, batch, lines).await {
        Ok((total, chunks)) => {
            let seal = Command::Seal {
                batch,
                total,
                chunks,
            };
            let sealed = call.send(Object::Jobs, &seal, &none).await;
            sealed.map(Answer::Sent)
        }
        Err(error) => {
            // It may have ended already: what matters is that it does not go on.
            let _ = call
                .send(Object::Jobs, &Command::Abandon(batch), &none)
                .await;
            Err(error)
        }
    }
}

/// Sends chunks in groups; gives the records and the chunks. The object's answer, which comes when
/// they are stored, is the backpressure.
async fn append(call: &Call, batch: BatchId, mut lines: Lines) -> Result<(usize, usize), ApiError> {
    let (mut total, mut sent) = (0, 0);
    let (mut chunks, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
    loop {
        let chunk = lines.chunk().await;
        let more = chunk.is_some();
        if let Some((_, chunk)) = chunk {
            let (array, count) = array_of(&chunk?);
            bytes += array.len();
            total += count as usize;
            chunks.push(array);
            items.push(count);
        }
        let most = call.settings.limits.batch_chunks;
        if sent + chunks.len() > most {
            let got = sent + chunks.len();
            return Err(ApiError::over("batchSize", "chunks", got, most as u64));
        }
        if !chunks.is_empty() && (bytes >= SEND_BYTES || !more) {
            sent += chunks.len();
            let items = core::mem::take(&mut items);
            let command = Command::Append { batch, items };
            call.ask::<_, ()>(Object::Jobs, &command, &chunks).await?;
            chunks.clear();
            bytes = 0;
        }
        if !more {
            break;
        }
    }
    match sent {
        0 => Err(ApiError::invalid("data", "must not be empty")),
        _ => Ok((total, sent)),
    }
}

/// One page of a batch's results, as the object answers it.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: PageData<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageData<'a> {
    #[serde(borrow)]
    chunks: Vec<PageChunk<'a>>,
    next_chunk: Option<u32>,
}

#[derive(Deserialize)]
struct PageChunk<'a> {
    chunk: u32,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    error: Option<String>,
}

/// All results of a batch that is kept, in order, a page in memory at a time.
pub(crate) async fn results(call: &Call, param: &str) -> Result<Answer, ApiError> {
    batch::decode_id(param)?;
    let (call, path) = (
        call.clone(),
        format!("/api/performance/batch/{param}/results"),
    );
    // The first page before the status: an unknown batch is a 404.
    let first = page(&call, &path, 0).await?;
    let pages = stream::unfold(Some((call, path, first)), |state| async move {
        let (call, path, (out, next)) = state?;
        let state = match next {
            None => None,
            Some(next) => match page(&call, &path, next).await {
                Ok(following) => Some((call, path, following)),
                Err(error) => {
                    worker::console_error!("results broke off: {error}");
                    return Some((Err(worker::Error::RustError(error.to_string())), None));
                }
            },
        };
        Some((Ok(out), state))
    });
    let sent = worker::Response::builder()
        .with_header("content-type", NDJSON)
        .and_then(|built| built.from_stream(pages));
    sent.map(Answer::Sent)
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))
}

async fn page(call: &Call, path: &str, from: u32) -> Result<(Vec<u8>, Option<u32>), ApiError> {
    const PAGE: usize = 16;
    let none: [&[u8]; 0] = [];
    let command = Command::Call {
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: format!("chunk={from}&limit={PAGE}"),
        accept: String::new(),
    };
    let mut response = call.send(Object::Jobs, &command, &none).await?;
    let body = response.bytes().await.map_err(broken)?;
    if response.status_code() != 200 {
        return Err(crate::call::read_error(&body));
    }
    let unread = |error: serde_json::Error| ApiError::new(ErrorCode::Internal, error.to_string());
    let page: Page<'_> = serde_json::from_slice(&body).map_err(unread)?;
    let mut out = Vec::new();
    for chunk in page.data.chunks {
        match (chunk.items, chunk.error) {
            (Some(items), _) => {
                append_lines(&mut out, items.get().as_bytes()).map_err(unread)?;
            }
            (None, error) => append_error(&mut out, chunk.chunk, &error.unwrap_or_default()),
        }
    }
    Ok((out, page.data.next_chunk))
}
