//! The way in: limits, idempotency, room.

use super::{
    BatchId, EventKind, JobError, JobId, JobSpec, Kind, Record, Scheduler, State, Submitted,
};
use crate::time::Timestamp;

impl Scheduler {
    /// Takes a job or task; its id is made of `now` and 16 random bytes.
    ///
    /// # Errors
    /// [`JobError::Full`], or [`JobError::OverLimit`] naming the field.
    pub fn submit(
        &mut self,
        now: Timestamp,
        entropy: [u8; 16],
        spec: JobSpec,
    ) -> Result<Submitted, JobError> {
        let now = self.advance(now);
        self.check(&spec)?;
        if let Some(key) = &spec.idempotency_key
            && let Some(&slot) = self.by_key.get(&(spec.kind, key.clone()))
            && let Some(job) = self.slots[slot as usize].as_ref()
        {
            let Record { id, seq, .. } = job.record;
            return Ok(Submitted {
                id,
                seq,
                deduplicated: true,
            });
        }
        self.check_room(spec.kind, 1, spec.payload_bytes)?;
        let id = JobId::new(spec.kind, now, entropy);
        let seq = self.add(now, id, 0, spec);
        Ok(Submitted {
            id,
            seq,
            deduplicated: false,
        })
    }

    /// Takes one chunk of the batch that has this key.
    ///
    /// # Errors
    /// [`JobError::NoBatch`], [`JobError::Full`] or [`JobError::OverLimit`].
    pub fn submit_chunk(
        &mut self,
        now: Timestamp,
        group: u64,
        batch: BatchId,
        chunk: u32,
        spec: JobSpec,
    ) -> Result<Submitted, JobError> {
        let now = self.advance(now);
        self.check(&spec)?;
        if self.ready.group(group).is_none() {
            return Err(JobError::NoBatch(batch));
        }
        self.check_room(Kind::Chunk, 1, spec.payload_bytes)?;
        let id = batch.chunk(chunk);
        let seq = self.add(
            now,
            id,
            group,
            JobSpec {
                kind: Kind::Chunk,
                ..spec
            },
        );
        Ok(Submitted {
            id,
            seq,
            deduplicated: false,
        })
    }

    /// Makes room for a batch of which at most `limit` chunks run at once; gives its key.
    pub fn open_group(&mut self, limit: u32) -> u64 {
        let key = self.take_seq();
        self.ready.open(key, limit);
        key
    }

    /// Forgets a batch whose chunks have all ended.
    pub fn close_group(&mut self, key: u64) {
        self.ready.close(key);
    }

    fn add(&mut self, now: Timestamp, id: JobId, group: u64, mut spec: JobSpec) -> u64 {
        if spec.timeout_ms == 0 {
            spec.timeout_ms = self.config.timeout_max_ms;
        }
        let seq = self.take_seq();
        let run_at = now.plus_ms(spec.delay_ms);
        let state = State {
            run_at,
            ..State::default()
        };
        let key = spec.idempotency_key.clone().map(|key| (spec.kind, key));
        self.live_bytes += spec.payload_bytes;
        let slot = self.place(
            Record {
                seq,
                id,
                group,
                spec,
                state,
            },
            false,
        );
        if let Some(key) = key {
            self.by_key.insert(key, slot);
        }
        let counters = &mut self.counters[id.kind.index()];
        counters.total += 1;
        counters.queued += 1;
        self.enqueue(slot);
        self.touch(slot);
        self.tell(slot, EventKind::Queued);
        seq
    }

    /// Whether this specification would be taken, were there room.
    ///
    /// # Errors
    /// [`JobError::OverLimit`] naming the field.
    pub fn check(&self, spec: &JobSpec) -> Result<(), JobError> {
        let config = &self.config;
        let key = spec.idempotency_key.as_deref().map_or(0, str::len);
        let fields = [
            (
                "job type bytes",
                spec.job_type.len() as u64,
                config.name_bytes as u64,
            ),
            (
                "idempotency key bytes",
                key as u64,
                config.name_bytes as u64,
            ),
            ("delay ms", spec.delay_ms, config.delay_max_ms),
            ("timeout ms", spec.timeout_ms, config.timeout_max_ms),
            (
                "attempts",
                u64::from(spec.max_attempts),
                u64::from(config.attempts_max),
            ),
        ];
        let over = fields.into_iter().find(|(_, value, limit)| value > limit);
        over.map_or(Ok(()), |(field, value, limit)| {
            Err(JobError::OverLimit {
                field,
                value,
                limit,
            })
        })
    }

    /// Whether `more` jobs of this kind, with payloads of `bytes` in all, would find room.
    ///
    /// # Errors
    /// [`JobError::Full`] or [`JobError::FullBytes`].
    pub fn check_room(&self, kind: Kind, more: usize, bytes: u64) -> Result<(), JobError> {
        let live = |kind: Kind| {
            let counters = &self.counters[kind.index()];
            (counters.queued + counters.active) as usize
        };
        let (live, limit) = match kind {
            Kind::Chunk => (live(Kind::Chunk), self.config.chunks_max),
            Kind::Job | Kind::Task => (live(Kind::Job) + live(Kind::Task), self.config.queued_max),
        };
        if live.saturating_add(more) > limit {
            return Err(JobError::Full { limit });
        }
        let limit = self.config.queued_bytes_max;
        if self.live_bytes.saturating_add(bytes) > limit {
            return Err(JobError::FullBytes { limit });
        }
        Ok(())
    }
}
