//! How rows are shared out among threads.

use core::ops::Range;

/// Chunks that a computation is cut into, at most; enough for many threads to end together.
const CHUNKS_MAX: u64 = 128;
/// Least work of a chunk, in additions.
const CHUNK_WORK_MIN: u64 = 1 << 15;

/// Cuts rows into chunks of about equal work, given that of each row; also all the work. The cut
/// depends on nothing else, so neither does a result.
pub(super) fn cut(works: impl Iterator<Item = u64>) -> (Vec<Range<u32>>, u64) {
    let works: Vec<u64> = works.collect();
    let total: u64 = works.iter().sum();
    let target = (total / CHUNKS_MAX).max(CHUNK_WORK_MIN);
    let mut chunks = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (i, work) in works.iter().enumerate() {
        sum += work;
        if sum >= target || i + 1 == works.len() {
            chunks.push(start..i as u32 + 1);
            (start, sum) = (i as u32 + 1, 0);
        }
    }
    (chunks, total)
}
