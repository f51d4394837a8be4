//! Real allocations through the cache and the structures: the memory test.
