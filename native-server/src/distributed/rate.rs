//! Buckets of addresses that servers share.

use std::net::IpAddr;

use sommos_core::distributed::Grant;

use super::{Distributed, LinkError, keys};

impl Distributed {
    /// Takes up to `tokens` out of an address's bucket, which gets `per_second` tokens a second and
    /// holds `burst`. The time is that of Redis.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn take(
        &self,
        address: IpAddr,
        per_second: u32,
        burst: u32,
        tokens: u32,
    ) -> Result<Grant, LinkError> {
        let mut pipe = redis::pipe();
        let eval = pipe.cmd("EVAL").arg(keys::TAKE_TOKENS).arg(1);
        let eval = eval.arg(self.keys.rate(address));
        eval.arg(per_second).arg(burst).arg(tokens);
        let ((granted, wait_ms),): ((u32, u64),) = self.link.ask(&pipe).await?;
        Ok(Grant {
            asked: tokens,
            granted,
            wait_ms,
        })
    }
}
