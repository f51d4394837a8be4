//! The Bloom filter. Short items are written to the filter's scratch memory: no allocation a call.

use js_sys::Uint8Array;
use sommos_core::sketch::{self, SketchError};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Bytes of an item that needs no allocation.
const SCRATCH: usize = 512;

/// A set with false positives.
#[wasm_bindgen]
#[derive(Debug)]
pub struct BloomFilter {
    filter: sketch::BloomFilter,
    scratch: Box<[u8]>,
}

#[wasm_bindgen]
impl BloomFilter {
    /// Of this many bits and hashes.
    ///
    /// # Errors
    /// `INVALID_OPTION`.
    #[wasm_bindgen(constructor)]
    pub fn new(bits: f64, hashes: u32, seed: f64) -> Result<Self, JsValue> {
        sketch::BloomFilter::new(bits as u64, hashes, seed as u64)
            .map(Self::of)
            .map_err(wrong)
    }

    /// For so many items at a false-positive rate.
    ///
    /// # Errors
    /// `INVALID_OPTION`.
    #[wasm_bindgen(js_name = forItems)]
    pub fn for_items(items: f64, rate: f64, seed: f64) -> Result<Self, JsValue> {
        sketch::BloomFilter::for_items(items as u64, rate, seed as u64)
            .map(Self::of)
            .map_err(wrong)
    }

    /// The filter that `toBytes` wrote.
    ///
    /// # Errors
    /// `CORRUPT_DATA`.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JsValue> {
        sketch::BloomFilter::from_bytes(bytes)
            .map(Self::of)
            .map_err(|error| refuse("CORRUPT_DATA", error))
    }

    /// Where in the module's memory short items may be written, and how many bytes.
    #[wasm_bindgen(getter, js_name = scratchAt)]
    pub fn scratch_at(&self) -> usize {
        self.scratch.as_ptr() as usize
    }

    /// Bytes of the scratch memory.
    #[wasm_bindgen(getter, js_name = scratchBytes)]
    pub fn scratch_bytes(&self) -> usize {
        SCRATCH
    }

    /// Adds the first `len` bytes of the scratch memory; whether they are certainly new.
    #[wasm_bindgen(js_name = addScratch)]
    pub fn add_scratch(&mut self, len: usize) -> bool {
        let item = self.scratch.get(..len).unwrap_or_default();
        self.filter.add(item)
    }

    /// Whether the first `len` bytes of the scratch memory may have been added.
    #[wasm_bindgen(js_name = containsScratch)]
    pub fn contains_scratch(&self, len: usize) -> bool {
        let item = self.scratch.get(..len).unwrap_or_default();
        self.filter.contains(item)
    }

    /// Adds an item; whether it is certainly new.
    pub fn add(&mut self, item: &[u8]) -> bool {
        self.filter.add(item)
    }

    /// Whether an item may have been added.
    pub fn contains(&self, item: &[u8]) -> bool {
        self.filter.contains(item)
    }

    /// Adds every item of another filter.
    ///
    /// # Errors
    /// `MISMATCH`.
    pub fn merge(&mut self, other: &Self) -> Result<(), JsValue> {
        self.filter
            .merge(&other.filter)
            .map_err(|error| refuse("MISMATCH", error))
    }

    /// Forgets every item.
    pub fn clear(&mut self) {
        self.filter.clear();
    }

    /// As bytes.
    #[wasm_bindgen(js_name = toBytes)]
    pub fn to_bytes(&self) -> Uint8Array {
        Uint8Array::from(self.filter.to_bytes().as_slice())
    }

    /// How many different items were added, about.
    #[wasm_bindgen(js_name = estimatedCount)]
    pub fn estimated_count(&self) -> f64 {
        self.filter.estimated_count()
    }

    /// Probability that a stranger is claimed now.
    #[wasm_bindgen(js_name = falsePositiveRate)]
    pub fn false_positive_rate(&self) -> f64 {
        self.filter.false_positive_rate()
    }

    /// Bits of the filter.
    #[wasm_bindgen(getter)]
    pub fn bits(&self) -> f64 {
        self.filter.bits() as f64
    }

    /// Bits that an item sets.
    #[wasm_bindgen(getter)]
    pub fn hashes(&self) -> u32 {
        self.filter.hashes()
    }

    /// The seed of its hash.
    #[wasm_bindgen(getter)]
    pub fn seed(&self) -> f64 {
        self.filter.seed() as f64
    }

    /// Bytes in the module's memory.
    #[wasm_bindgen(js_name = memoryUsage)]
    pub fn memory_usage(&self) -> usize {
        self.filter.memory_usage() + SCRATCH
    }

    fn of(filter: sketch::BloomFilter) -> Self {
        let scratch = vec![0; SCRATCH].into();
        Self { filter, scratch }
    }
}

fn wrong(error: SketchError) -> JsValue {
    refuse("INVALID_OPTION", error)
}
