//! The cache of values that JavaScript keeps: it knows them by number.

use js_sys::{Float64Array, Uint32Array};
use sommos_core::{
    cache::{CacheConfig, SLOT_OVERHEAD_BYTES, SlotSet, Slots},
    time::Timestamp,
};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// `set` removed nothing.
const NONE: i32 = -1;
/// `set` removed several entries: `takeGone` tells which.
const SEVERAL: i32 = -2;
/// `set` refused an entry heavier than the whole cache.
const TOO_HEAVY: i32 = -3;

/// Order, weights and deadlines by number. Times are milliseconds since 1970; a number given up
/// is told as `2 * number`, plus 1 when its time was over.
#[wasm_bindgen]
pub struct SlotCache(Slots);

#[wasm_bindgen]
impl SlotCache {
    /// An empty cache of at most `max_entries` entries and `max_bytes` bytes, of which each entry
    /// takes `overhead_bytes` beside its weight.
    ///
    /// # Errors
    /// `INVALID_OPTION`.
    #[wasm_bindgen(constructor)]
    pub fn new(max_entries: u32, max_bytes: f64, overhead_bytes: u32) -> Result<Self, JsValue> {
        let config = CacheConfig {
            max_entries: max_entries as usize,
            max_weight_bytes: max_bytes as u64,
            default_ttl_ms: None,
            entry_overhead_bytes: SLOT_OVERHEAD_BYTES + u64::from(overhead_bytes),
        };
        Slots::new(config)
            .map(Self)
            .map_err(|error| refuse("INVALID_OPTION", error))
    }

    /// 0 gone, 1 fresh, 2 stale; a fresh entry becomes the most recently used.
    pub fn get(&mut self, id: u32, now: f64) -> u32 {
        self.0.get(time(now), id) as u32
    }

    /// As `get`, but changes nothing.
    pub fn peek(&self, id: u32, now: f64) -> u32 {
        self.0.peek(time(now), id) as u32
    }

    /// From when on an entry is stale, milliseconds since 1970; infinity: never.
    #[wasm_bindgen(js_name = staleAt)]
    pub fn stale_at(&self, id: u32) -> f64 {
        self.0.deadlines(id).map_or(0.0, |(stale, _)| moment(stale))
    }

    /// From when on an entry is gone, milliseconds since 1970; infinity: never.
    #[wasm_bindgen(js_name = goneAt)]
    pub fn gone_at(&self, id: u32) -> f64 {
        self.0.deadlines(id).map_or(0.0, |(_, gone)| moment(gone))
    }

    /// Stores; answers the one number that was given up, or a negative code of this file.
    pub fn set(&mut self, id: u32, weight: f64, now: f64, ttl: f64, grace: f64) -> i32 {
        let set = SlotSet {
            id,
            weight_bytes: weight as u64,
            ttl_ms: ttl as u64,
            grace_ms: grace as u64,
        };
        if self.0.set(time(now), set).is_err() {
            return TOO_HEAVY;
        }
        match *self.0.gone() {
            [] => NONE,
            [gone] => {
                self.0.take_gone();
                told(gone) as i32
            }
            _ => SEVERAL,
        }
    }

    /// Stores under the number of the least recently used entry, evicting it, and answers that
    /// number; -1, with nothing changed, when `set` with a number is needed.
    pub fn recycle(&mut self, weight: f64, now: f64, ttl: f64, grace: f64) -> i32 {
        let set = SlotSet {
            id: 0,
            weight_bytes: weight as u64,
            ttl_ms: ttl as u64,
            grace_ms: grace as u64,
        };
        self.0.recycle(time(now), set).map_or(NONE, |id| id as i32)
    }

    /// Removes; true when the entry was fresh.
    pub fn delete(&mut self, id: u32, now: f64) -> bool {
        self.0.remove(time(now), id)
    }

    /// Removes the least recently used entry; its number, or -1 when there is none.
    #[wasm_bindgen(js_name = evictLru)]
    pub fn evict_lru(&mut self, now: f64) -> i32 {
        self.0.evict_lru(time(now)).map_or(NONE, |id| id as i32)
    }

    /// Removes up to `max` entries whose time is over; `takeGone` tells which.
    pub fn cleanup(&mut self, now: f64, max: u32) -> u32 {
        self.0.cleanup(time(now), max as usize) as u32
    }

    /// Removes everything; how many entries that were.
    pub fn clear(&mut self) -> u32 {
        self.0.clear() as u32
    }

    /// The numbers given up and not told yet.
    #[wasm_bindgen(js_name = takeGone)]
    pub fn take_gone(&mut self) -> Uint32Array {
        let gone: Vec<u32> = self.0.gone().iter().copied().map(told).collect();
        self.0.take_gone();
        Uint32Array::from(gone.as_slice())
    }

    /// Numbers of the fresh entries (and of the stale ones, with `stale`), the most recently used
    /// first.
    pub fn ids(&self, now: f64, stale: bool) -> Uint32Array {
        let ids: Vec<u32> = self.0.ids(time(now), stale).collect();
        Uint32Array::from(ids.as_slice())
    }

    /// When `cleanup` may have work, milliseconds since 1970; infinity when nothing expires.
    #[wasm_bindgen(js_name = nextDeadline)]
    pub fn next_deadline(&self) -> f64 {
        self.0.next_deadline().map_or(f64::INFINITY, moment)
    }

    /// hits, misses, evictions, expirations, sets, deletes, entries, bytes charged, bytes of the
    /// tables.
    pub fn stats(&self) -> Float64Array {
        let s = self.0.stats();
        let figures = [
            s.hits,
            s.misses,
            s.evictions,
            s.expirations,
            s.sets,
            s.deletes,
        ];
        let sizes = [
            s.size as u64,
            s.memory_usage,
            self.0.allocated_bytes() as u64,
        ];
        let all = Float64Array::new_with_length(9);
        for (at, figure) in figures.into_iter().chain(sizes).enumerate() {
            all.set_index(at as u32, figure as f64);
        }
        all
    }

    /// Entries held.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> u32 {
        self.0.len() as u32
    }
}

fn time(ms: f64) -> Timestamp {
    Timestamp(ms as u64)
}

fn moment(at: Timestamp) -> f64 {
    if at == Timestamp::FAR_FUTURE {
        return f64::INFINITY;
    }
    at.0 as f64
}

fn told(gone: sommos_core::cache::Gone) -> u32 {
    gone.id << 1 | u32::from(gone.expired)
}
