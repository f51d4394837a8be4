//! Core's own service: the whole API in memory.

use sommos_core::{
    control::Unstoppable,
    limits::Limits,
    par::Par,
    service::{Request, Service, ServiceConfig},
    time::Timestamp,
};

use crate::{
    replay::{Reply, START_MS, Send, Shell},
    vector::Vector,
};

/// A service and its clock.
pub struct CoreShell {
    service: Service,
    now: Timestamp,
}

impl CoreShell {
    /// A service as the vector wants it.
    ///
    /// # Errors
    /// When a limit or setting is unknown or out of range.
    pub fn new(vector: &Vector) -> anyhow::Result<Self> {
        let limits: Limits = serde_json::from_value(vector.limits.clone().into())?;
        let mut config = ServiceConfig {
            limits,
            ..ServiceConfig::default()
        };
        let given = &vector.config;
        if let Some(size) = given.cache_max_size {
            config.cache.max_entries = size;
        }
        if let Some(ttl) = given.cache_default_ttl_ms {
            config.cache.default_ttl_ms = Some(ttl);
        }
        if let Some(bytes) = given.memory_limit_bytes {
            config.memory_limit_bytes = bytes;
        }
        let now = Timestamp(START_MS);
        Ok(Self {
            service: Service::new(config, now)?,
            now,
        })
    }

    fn work(&mut self) {
        while self.service.run_next(self.now, Par::Seq, &Unstoppable) {}
    }
}

impl Shell for CoreShell {
    fn name(&self) -> &'static str {
        "core"
    }

    fn send(&mut self, request: &Send) -> anyhow::Result<Reply> {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let response = self.service.handle(
            self.now,
            &Request {
                method: &request.method,
                path,
                query,
                content_type: &request.content_type,
                accept: &request.accept,
                body: &request.body,
            },
        );
        self.work();
        Ok(Reply {
            status: response.status,
            content_type: response.content_type.to_owned(),
            body: response.body,
        })
    }

    fn advance(&mut self, ms: u64) -> anyhow::Result<()> {
        self.now = self.now.plus_ms(ms);
        self.work();
        Ok(())
    }
}
