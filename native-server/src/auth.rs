//! A limit on requests from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use sommos_core::{
    time::Timestamp,
    wire::{ApiError, ErrorCode},
};

/// Addresses that are remembered; past it the oldest buckets are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// A token bucket for each address.
#[derive(Debug)]
pub struct RateLimiter {
    per_second: u32,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl RateLimiter {
    /// `per_second` requests a second, in bursts of up to twice as many.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: Mutex::default(),
        }
    }

    /// Takes one request from the address's bucket.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn check(&self, now: Timestamp, address: IpAddr) -> Result<(), ApiError> {
        let rate = f64::from(self.per_second);
        let burst = 2.0 * rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            // A bucket untouched for two seconds is full again: forgetting it changes nothing.
            buckets.retain(|_, b| now.ms_since(b.at) < 2000);
            if buckets.len() >= ADDRESSES_MAX {
                return Err(limited(self.per_second));
            }
        }
        let bucket = buckets.entry(address).or_insert(Bucket {
            tokens: burst,
            at: now,
        });
        let refill = now.ms_since(bucket.at) as f64 / 1000.0 * rate;
        bucket.tokens = (bucket.tokens + refill).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(limited(self.per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
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
    use super::*;

    #[test]
    fn a_bucket_refills_with_time() {
        let limiter = RateLimiter::new(1);
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert!(limiter.check(Timestamp(0), ip).is_ok());
        assert!(limiter.check(Timestamp(0), ip).is_ok());
        assert_eq!(
            limiter.check(Timestamp(0), ip).unwrap_err().code,
            ErrorCode::RateLimited
        );
        assert!(limiter.check(Timestamp(1000), ip).is_ok());
    }
}
