//! Every maximum in one place, with its unit and default. A shell may lower or raise them; over a
//! limit the caller gets an error that names the limit and its value.

use serde::{Deserialize, Serialize};

/// The limits of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Largest request body, bytes.
    pub body_bytes: usize,
    /// Deepest nesting of a JSON body, levels.
    pub json_depth: usize,
    /// Longest cache key, bytes of UTF-8.
    pub cache_key_bytes: usize,
    /// Largest cached value, bytes of JSON.
    pub cache_value_bytes: usize,
    /// Keys of one batch get or set, count.
    pub cache_batch_keys: usize,
    /// Tags of one cache entry, count.
    pub cache_tags: usize,
    /// Longest time to live, milliseconds.
    pub ttl_ms: u64,
    /// Elements of one matrix, count.
    pub matrix_elements: usize,
    /// Multiply-adds of one product, count.
    pub matrix_flops: u64,
    /// Entities of one similarity request, count.
    pub entities: usize,
    /// Ratings of one similarity or training request, count.
    pub ratings: usize,
    /// Pairs in one similarity result, count.
    pub similarity_pairs: usize,
    /// Records of one batch, dataset or feature extraction, count.
    pub records: usize,
    /// Operations of one data_processing task, count.
    pub operations: usize,
    /// Chunks of one batch, count.
    pub batch_chunks: usize,
    /// Records of one chunk, count.
    pub batch_size: usize,
    /// Largest chunk, bytes of JSON: a chunk ends before it or with one record alone.
    pub chunk_bytes: usize,
    /// Chunks of one batch at work at once, count.
    pub batch_concurrency: usize,
    /// Source text of a processor, bytes.
    pub processor_bytes: usize,
    /// Jobs and tasks waiting or running, count.
    pub queued_jobs: usize,
    /// Longest delay of a job, milliseconds.
    pub delay_ms: u64,
    /// Longest timeout of a job, task or batch, milliseconds.
    pub timeout_ms: u64,
    /// Most retries of a job, count.
    pub retries: u32,
    /// Largest result that is kept, bytes.
    pub result_bytes: usize,
    /// Longest idempotency key, job type or other name, bytes.
    pub name_bytes: usize,
    /// Output of one decompression, bytes.
    pub decompressed_bytes: usize,
    /// Output of one decompression over its input, ratio; the first 1 MiB is free of it.
    pub decompression_ratio: usize,
    /// Largest input to compress, bytes.
    pub compress_input_bytes: usize,
    /// Largest single allocation that may be tracked, bytes.
    pub allocation_bytes: u64,
    /// Metrics in one report, count.
    pub metrics_batch: usize,
    /// Requests of one load test, count.
    pub load_requests: u64,
    /// Connections of one load test, count.
    pub load_concurrency: usize,
    /// Iterations of one memory test, count.
    pub memory_test_iterations: u64,
    /// Bytes that one memory test may hold at once.
    pub memory_test_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            json_depth: 64,
            cache_key_bytes: 1024,
            cache_value_bytes: 4 << 20,
            cache_batch_keys: 10_000,
            cache_tags: 32,
            ttl_ms: 365 * 86_400_000,
            matrix_elements: 16 << 20,
            matrix_flops: 1 << 40,
            entities: 200_000,
            ratings: 20_000_000,
            similarity_pairs: 1_000_000,
            records: 5_000_000,
            operations: 100,
            batch_chunks: 100_000,
            batch_size: 100_000,
            chunk_bytes: 32 << 20,
            batch_concurrency: 64,
            processor_bytes: 64 << 10,
            queued_jobs: 100_000,
            delay_ms: 30 * 86_400_000,
            timeout_ms: 86_400_000,
            retries: 100,
            result_bytes: 128 << 20,
            name_bytes: 256,
            decompressed_bytes: 64 << 20,
            decompression_ratio: 200,
            compress_input_bytes: 32 << 20,
            allocation_bytes: 1 << 40,
            metrics_batch: 1000,
            load_requests: 1_000_000,
            load_concurrency: 1000,
            memory_test_iterations: 1_000_000,
            memory_test_bytes: 256 << 20,
        }
    }
}
