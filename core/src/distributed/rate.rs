//! A limit on requests that several servers keep together, without a question for each request.
//!
//! The bucket of an address is in the store. A server takes some tokens of it at once, a lease, and
//! answers from that until it is used up or a second old. A slice is one token first; an address
//! whose slice lasts less than a tenth of a second gets twice as many next, up to a tenth of what
//! it may have in a second. After a slice that was not full, nothing is asked until there is one
//! again. So at most about twenty questions a second are asked for an address by each server,
//! whether its requests are admitted or refused, and below 20 requests a second every slice is one
//! token: nothing is leased ahead.
//!
//! Together, servers admit in any stretch of time at most what one bucket would and a slice each
//! (leased before it began), and at least as much less a slice each a second (leased, and not asked
//! for any more).
//!
//! Every server keeps a whole bucket of its own beside it: it refuses without a question what one
//! server alone would, and answers alone while the store does not.

use core::hash::{BuildHasher, Hash};

use hashbrown::HashMap;

use crate::time::Timestamp;

/// How long tokens of a lease may be spent, ms.
const LEASE_MS: u64 = 1000;
/// A slice that lasts no longer than this was too small, ms.
const SHORT_MS: u64 = 100;
/// A bucket untouched for this long is full again, ms.
const FULL_MS: u64 = 2000;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is admitted.
    Admit,
    /// It is refused.
    Refuse,
    /// The store must be asked for so many tokens, and [`RateLimiter::told`] or
    /// [`RateLimiter::untold`] be called.
    Ask(u32),
}

/// What the store said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Tokens that were asked for.
    pub asked: u32,
    /// Tokens that were taken out of the bucket, at most as many.
    pub granted: u32,
    /// Time until there are as many as were asked for, ms; read when fewer were granted.
    pub wait_ms: u64,
}

/// What is known of one address.
#[derive(Debug, Clone, Copy)]
struct Account {
    /// The own bucket, as of `at`.
    tokens: f64,
    at: Timestamp,
    /// Tokens left of the lease, and its end.
    lease: u32,
    lease_until: Timestamp,
    /// The last slice asked for, and when it came.
    slice: u32,
    told_at: Option<Timestamp>,
    refused_until: Timestamp,
}

/// The limit: token buckets of addresses `K`, `per_second` tokens a second, twice as many at once.
#[derive(Debug)]
pub struct RateLimiter<K, S> {
    per_second: u32,
    addresses_max: usize,
    shared: bool,
    accounts: HashMap<K, Account, S>,
}

impl<K: Eq + Hash, S: BuildHasher> RateLimiter<K, S> {
    /// A limit of `per_second` requests a second for each of at most `addresses_max` addresses;
    /// whether it is `shared` with other servers. Beyond so many busy addresses, new ones are
    /// refused.
    pub fn new(per_second: u32, addresses_max: usize, shared: bool, hasher: S) -> Self {
        Self {
            per_second,
            addresses_max,
            shared,
            accounts: HashMap::with_hasher(hasher),
        }
    }

    /// Tokens a second.
    pub fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Tokens that a full bucket holds.
    pub fn burst(&self) -> u32 {
        self.per_second.saturating_mul(2)
    }

    /// The largest slice, tokens. So many servers times this is how far off they are together.
    pub fn slice_max(&self) -> u32 {
        (self.per_second / 10).max(1)
    }

    /// Decides on a request, as far as it is known here.
    pub fn check(&mut self, now: Timestamp, address: K) -> Verdict {
        let (shared, slice_max) = (self.shared, self.slice_max());
        let Some(account) = self.account(now, address) else {
            return Verdict::Refuse;
        };
        if account.tokens < 1.0 {
            return Verdict::Refuse;
        }
        if !shared {
            return account.spend();
        }
        if account.lease > 0 && now < account.lease_until {
            account.lease -= 1;
            return account.spend();
        }
        if now < account.refused_until {
            return Verdict::Refuse;
        }
        let lasted = account.told_at.map(|at| now.ms_since(at));
        Verdict::Ask(match lasted {
            Some(ms) if ms <= SHORT_MS => account.slice.saturating_mul(2).clamp(1, slice_max),
            Some(ms) if ms <= LEASE_MS => account.slice.clamp(1, slice_max),
            _ => 1,
        })
    }

    /// The store answered: decides on the request that it was asked for.
    pub fn told(&mut self, now: Timestamp, address: K, grant: Grant) -> Verdict {
        let Some(account) = self.account(now, address) else {
            return Verdict::Refuse;
        };
        account.slice = grant.asked;
        account.told_at = Some(now);
        account.lease = grant.granted.min(grant.asked);
        account.lease_until = now.plus_ms(LEASE_MS);
        if grant.granted < grant.asked {
            // Else each token would be asked for as it comes.
            account.refused_until = now.plus_ms(grant.wait_ms.clamp(1, LEASE_MS));
        }
        if account.lease == 0 || account.tokens < 1.0 {
            return Verdict::Refuse;
        }
        account.lease -= 1;
        account.spend()
    }

    /// The store did not answer: decides on the request by this server's own bucket.
    pub fn untold(&mut self, now: Timestamp, address: K) -> Verdict {
        match self.account(now, address) {
            Some(account) if account.tokens >= 1.0 => account.spend(),
            _ => Verdict::Refuse,
        }
    }

    /// The account of an address, its bucket filled up; none when there are too many.
    fn account(&mut self, now: Timestamp, address: K) -> Option<&mut Account> {
        let (rate, burst) = (f64::from(self.per_second), f64::from(self.burst()));
        if self.accounts.len() >= self.addresses_max && !self.accounts.contains_key(&address) {
            // Full again, without a lease: forgetting it changes nothing.
            self.accounts
                .retain(|_, account| now.ms_since(account.at) < FULL_MS);
            if self.accounts.len() >= self.addresses_max {
                return None;
            }
        }
        let account = self.accounts.entry(address).or_insert(Account {
            tokens: burst,
            at: now,
            lease: 0,
            lease_until: now,
            slice: 0,
            told_at: None,
            refused_until: now,
        });
        let refill = now.ms_since(account.at) as f64 / 1000.0 * rate;
        account.tokens = (account.tokens + refill).min(burst);
        account.at = now;
        Some(account)
    }
}

impl Account {
    fn spend(&mut self) -> Verdict {
        self.tokens -= 1.0;
        Verdict::Admit
    }
}
