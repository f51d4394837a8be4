//! Jobs and tasks: what is asked and what changes them.

use std::sync::Arc;

use bullmq::types::RetryOptions;
use sommos_core::jobs::{JobError, JobId, Kind, Status, Submitted};

use super::{
    Bull,
    link::Conn,
    map,
    options::{JOBS, TASKS},
    scripts::{self, run},
};
use crate::queue::{
    handle::entropy,
    types::{NewJob, QueueError},
};

/// Inputs of this many bytes and more are read on a thread of their own.
const LARGE: usize = 64 << 10;
/// Longest time that an idempotency key is kept beyond its job's own time, milliseconds.
const KEY_SPARE_MS: u64 = 7 * 86_400_000;

impl Bull {
    /// Whether workers outside of this server run this type.
    pub(in crate::queue) fn is_external(&self, job_type: &str) -> bool {
        self.options.external.iter().any(|name| name == job_type)
    }

    /// The types of [`Self::is_external`].
    pub(in crate::queue) fn external(&self) -> &[String] {
        &self.options.external
    }

    fn queue_of(&self, kind: Kind, job_type: &str) -> String {
        match kind {
            Kind::Job if self.is_external(job_type) => job_type.to_owned(),
            Kind::Job => JOBS.to_owned(),
            _ => TASKS.to_owned(),
        }
    }

    pub(super) fn bases(&self, kind: Kind) -> Vec<String> {
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
        let options = map::options_of(&spec, id, self.counts.next_seq(), external);
        let mark = self.mark_of(external, &queue, id, spec.timeout_ms);
        let confirm = key.as_ref().map(|key| (key.clone(), format!("+{id}")));
        if external || spec.delay_ms > 0 {
            let add = |conn: Arc<Conn>| async move {
                let queue = conn.queue(&queue)?;
                queue.add(&spec.job_type, data).options(options).await?;
                note(&conn, mark, confirm).await
            };
            self.link.ask(add).await?;
        } else {
            let entry = map::entry_of(&spec, id, &data, &options);
            let added = self.adds[usize::from(spec.kind == Kind::Task)].ask(entry);
            added.await.unwrap_or(Err(QueueError::Closed))?;
            if confirm.is_some() {
                self.link
                    .ask(|conn| async move { note(&conn, mark, confirm).await })
                    .await?;
            }
        }
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
}

fn submitted(id: JobId, deduplicated: bool) -> Submitted {
    Submitted {
        id,
        seq: 0,
        deduplicated,
    }
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
