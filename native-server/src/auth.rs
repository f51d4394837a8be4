//! A limit on requests from one address: of this server, or of all that share a Redis.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sommos_core::{
    distributed::{RateLimiter as Limiter, Verdict},
    wire::{ApiError, ErrorCode},
};
use tokio::sync::Mutex as Turn;

use crate::{distributed::Distributed, queue::Clock};

/// Addresses that are remembered; past it the oldest buckets are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// Addresses that may ask Redis at once: of those that share a turn, one at a time.
const TURNS: usize = 256;

/// A token bucket for each address.
pub struct RateLimiter {
    limiter: Mutex<Limiter<IpAddr, RandomState>>,
    shared: Option<Arc<Distributed>>,
    clock: Clock,
    /// Requests of one address that need tokens wait for one question.
    turns: Box<[Turn<()>]>,
    hasher: RandomState,
    /// Questions to Redis, and requests decided without its answer.
    pub(crate) asks: AtomicU64,
    pub(crate) alone: AtomicU64,
}

impl RateLimiter {
    /// `per_second` requests a second, in bursts of up to twice as many; of all servers together
    /// when there is a Redis.
    #[must_use]
    pub fn new(per_second: u32, shared: Option<Arc<Distributed>>, clock: Clock) -> Self {
        let hasher = RandomState::new();
        let limiter = Limiter::new(per_second, ADDRESSES_MAX, shared.is_some(), hasher.clone());
        let turns = if shared.is_some() { TURNS } else { 0 };
        Self {
            limiter: Mutex::new(limiter),
            shared,
            clock,
            turns: (0..turns).map(|_| Turn::default()).collect(),
            hasher,
            asks: AtomicU64::new(0),
            alone: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Limiter<IpAddr, RandomState>> {
        // Whole after each of its operations.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one request from the address's bucket. Waits for Redis no longer than the soft
    /// timeout, and mostly not at all.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub async fn check(&self, address: IpAddr) -> Result<(), ApiError> {
        let verdict = self.lock().check((self.clock)(), address);
        let verdict = match (verdict, &self.shared) {
            // On the heap: most requests need no room for it.
            (Verdict::Ask(_), Some(shared)) => Box::pin(self.ask(shared, address)).await,
            (verdict, _) => verdict,
        };
        match verdict {
            Verdict::Admit => Ok(()),
            _ => Err(limited(self.lock().per_second())),
        }
    }

    async fn ask(&self, shared: &Distributed, address: IpAddr) -> Verdict {
        if shared.is_connected() {
            let asked = self.ask_in_turn(shared, address);
            if let Ok(Some(verdict)) = tokio::time::timeout(shared.soft(), asked).await {
                return verdict;
            }
        }
        self.alone.fetch_add(1, Ordering::Relaxed);
        self.lock().untold((self.clock)(), address)
    }

    /// `None` when Redis does not say.
    async fn ask_in_turn(&self, shared: &Distributed, address: IpAddr) -> Option<Verdict> {
        let index = self.hasher.hash_one(address) % self.turns.len().max(1) as u64;
        let _turn = self.turns.get(index as usize)?.lock().await;
        // Somebody may have asked meanwhile.
        let (verdict, per_second, burst) = {
            let mut limiter = self.lock();
            let verdict = limiter.check((self.clock)(), address);
            (verdict, limiter.per_second(), limiter.burst())
        };
        let Verdict::Ask(tokens) = verdict else {
            return Some(verdict);
        };
        self.asks.fetch_add(1, Ordering::Relaxed);
        let grant = shared.take(address, per_second, burst, tokens).await.ok()?;
        Some(self.lock().told((self.clock)(), address, grant))
    }
}

fn limited(per_second: u32) -> ApiError {
    ApiError::new(
        ErrorCode::RateLimited,
        format!("more than {per_second} requests a second from this address; try again later"),
    )
}

#[cfg(test)]
mod tests {
    use sommos_core::time::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_bucket_refills_with_time() {
        let now = Arc::new(AtomicU64::new(0));
        let clock = {
            let now = Arc::clone(&now);
            Arc::new(move || Timestamp(now.load(Ordering::Relaxed)))
        };
        let limiter = RateLimiter::new(1, None, clock);
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert!(limiter.check(ip).await.is_ok());
        assert!(limiter.check(ip).await.is_ok());
        let refused = limiter.check(ip).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        now.store(1000, Ordering::Relaxed);
        assert!(limiter.check(ip).await.is_ok());
    }
}
