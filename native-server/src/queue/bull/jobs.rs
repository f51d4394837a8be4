//! Jobs and tasks: what is asked and what changes them.

use bullmq::types::RetryOptions;
use bytes::Bytes;
use sommos_core::{
    jobs::{JobError, JobId, Kind, Record, Status, Submitted},
    time::Timestamp,
};

use super::{
    Bull,
    link::Conn,
    map::{self, FIELDS, View},
    options::{JOBS, TASKS},
    results,
    scripts::{self, run},
};
use crate::queue::{
    handle::entropy,
    types::{Filter, JobView, NewJob, QueueError},
};

/// Inputs of this many bytes and more are read on a thread of their own.
const LARGE: usize = 64 << 10;
/// Longest time that an idempotency key is kept beyond its job's own time, milliseconds.
const KEY_SPARE_MS: u64 = 7 * 86_400_000;
/// How many more are read of a list that is filtered afterwards.
const FILTERED: usize = 4;

impl Bull {
    /// Whether workers outside of this server run this type.
    pub(in crate::queue) fn is_external(&self, job_type: &str) -> bool {
        self.options.external.iter().any(|name| name == job_type)
    }

    fn queue_of(&self, kind: Kind, job_type: &str) -> String {
        match kind {
            Kind::Job if self.is_external(job_type) => job_type.to_owned(),
            Kind::Job => JOBS.to_owned(),
            _ => TASKS.to_owned(),
        }
    }

    fn bases(&self, kind: Kind) -> Vec<String> {
        let queues = self.options.queues_of(kind);
        queues.iter().map(|name| self.options.base(name)).collect()
    }

    /// Takes a job or task: it is in Redis when this answers. When this times out it may be there
    /// too; then it runs under an id that nobody was told, beside the one that the embedded queue
    /// gives, until it is removed when Redis answers again.
    pub(in crate::queue) async fn submit(&self, job: NewJob) -> Result<Submitted, QueueError> {
        if !self.link.is_up() {
            return Err(super::link::unreachable(
                "it is not asked until it answers again",
            ));
        }
        let id = JobId::new(job.spec.kind, self.now(), entropy()?);
        let own = job.spec.idempotency_key.is_none() && !self.is_external(&job.spec.job_type);
        let answer = self.link.within(self.add(id, job)).await;
        if own && matches!(answer, Err(QueueError::Unreachable(_))) {
            self.orphans.push(id);
        }
        answer
    }

    async fn add(&self, mut id: JobId, job: NewJob) -> Result<Submitted, QueueError> {
        let NewJob { spec, payload, .. } = job;
        let limit = self.options.job_bytes_max;
        if payload.len() > limit {
            return Err(QueueError::Job(JobError::OverLimit {
                field: "data",
                value: payload.len() as u64,
                limit: limit as u64,
            }));
        }
        self.check_room().await?;
        let key = spec.idempotency_key.as_deref();
        let key = key.map(|key| self.key_of(spec.kind, key));
        let mut deduplicated = false;
        if let Some(key) = &key {
            let (first, how) = self.claim(key, id, &spec).await?;
            deduplicated = how != 0;
            id = first;
            if how == 1 {
                return Ok(submitted(id, true));
            }
        }
        let external = self.is_external(&spec.job_type);
        let queue = self.queue_of(spec.kind, &spec.job_type);
        let data = match payload.len() {
            LARGE.. => tokio::task::spawn_blocking(move || map::data_of(&payload))
                .await
                .map_err(|_| QueueError::Closed)?,
            _ => map::data_of(&payload),
        };
        let options = map::options_of(&spec, id, external);
        let mark = self.mark_of(external, &queue, id, spec.timeout_ms);
        let confirm = key.as_ref().map(|key| (key.clone(), format!("+{id}")));
        self.link
            .ask(|conn| async move {
                let queue = conn.queue(&queue)?;
                queue.add(&spec.job_type, data).options(options).await?;
                note(&conn, mark, confirm).await
            })
            .await?;
        self.counts.added();
        Ok(submitted(id, deduplicated))
    }

    /// What others cannot tell of an external job: its time limit, for show.
    fn mark_of(
        &self,
        external: bool,
        queue: &str,
        id: JobId,
        timeout_ms: u64,
    ) -> Option<(String, u64)> {
        external.then(|| (format!("{}:{id}", self.options.base(queue)), timeout_ms))
    }

    fn key_of(&self, kind: Kind, key: &str) -> String {
        let word = if kind == Kind::Task { "task" } else { "job" };
        format!("{}:idempotency:{word}:{key}", self.options.prefix)
    }

    /// Takes an idempotency key, or finds who has it.
    async fn claim(
        &self,
        key: &str,
        id: JobId,
        spec: &sommos_core::jobs::JobSpec,
    ) -> Result<(JobId, u8), QueueError> {
        let runs = spec
            .timeout_ms
            .saturating_mul(u64::from(spec.max_attempts.max(1)));
        let keep = self.config.retention.age_ms;
        let keep = [spec.delay_ms, runs, KEY_SPARE_MS]
            .iter()
            .fold(keep, |sum, ms| sum.saturating_add(*ms));
        // Redis takes no more than 63 bits, and a century is enough.
        let keep = keep.min(100 * 366 * 86_400_000).to_string();
        let oldest = self.oldest().0.to_string();
        let mut keys = vec![key.to_owned()];
        keys.extend(self.bases(spec.kind));
        let text = id.to_string();
        let (first, how): (String, u8) = self
            .link
            .ask(|conn| async move {
                let arguments = [text.as_bytes(), keep.as_bytes(), oldest.as_bytes()];
                run(&conn, scripts::CLAIM, &keys, &arguments).await
            })
            .await?;
        let first = first.parse().map_err(|_| {
            QueueError::Store(format!("idempotency key of {first:?}, which is no id").into())
        })?;
        Ok((first, how))
    }

    /// Cancels a job wherever it is; gives whether it was running.
    pub(in crate::queue) async fn cancel(&self, id: JobId) -> Result<bool, QueueError> {
        let bases = self.bases(id.kind);
        let (text, now) = (id.to_string(), self.now().0.to_string());
        let keys = bases.clone();
        let (queue, was): (usize, String) = self
            .link
            .ask(|conn| async move {
                let reason = map::CANCELLED.as_bytes();
                let arguments = [text.as_bytes(), now.as_bytes(), reason];
                run(&conn, scripts::CANCEL, &keys, &arguments).await
            })
            .await?;
        let ended = |status| Err(QueueError::Job(JobError::Ended { id, status }));
        match was.as_str() {
            "missing" => Err(QueueError::Job(JobError::NotFound(id))),
            "completed" => ended(Status::Completed),
            "failed" => ended(Status::Failed),
            "cancelled" => ended(Status::Cancelled),
            "unknown" => Err(QueueError::Store(format!("{id} is in no state").into())),
            was => {
                // Its worker here need not wait for the event.
                if let Some(base) = bases.get(queue.wrapping_sub(1)) {
                    self.running.stop(&format!("{base}:{id}"), None);
                }
                Ok(was == "was active")
            }
        }
    }

    /// Puts a failed job back in line with all its attempts before it.
    pub(in crate::queue) async fn retry(&self, id: JobId) -> Result<(), QueueError> {
        let (view, record, _) = self.view(id).await?;
        let status = record.state.status;
        if status != Status::Failed {
            return Err(QueueError::Job(JobError::NotFailed { id, status }));
        }
        self.check_room().await?;
        let queues = self.options.queues_of(id.kind);
        let queue = queues.get(view.0.wrapping_sub(1)).copied();
        let queue = queue.unwrap_or(JOBS).to_owned();
        let base = self.options.base(&queue);
        let revived = self
            .link
            .ask(|conn| async move {
                let text = id.to_string();
                let keys = [base.as_str()];
                let failed: u8 = run(&conn, scripts::REVIVE, &keys, &[text.as_bytes()]).await?;
                let job = conn.queue(&queue)?.get_job(&text).await?;
                let Some(mut job) = job.filter(|_| failed == 1) else {
                    return Ok(false);
                };
                let options = RetryOptions {
                    reset_attempts_made: true,
                    reset_attempts_started: true,
                };
                job.retry("failed", Some(options)).await.map(|()| true)
            })
            .await?;
        match revived {
            true => Ok(()),
            // Somebody else was faster.
            false => {
                let status = self.view(id).await?.1.state.status;
                Err(QueueError::Job(JobError::NotFailed { id, status }))
            }
        }
    }

    /// Forgets ended jobs and tasks older than this; gives how many.
    pub(in crate::queue) async fn clear(&self, older_than_ms: u64) -> Result<usize, QueueError> {
        let mut cleared = 0;
        let queues = [self.options.queues_of(Kind::Job), vec![TASKS]].concat();
        for queue in queues {
            for state in ["completed", "failed"] {
                cleared += self.sweep(queue, state, older_than_ms, usize::MAX).await?;
            }
        }
        Ok(cleared)
    }

    /// The oldest end of a job that is still known.
    pub(super) fn oldest(&self) -> Timestamp {
        Timestamp(self.now().0.saturating_sub(self.config.retention.age_ms))
    }

    /// A job, as BullMQ has it and as SommOS shows it.
    async fn view(&self, id: JobId) -> Result<(View, Record, Option<usize>), QueueError> {
        let bases = self.bases(id.kind);
        let view = self
            .link
            .ask(|conn| async move { view_of(&conn, &bases, id).await })
            .await?;
        let unknown = || QueueError::Job(JobError::NotFound(id));
        let view = view.ok_or_else(unknown)?;
        let (record, place) = map::record(id, &view);
        if record.ended_at().is_some_and(|at| at < self.oldest()) {
            return Err(unknown());
        }
        Ok((view, record, place))
    }

    pub(in crate::queue) async fn job(&self, id: JobId) -> Result<JobView, QueueError> {
        let (_, record, position) = self.view(id).await?;
        Ok(JobView { record, position })
    }

    /// The stored result of a completed job.
    pub(in crate::queue) async fn result(&self, id: JobId) -> Result<Option<Bytes>, QueueError> {
        let bases = self.bases(id.kind);
        let found: Option<results::Found> = self
            .link
            .ask(|conn| async move {
                let text = id.to_string();
                run(&conn, scripts::RESULT, &bases, &[text.as_bytes()]).await
            })
            .await?;
        let Some((beside, value)) = found else {
            return Err(QueueError::Job(JobError::NotFound(id)));
        };
        Ok(results::stored(beside, value))
    }

    /// Jobs, newest first, at most `limit`, of the queues that servers share. Of a state that has
    /// many more, those that BullMQ orders first are looked at.
    pub(in crate::queue) async fn list(
        &self,
        filter: Filter,
        limit: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let states: &[&str] = match filter.status {
            Some(Status::Queued) => &["wait", "prioritized", "delayed"],
            Some(Status::Running) => &["active"],
            Some(Status::Completed) => &["completed"],
            Some(Status::Failed | Status::Cancelled) => &["failed"],
            None if filter.dead => &["failed"],
            None => &[
                "wait",
                "prioritized",
                "delayed",
                "active",
                "completed",
                "failed",
            ],
        };
        let kinds = match filter.kind {
            Some(kind) => vec![kind],
            None => vec![Kind::Job, Kind::Task],
        };
        let reads = limit.saturating_mul(FILTERED);
        let mut ids = Vec::new();
        for kind in kinds {
            let bases = self.bases(kind);
            let found = self
                .link
                .ask(|conn| async move { ids_in(&conn, &bases, states, reads).await })
                .await?;
            let ours = found.iter().filter_map(|id| id.parse::<JobId>().ok());
            ids.extend(ours.filter(|id| id.kind == kind));
        }
        ids.sort_unstable_by_key(|id| std::cmp::Reverse((id.created, id.entropy)));
        ids.dedup();
        let accepted = |record: &Record| {
            filter.status.is_none_or(|s| s == record.state.status)
                && (!filter.dead || record.state.dead)
                && record.ended_at().is_none_or(|at| at >= self.oldest())
        };
        let mut records = Vec::new();
        for page in ids.chunks(limit.max(1)) {
            let views = self.views(page).await?;
            records.extend(views.into_iter().filter(accepted));
            if records.len() >= limit {
                break;
            }
        }
        records.truncate(limit);
        Ok(records)
    }

    async fn views(&self, ids: &[JobId]) -> Result<Vec<Record>, QueueError> {
        let found = self
            .link
            .ask(|conn| async move {
                let asked = ids.iter().map(|id| {
                    let (conn, bases, id) = (&conn, self.bases(id.kind), *id);
                    async move {
                        let view = view_of(conn, &bases, id).await?;
                        Ok(view.map(|view| map::record(id, &view).0))
                    }
                });
                // One connection takes them all at once.
                futures_util::future::try_join_all(asked).await
            })
            .await?;
        Ok(found.into_iter().flatten().collect())
    }
}

fn submitted(id: JobId, deduplicated: bool) -> Submitted {
    Submitted {
        id,
        seq: 0,
        deduplicated,
    }
}

async fn view_of(conn: &Conn, bases: &[String], id: JobId) -> Result<Option<View>, bullmq::Error> {
    let text = id.to_string();
    let mut arguments = vec![text.as_bytes()];
    arguments.extend(FIELDS.iter().map(|field| field.as_bytes()));
    run(conn, scripts::VIEW, bases, &arguments).await
}

/// The ids in these states, at most so many of each.
async fn ids_in(
    conn: &Conn,
    bases: &[String],
    states: &[&str],
    limit: usize,
) -> Result<Vec<String>, bullmq::Error> {
    let mut pipe = redis::pipe();
    let last = isize::try_from(limit).unwrap_or(isize::MAX).max(1) - 1;
    for base in bases {
        for state in states {
            let key = format!("{base}:{state}");
            match *state {
                "wait" | "active" => pipe.lrange(key, 0, last),
                // The newest at the end.
                _ => pipe.zrevrange(key, 0, last),
            };
        }
    }
    let mut connection = conn.redis().connection();
    let found: Vec<Vec<String>> = pipe.query_async(&mut connection).await?;
    Ok(found.into_iter().flatten().collect())
}

/// What is written after a job was added.
async fn note(
    conn: &Conn,
    mark: Option<(String, u64)>,
    confirm: Option<(String, String)>,
) -> Result<(), bullmq::Error> {
    if mark.is_none() && confirm.is_none() {
        return Ok(());
    }
    let mut pipe = redis::pipe();
    if let Some((job, timeout_ms)) = mark {
        pipe.hset(job, "sommosTimeout", timeout_ms).ignore();
    }
    if let Some((key, value)) = confirm {
        pipe.cmd("SET")
            .arg(key)
            .arg(value)
            .arg("XX")
            .arg("KEEPTTL")
            .ignore();
    }
    let mut connection = conn.redis().connection();
    Ok(pipe.query_async(&mut connection).await?)
}
