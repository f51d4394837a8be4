//! Jobs and tasks: what is asked.

use bytes::Bytes;
use sommos_core::{
    jobs::{JobError, JobId, Kind, Record, Status},
    time::Timestamp,
};

use super::{
    Bull,
    link::Conn,
    map::{self, FIELDS, View},
    results,
    scripts::{self, run},
};
use crate::queue::types::{Filter, JobView, QueueError};

/// How many more are read of a list that is filtered afterwards.
const FILTERED: usize = 4;

impl Bull {
    /// The oldest end of a job that is still known.
    pub(super) fn oldest(&self) -> Timestamp {
        Timestamp(self.now().0.saturating_sub(self.config.retention.age_ms))
    }

    /// A job, as BullMQ has it and as SommOS shows it.
    pub(super) async fn view(
        &self,
        id: JobId,
    ) -> Result<(View, Record, Option<usize>), QueueError> {
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
        let mut reached = None;
        for page in ids.chunks(limit.max(1)) {
            // The order within a millisecond is known from the records: none of it is left out.
            if records.len() >= limit && page.first().map(|id| id.created) < reached {
                break;
            }
            let views = self.views(page).await?;
            records.extend(views.into_iter().filter(accepted));
            reached = page.last().map(|id| id.created);
        }
        records.sort_by_key(|record| std::cmp::Reverse((record.created_at(), record.seq)));
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
