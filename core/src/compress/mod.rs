//! Codecs with output limits: gzip, deflate, brotli, lz4, zstd.
