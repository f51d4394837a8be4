//! What is near: this isolate's memory, the data centre's cache, and copies of large values in KV.
//! All of it is keyed by versions that the groups gave, so that nothing here can be wrong, only
//! old; and everything here knows when it was last known to be true.

use std::{cell::RefCell, collections::HashMap};

use sommos_core::{
    cache::{Cache as CoreCache, CacheConfig},
    time::Timestamp,
};
use worker::{Cache, Context, kv::KvStore};

use super::Value;
use crate::call::Call;

/// Keys that were answered without asking and are yet to be told to their group, count a group.
const TOUCHED_MAX: usize = 4096;
/// KV keeps nothing for less, seconds.
const KV_TTL_MIN_S: u64 = 60;
/// Copies of values that live longer go after this, seconds; the group still has the value.
const KV_TTL_MAX_S: u64 = 86_400;
/// Spaces that are remembered: one, but for tests.
const SPACES_MAX: usize = 1024;
/// Entries in this isolate's memory, count.
const ENTRIES_MAX: usize = 50_000;
const VERSION: &str = "sommos-version";
const CHECKED: &str = "sommos-checked";
const FRESH_UNTIL: &str = "sommos-fresh-until";

/// A value as it is known here.
#[derive(Debug, Clone)]
pub(super) struct Near {
    pub(super) version: u64,
    pub(super) value: Value,
    /// When the group last confirmed the version.
    pub(super) checked: Timestamp,
    pub(super) fresh_until: Timestamp,
}

#[derive(Default)]
struct Memory {
    entries: Option<CoreCache<Box<str>, Near>>,
    touched: HashMap<(Box<str>, u32), Vec<String>>,
    /// By space: what was known up to then has to be asked for again.
    epochs: HashMap<Box<str>, Timestamp>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

fn name(call: &Call, key: &str) -> String {
    // A space has no line break in it: no two names meet.
    format!("{}\n{key}", call.space)
}

/// Whether something known since `checked` was removed here meanwhile.
fn outdated(memory: &Memory, call: &Call, near: &Near) -> bool {
    let epoch = memory.epochs.get(&*call.space);
    epoch.is_some_and(|epoch| near.checked <= *epoch)
}

/// What this isolate knows of a key.
pub(super) fn peek(call: &Call, key: &str) -> Option<Near> {
    MEMORY.with_borrow_mut(|memory| {
        let entries = memory.entries.as_mut()?;
        let near = entries.get(call.now, name(call, key).as_str())?.clone();
        (!outdated(memory, call, &near)).then_some(near)
    })
}

/// Keeps a value in this isolate's memory, unless a newer one is there: answers may overtake each
/// other.
pub(super) fn keep(call: &Call, key: &str, near: Near) {
    MEMORY.with_borrow_mut(|memory| {
        if outdated(memory, call, &near) {
            return;
        }
        let entries = memory.entries.get_or_insert_with(|| {
            let config = CacheConfig {
                max_entries: ENTRIES_MAX,
                max_weight_bytes: call.settings.cache.memory_bytes.max(1 << 20),
                default_ttl_ms: None,
                ..CacheConfig::default()
            };
            match CoreCache::new(config) {
                Ok(cache) => cache,
                // The limits above are in range whatever is configured; a test says so.
                Err(error) => unreachable!("{error}"),
            }
        });
        let name = name(call, key);
        let newer = entries.peek(call.now, name.as_str());
        if newer.is_some_and(|known| known.version > near.version) {
            return;
        }
        let weight = (key.len() + near.value.len()) as u64;
        let ttl_ms = near.fresh_until.ms_since(call.now).max(1);
        // One that is too large for the memory is answered by its group.
        let _ = entries.set(call.now, name.into(), near, weight, Some(ttl_ms));
    });
}

/// Remembers that a key was answered without asking its group.
pub(super) fn touch(call: &Call, group: u32, key: &str) {
    MEMORY.with_borrow_mut(|memory| {
        let keys = memory
            .touched
            .entry(((&*call.space).into(), group))
            .or_default();
        if keys.len() < TOUCHED_MAX {
            keys.push(key.to_owned());
        }
    });
}

/// Keys to be told to their group.
pub(super) fn take_touched(call: &Call, group: u32) -> Vec<String> {
    MEMORY.with_borrow_mut(|memory| {
        let name = ((&*call.space).into(), group);
        memory.touched.remove(&name).unwrap_or_default()
    })
}

/// Trusts nothing that is known here any more: something was removed. Versions are kept, so that
/// asking again is cheap.
pub(super) fn distrust(call: &Call) {
    MEMORY.with_borrow_mut(|memory| {
        if memory.epochs.len() >= SPACES_MAX && !memory.epochs.contains_key(&*call.space) {
            *memory = Memory::default();
        }
        // What was asked for before this moment may have been answered before the removal.
        let now = match call.by_hand() {
            true => call.now,
            false => crate::call::now(),
        };
        memory.epochs.insert((&*call.space).into(), now);
    });
}

/// The name of a key in the data centre's cache.
fn url(call: &Call, key: &str) -> String {
    let mut url = format!("https://cache.sommos.internal/{}/", call.space);
    for byte in key.bytes() {
        url.push_str(&format!("{byte:02x}"));
    }
    url
}

/// Values that a request puts into the data centre's cache, count: each is a subrequest, of which
/// the platform allows 50 or 1,000. Of more none is put: an older one there is served no longer
/// than the staleness bound, as ever.
const SHARED_MAX: usize = 32;

/// What the data centre's cache has of a key.
pub(super) async fn near(call: &Call, key: &str) -> Option<Near> {
    let found = Cache::default().get(url(call, key), true).await;
    let mut response = found.ok().flatten()?;
    let header = |name| {
        let text = response.headers().get(name).ok().flatten()?;
        text.parse::<u64>().ok()
    };
    let (version, checked) = (header(VERSION)?, header(CHECKED)?);
    let fresh_until = header(FRESH_UNTIL)?;
    let value = response.bytes().await.ok()?;
    let near = Near {
        version,
        value: value.into(),
        checked: Timestamp(checked),
        fresh_until: Timestamp(fresh_until),
    };
    let trusted = MEMORY.with_borrow(|memory| !outdated(memory, call, &near));
    trusted.then_some(near)
}

/// Puts a value, one of `of` that a request has to do with, into the data centre's cache, after
/// the answer.
pub(super) fn share(call: &Call, context: &Context, key: &str, near: &Near, of: usize) {
    let age = call.settings.cache.staleness_s;
    if age == 0 || of > SHARED_MAX {
        return;
    }
    let (url, near) = (url(call, key), near.clone());
    context.wait_until(async move {
        let response = worker::Response::builder()
            .with_header("cache-control", &format!("max-age={age}"))
            .and_then(|b| b.with_header(VERSION, &near.version.to_string()))
            .and_then(|b| b.with_header(CHECKED, &near.checked.0.to_string()))
            .and_then(|b| b.with_header(FRESH_UNTIL, &near.fresh_until.0.to_string()))
            .map(|b| b.fixed(near.value.to_vec()));
        let put = match response {
            Ok(response) => Cache::default().put(url, response).await,
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            worker::console_error!("the data centre's cache: {error}");
        }
    });
}

fn kv_name(call: &Call, group: u32, version: u64) -> String {
    format!("{}/{group}/{version}", call.space)
}

fn store(call: &Call) -> Option<KvStore> {
    call.env.kv("CACHE_KV").ok()
}

/// Copies a large value to KV, after the answer. Under its version it never changes: KV's delay can
/// only make it absent.
pub(super) fn replicate(call: &Call, context: &Context, group: u32, near: &Near, ttl_ms: u64) {
    let Some(store) = store(call) else {
        return;
    };
    let (name, value) = (kv_name(call, group, near.version), near.value.clone());
    let ttl_s = ttl_ms.div_ceil(1000).clamp(KV_TTL_MIN_S, KV_TTL_MAX_S);
    context.wait_until(async move {
        let put = match store.put_bytes(&name, &value) {
            Ok(put) => put.expiration_ttl(ttl_s).execute().await,
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            worker::console_error!("KV: {error}");
        }
    });
}

/// The copy of a large value, if it has come so far.
pub(super) async fn replica(call: &Call, group: u32, version: u64) -> Option<Value> {
    let name = kv_name(call, group, version);
    let found = store(call)?.get(&name).bytes().await;
    found.ok().flatten().map(Value::from)
}
