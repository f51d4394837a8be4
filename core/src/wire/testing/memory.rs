//! What a memory test found.

use serde::Serialize;

/// What a memory test found, bytes. Heap figures are of the whole process: what other work
/// allocates meanwhile is in them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryReport {
    /// Items stored.
    pub iterations: u64,
    /// Bytes of each.
    pub data_size: usize,
    /// Live heap before, bytes.
    pub initial_memory: u64,
    /// Most live heap that was seen, bytes: looked at once a block of about 1 MiB.
    pub peak_memory: u64,
    /// Live heap after all was released, bytes.
    pub final_memory: u64,
    /// Live heap when all was stored, less `initialMemory`, bytes.
    pub memory_increase: i64,
    /// `memoryIncrease` over `iterations`, bytes. Less than `dataSize` when more was stored than
    /// the test holds at once.
    pub memory_per_iteration: f64,
    /// `finalMemory` less `initialMemory`, bytes: what was not given back.
    pub leaked: i64,
    /// Where the figures come from.
    pub source: MemorySource,
}

/// Where the figures of a memory test come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MemorySource {
    /// Counted by the allocator.
    Allocator,
    /// Told by the structures themselves; `leaked` is then 0 by construction.
    Structures,
}
