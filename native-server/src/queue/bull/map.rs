//! SommOS's jobs as BullMQ's, and back.
//!
//! `data` is the input itself wherever it is JSON, so that dashboards and workers of other
//! languages see it, and can add native jobs with nothing else. What BullMQ has no option for (time
//! limit, limits of the backoff) stands in the type of the backoff, which travels with the job and
//! which only our own workers read; a job without it has our defaults.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bullmq::{JobOptions, types::BackoffStrategy};
use bytes::Bytes;
use serde_json::{Value, json};
use sommos_core::{
    jobs::{Backoff, JobId, JobSpec, Kind, Record, State, Status},
    time::Timestamp,
    wire::tasks::PAYLOAD_JSON,
};
use twox_hash::XxHash3_128;

use super::adds::Entry;

/// Highest priority, and minus the lowest.
const PRIORITY_MAX: i32 = 1_000_000;
/// What the type of our backoff begins with.
const BACKOFF: &str = "sommos";
/// The only field of `data` when the input is no JSON: its bytes in base64.
const PACKED: &str = "$payload";
/// BullMQ's reason for a job that lost its worker too often.
const STALLED: &str = "job stalled more than allowable limit";
/// The reason of a cancelled job.
pub(super) const CANCELLED: &str = "cancelled by a caller";

/// BullMQ runs lower numbers first and what has none before all: ours from highest to lowest are
/// 1 to 2,000,001, below its limit of 2,097,152.
pub(super) fn priority_of(ours: i32) -> u32 {
    (PRIORITY_MAX + 1 - ours.clamp(-PRIORITY_MAX, PRIORITY_MAX)).unsigned_abs()
}

fn priority_from(theirs: u32) -> i32 {
    match i32::try_from(theirs) {
        // Added elsewhere, without one.
        Ok(0) | Err(_) => 0,
        Ok(theirs) => PRIORITY_MAX + 1 - theirs,
    }
}

/// What a job carries besides BullMQ's options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Meta {
    /// Longest run of one attempt, milliseconds.
    pub timeout_ms: u64,
    /// Wait between attempts.
    pub backoff: Backoff,
    /// Of the jitter.
    pub seed: u64,
    /// Order of submission to its server: for jobs of one millisecond.
    pub seq: u64,
}

impl Meta {
    /// As the type of a backoff.
    pub(super) fn encode(&self) -> String {
        let Backoff {
            base_ms,
            max_ms,
            jitter,
        } = self.backoff;
        let (timeout, seed, seq) = (self.timeout_ms, self.seed, self.seq);
        format!("{BACKOFF}:{base_ms}:{max_ms}:{jitter}:{timeout}:{seed}:{seq}")
    }

    /// From the type of a backoff.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        if parts.next() != Some(BACKOFF) {
            return None;
        }
        let mut number = || parts.next()?.parse::<f64>().ok();
        let (base, max, jitter, timeout) = (number()?, number()?, number()?, number()?);
        Some(Self {
            timeout_ms: timeout as u64,
            backoff: Backoff {
                base_ms: base as u64,
                max_ms: max as u64,
                jitter: jitter as f32,
            },
            seed: parts.next()?.parse().ok()?,
            seq: parts.next()?.parse().ok()?,
        })
    }

    /// Of a job's options; those of a job added elsewhere are the defaults of its kind.
    pub(super) fn of(kind: Kind, options: &JobOptions) -> Self {
        let spec = JobSpec::new(kind, "");
        let mut meta = Self {
            timeout_ms: spec.timeout_ms,
            backoff: spec.backoff,
            seed: 0,
            seq: 0,
        };
        match &options.backoff {
            Some(BackoffStrategy::Custom(text)) => Self::decode(text).unwrap_or(meta),
            Some(BackoffStrategy::Fixed(ms)) => {
                meta.backoff = Backoff {
                    base_ms: *ms,
                    max_ms: *ms,
                    jitter: 0.0,
                };
                meta
            }
            Some(BackoffStrategy::Exponential(ms)) => {
                meta.backoff = Backoff {
                    base_ms: *ms,
                    max_ms: u64::MAX,
                    jitter: 0.0,
                };
                meta
            }
            None => {
                // BullMQ's way: again at once.
                meta.backoff.base_ms = 0;
                meta
            }
        }
    }
}

/// How a job is added. `external`: for workers that know BullMQ's own kinds of backoff only.
pub(super) fn options_of(spec: &JobSpec, id: JobId, seq: u64, external: bool) -> JobOptions {
    let base = spec.backoff.base_ms.max(1);
    let backoff = match external {
        true => BackoffStrategy::Exponential(base),
        false => BackoffStrategy::Custom(
            Meta {
                timeout_ms: spec.timeout_ms,
                backoff: Backoff {
                    base_ms: base,
                    ..spec.backoff
                },
                seed: id.entropy[1],
                seq,
            }
            .encode(),
        ),
    };
    let created = SystemTime::UNIX_EPOCH + Duration::from_millis(id.created.0);
    JobOptions::new()
        .job_id(id.to_string())
        .timestamp(created)
        .priority(priority_of(spec.priority))
        .attempts(spec.max_attempts.max(1))
        .delay(Duration::from_millis(spec.delay_ms))
        .backoff(backoff)
}

/// A job of our own workers as it stands in Redis, with the options of [`options_of`].
pub(super) fn entry_of(spec: &JobSpec, id: JobId, data: &Value, options: &JobOptions) -> Entry {
    let backoff = match &options.backoff {
        Some(BackoffStrategy::Custom(name)) => json!({"type": name, "delay": 0}),
        other => json!(other),
    };
    let (id, created, priority) = (id.to_string(), id.created.0, priority_of(spec.priority));
    let options = json!({
        "priority": priority,
        "attempts": options.attempts,
        "backoff": backoff,
        "jobId": id,
    });
    Entry {
        id,
        name: spec.job_type.to_string(),
        data: data.to_string(),
        options: options.to_string(),
        created,
        priority,
    }
}

/// An input as BullMQ's `data`.
pub(super) fn data_of(payload: &[u8]) -> Value {
    let plain = payload
        .split_first()
        .filter(|(tag, _)| **tag == PAYLOAD_JSON)
        .and_then(|(_, json)| serde_json::from_slice(json).ok());
    match plain {
        Some(value) if !is_packed(&value) => value,
        _ => json!({PACKED: BASE64_STANDARD.encode(payload)}),
    }
}

fn is_packed(value: &Value) -> bool {
    let object = value.as_object().filter(|object| object.len() == 1);
    object.is_some_and(|object| object.contains_key(PACKED))
}

/// The input in BullMQ's `data`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn payload_from(data: &Value) -> Result<Bytes, String> {
    if is_packed(data) {
        let text = data[PACKED].as_str().unwrap_or_default();
        let bytes = BASE64_STANDARD.decode(text);
        return bytes
            .map(Bytes::from)
            .map_err(|error| format!("data.{PACKED}: {error}"));
    }
    let mut payload = vec![PAYLOAD_JSON];
    serde_json::to_writer(&mut payload, data).map_err(|error| format!("data: {error}"))?;
    Ok(payload.into())
}

/// The id of a job in one of our queues: that of one added elsewhere is made up from its own, and
/// is for executors and logs only.
pub(super) fn id_of(kind: Kind, queue: &str, id: &str, created: u64) -> JobId {
    let ours = id.parse().ok().filter(|id: &JobId| id.kind == kind);
    ours.unwrap_or_else(|| {
        let hash = XxHash3_128::oneshot(format!("{queue}:{id}").as_bytes());
        JobId::new(kind, Timestamp(created), hash.to_be_bytes())
    })
}

/// Percent in BullMQ's progress: a number, or an object with one.
pub(super) fn percent_of(progress: &Value) -> Option<u8> {
    let number = match progress {
        Value::Object(fields) => ["progress", "percent", "percentage"]
            .iter()
            .find_map(|name| fields.get(*name)?.as_f64()),
        other => other.as_f64(),
    };
    number.map(|percent| percent.clamp(0.0, 100.0) as u8)
}

/// The fields of a job's hash that [`record`] reads, in this order.
pub(super) const FIELDS: [&str; 15] = [
    "name",
    "opts",
    "timestamp",
    "priority",
    "ats",
    "processedOn",
    "finishedOn",
    "failedReason",
    "progress",
    "sommosError",
    "sommosCode",
    "sommosFinal",
    "sommosCancelled",
    "sommosTimeout",
    "atm",
];

/// The answer of [`super::scripts::VIEW`]: queue, state, score of a delay, place in line, fields.
pub(super) type View = (
    usize,
    String,
    Option<f64>,
    Option<usize>,
    Vec<Option<String>>,
);

/// A job as SommOS shows it, and its place in line.
pub(super) fn record(id: JobId, view: &View) -> (Record, Option<usize>) {
    let (_, word, score, place, fields) = view;
    let text = |name: &str| -> Option<&str> {
        let index = FIELDS.iter().position(|field| *field == name)?;
        fields.get(index)?.as_deref()
    };
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let time = |name: &str| number(name).map(Timestamp);
    let options: JobOptions = text("opts")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let meta = Meta::of(id.kind, &options);
    let mut spec = JobSpec::new(id.kind, text("name").unwrap_or_default());
    spec.priority = priority_from(options.priority.unwrap_or(0));
    spec.delay_ms = options.delay.unwrap_or(0);
    spec.timeout_ms = number("sommosTimeout").unwrap_or(meta.timeout_ms);
    spec.max_attempts = options.attempts.unwrap_or(1).max(1);
    spec.backoff = meta.backoff;

    let attempts = number("ats").unwrap_or(0) as u32;
    let status = match word.as_str() {
        "completed" => Status::Completed,
        "failed" if text("sommosCancelled").is_some() => Status::Cancelled,
        "failed" => Status::Failed,
        "active" => Status::Running,
        _ => Status::Queued,
    };
    let reason = Reason {
        failed: text("failedReason").filter(|_| status == Status::Failed),
        noted: text("sommosError"),
        code: text("sommosCode"),
        last: text("sommosFinal") == Some("1"),
        out: number("atm").unwrap_or(0) >= u64::from(spec.max_attempts),
    };
    let (error, code, dead) = match status {
        Status::Completed => (None, None, false),
        Status::Failed => reason.read(attempts),
        _ => (
            reason.noted.map(Into::into),
            reason.code.map(Into::into),
            false,
        ),
    };
    // A delayed job's score is the time it is due, with twelve bits for the order within it.
    let due = score.map(|score| Timestamp((score / 4096.0) as u64));
    let progress = text("progress").and_then(|text| serde_json::from_str(text).ok());
    let ended = time("finishedOn");
    let state = State {
        status,
        dead,
        attempts,
        token: 0,
        run_at: due.unwrap_or(id.created.plus_ms(spec.delay_ms)),
        started_at: time("processedOn"),
        completed_at: ended.filter(|_| matches!(status, Status::Completed | Status::Cancelled)),
        failed_at: ended.filter(|_| status == Status::Failed),
        progress: match status {
            Status::Completed => 100,
            Status::Queued => 0,
            _ => progress.as_ref().and_then(percent_of).unwrap_or(0),
        },
        error,
        code,
        result_bytes: 0,
    };
    let record = Record {
        seq: meta.seq,
        id,
        group: 0,
        spec,
        state,
    };
    (record, place.filter(|_| status == Status::Queued))
}

struct Reason<'a> {
    failed: Option<&'a str>,
    noted: Option<&'a str>,
    code: Option<&'a str>,
    /// Another attempt would not have helped.
    last: bool,
    /// No attempt is left.
    out: bool,
}

impl Reason<'_> {
    /// Message, code, and whether it is a dead letter.
    fn read(&self, attempts: u32) -> (Option<Box<str>>, Option<Box<str>>, bool) {
        match self.failed {
            Some(STALLED) => (
                Some(lost(attempts).into()),
                Some("WORKER_LOST".into()),
                true,
            ),
            // What failed in a worker of ours was noted before.
            Some(reason) if self.noted == Some(reason) => {
                (Some(reason.into()), self.code.map(Into::into), !self.last)
            }
            reason => (reason.map(Into::into), None, self.out),
        }
    }
}

/// As core's scheduler words it.
fn lost(attempts: u32) -> String {
    format!("its worker was lost in attempt {attempts} of {attempts}")
}

/// A reason of BullMQ's `failed` event, and whether it means a lost worker.
pub(super) fn reason_of(text: &str, attempts: u32) -> (Box<str>, bool) {
    match text {
        STALLED => (lost(attempts).into(), true),
        other => (other.into(), false),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn priorities_keep_their_order_and_come_back() {
        let ours = [PRIORITY_MAX, 7, 1, 0, -1, -PRIORITY_MAX];
        let theirs = ours.map(priority_of);
        assert!(theirs.is_sorted() && theirs[0] == 1 && theirs[5] < 1 << 21);
        assert_eq!(theirs.map(priority_from), ours);
    }

    #[test]
    fn what_travels_in_the_backoff_comes_back() {
        let meta = Meta {
            timeout_ms: 5000,
            backoff: Backoff::default(),
            seed: u64::MAX,
            seq: 9,
        };
        assert_eq!(Meta::decode(&meta.encode()), Some(meta));
        assert_eq!(Meta::decode("custom"), None);
    }

    #[test]
    fn inputs_are_plain_json_where_they_can_be() {
        let plain = br#"J{"a":[1,2.5]}"#;
        assert_eq!(data_of(plain), json!({"a": [1, 2.5]}));
        assert_eq!(&*payload_from(&data_of(plain)).unwrap(), plain);
        for other in [&b"N\x93NUMPY"[..], br#"J{"$payload":"x"}"#, b""] {
            let data = data_of(other);
            assert!(is_packed(&data), "{data}");
            assert_eq!(&*payload_from(&data).unwrap(), other);
        }
    }
}
