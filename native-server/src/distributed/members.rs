//! What the servers tell one another of themselves.

use std::time::Duration;

use sommos_core::{metrics::Instance, time::Timestamp, wire::monitoring::Member};

use super::{Distributed, LinkError};

/// Servers that are asked for in one question to Redis.
const CHUNK: usize = 100;
/// What was read is used again for this long, ms: many who ask cost Redis no more than one.
const KEPT_MS: u64 = 1000;
/// How much longer figures stay in Redis than they count as those of now.
const LISTED: u64 = 2;

/// What the other servers told, as last read.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When it was tried last; by the link's clock, as below.
    tried_at: Option<Timestamp>,
    read_at: Timestamp,
    /// Ages are as of `read_at`.
    members: Vec<Member>,
    left_off: u64,
}

/// What Redis has of one server: its figures, how long they stay, and whether it gave a sign of
/// life.
type Told = (Vec<u8>, i64, bool);

impl Distributed {
    /// The name of this server.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.config.node
    }

    /// The longest wait for Redis where there is another way.
    #[must_use]
    pub fn soft(&self) -> Duration {
        self.config.soft
    }

    /// Tells the others the figures of this server.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn tell(&self, instance: &Instance) -> Result<(), LinkError> {
        let mut pipe = redis::pipe();
        let name = self.keys.figures(&self.config.node);
        let set = pipe.cmd("SET").arg(name).arg(instance.encode());
        let listed = instance.fresh_ms.saturating_mul(LISTED).max(1);
        set.arg("PX").arg(listed).ignore();
        self.link.ask(&pipe).await
    }

    /// Takes this server off the list: it ends. What Redis does not hear of ends by itself.
    pub async fn leave(&self) {
        let mut pipe = redis::pipe();
        let node = &self.config.node;
        pipe.cmd("SREM").arg(self.keys.nodes()).arg(node).ignore();
        let del = pipe.cmd("DEL").arg(self.keys.node(node));
        del.arg(self.keys.figures(node)).ignore();
        if let Err(error) = self.link.ask::<()>(&pipe).await {
            tracing::debug!(%error, "the others were not told of the end");
        }
    }

    /// What the other servers told last, and how many there are besides. While Redis is away, that
    /// is what was read before. Waits no longer than the hard timeout.
    pub async fn members(&self) -> (Vec<Member>, u64) {
        let mut known = self.known.lock().await;
        let now = self.link.now();
        if known.tried_at.is_none_or(|at| now.ms_since(at) >= KEPT_MS) {
            let read = tokio::time::timeout(self.config.hard, self.read_members()).await;
            let now = self.link.now();
            match read {
                Ok(Ok((members, left_off))) => {
                    *known = Known {
                        tried_at: Some(now),
                        read_at: now,
                        members,
                        left_off,
                    };
                }
                _ => known.tried_at = Some(now),
            }
        }
        let since = self.link.now().ms_since(known.read_at);
        let mut members = known.members.clone();
        for member in &mut members {
            member.age_ms = member.age_ms.saturating_add(since);
        }
        (members, known.left_off)
    }

    async fn read_members(&self) -> Result<(Vec<Member>, u64), LinkError> {
        let max = self.config.members_max;
        let mut pipe = redis::pipe();
        pipe.cmd("SCARD").arg(self.keys.nodes());
        // This server is among them.
        let some = pipe.cmd("SRANDMEMBER").arg(self.keys.nodes());
        some.arg(max.saturating_add(1));
        let (count, mut ids): (u64, Vec<String>) = self.link.ask(&pipe).await?;
        let mut left_off = count.saturating_sub(ids.len() as u64);
        ids.retain(|id| *id != self.config.node);
        left_off += ids.len().saturating_sub(max) as u64;
        ids.truncate(max);
        let (mut members, mut gone) = (Vec::new(), Vec::new());
        for chunk in ids.chunks(CHUNK) {
            for (id, told) in chunk.iter().zip(self.read_chunk(chunk).await?) {
                match told {
                    (bytes, _, alive) if bytes.is_empty() => match alive {
                        true => left_off += 1,
                        false => gone.push(id),
                    },
                    (bytes, stays_ms, _) => match Instance::decode(&bytes) {
                        Ok(instance) => members.push(member(id, instance, stays_ms)),
                        Err(error) => {
                            tracing::debug!(%error, id, "figures are not understood");
                            left_off += 1;
                        }
                    },
                }
            }
        }
        if !gone.is_empty() {
            let mut pipe = redis::pipe();
            pipe.cmd("SREM").arg(self.keys.nodes()).arg(gone).ignore();
            // They are left out either way.
            let _: Result<(), _> = self.link.ask(&pipe).await;
        }
        Ok((members, left_off))
    }

    async fn read_chunk(&self, ids: &[String]) -> Result<Vec<Told>, LinkError> {
        let mut pipe = redis::pipe();
        for id in ids {
            let name = self.keys.figures(id);
            // No more than any server writes, whoever wrote it.
            let range = pipe.cmd("GETRANGE").arg(&name).arg(0);
            range.arg(Instance::BYTES_MAX - 1);
            pipe.cmd("PTTL").arg(&name);
            pipe.cmd("EXISTS").arg(self.keys.node(id));
        }
        let answers: Vec<redis::Value> = self.link.ask(&pipe).await?;
        let told = answers
            .chunks(3)
            .map(|three| redis::from_redis_value(redis::Value::Array(three.to_vec())));
        told.collect::<Result<_, _>>()
            .map_err(|error| LinkError::Failed(error.to_string()))
    }
}

fn member(id: &str, instance: Instance, stays_ms: i64) -> Member {
    let listed = instance.fresh_ms.saturating_mul(LISTED);
    // By the clock of Redis alone: those of the servers may differ.
    let age_ms = listed.saturating_sub(u64::try_from(stays_ms).unwrap_or(0));
    Member {
        node_id: id.into(),
        instance,
        age_ms,
    }
}
