//! One load of a key over all servers: a lock with an owner and an end.

use super::{Distributed, LinkError, keys};

/// The right to load a key, until it is released or its time is over.
#[derive(Debug)]
pub struct Lock {
    name: String,
    token: String,
}

impl Distributed {
    /// The right to load `key`, for at most `ms`; `None` while another has it.
    ///
    /// # Errors
    /// [`LinkError`]: then nobody knows, and the caller loads.
    pub async fn lock(&self, loader: &str, key: &str, ms: u64) -> Result<Option<Lock>, LinkError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| LinkError::Failed(error.to_string()))?;
        let lock = Lock {
            name: self.keys.lock(loader, key),
            token: format!("{:032x}", u128::from_le_bytes(random)),
        };
        let mut pipe = redis::pipe();
        let set = pipe.cmd("SET").arg(&lock.name).arg(&lock.token);
        set.arg("NX").arg("PX").arg(ms);
        let (taken,): (Option<String>,) = self.link.ask(&pipe).await?;
        Ok(taken.map(|_| lock))
    }

    /// Gives the right back, if it is still there.
    pub async fn unlock(&self, lock: Lock) {
        let mut pipe = redis::pipe();
        let eval = pipe.cmd("EVAL").arg(keys::RELEASE).arg(1);
        eval.arg(&lock.name).arg(&lock.token);
        // Otherwise it ends by itself.
        let _: Result<(redis::Value,), _> = self.link.ask(&pipe).await;
    }
}
