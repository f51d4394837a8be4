//! Why compression or decompression failed.

use thiserror::Error;

use super::Codec;
use crate::control::Stopped;

/// Why bytes could not be compressed or decompressed. Offsets count bytes of the input.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompressError {
    /// No codec of that name.
    #[error("unknown codec {0:?}; known are gzip, deflate, brotli, lz4 and zstd")]
    UnknownCodec(String),
    /// A codec that this build leaves out.
    #[error("{0} is not part of this build")]
    NotBuilt(Codec),
    /// A level that the codec does not have.
    #[error("{codec} has no level {level}; it has {min} to {max}")]
    Level {
        /// The codec.
        codec: Codec,
        /// The level asked for.
        level: u32,
        /// Its lowest.
        min: u32,
        /// Its highest.
        max: u32,
    },
    /// The input ends before the stream does.
    #[error("{codec} stream is cut short after {len} bytes")]
    Truncated {
        /// The codec.
        codec: Codec,
        /// Bytes given.
        len: usize,
    },
    /// Not a stream of this codec, or one changed on its way.
    #[error("corrupt {codec} stream near byte {at}: {reason}")]
    Corrupt {
        /// The codec.
        codec: Codec,
        /// Where, as far as is known: the error is at or before this byte, or in its block.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// Bytes after the end of the stream that do not start another.
    #[error("{codec} stream ends at byte {at}, but more bytes follow")]
    TrailingData {
        /// The codec.
        codec: Codec,
        /// The first byte too many.
        at: usize,
    },
    /// More output than allowed.
    #[error("decompressed data is over the limit of {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// More output for the input than allowed.
    #[error("decompressed data is over {limit} times the compressed data")]
    RatioExceeded {
        /// The limit, output bytes an input byte.
        limit: usize,
    },
    /// The codec failed by itself.
    #[error("{codec} failed: {reason}")]
    Failed {
        /// The codec.
        codec: Codec,
        /// What it says.
        reason: String,
    },
    /// The caller stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl CompressError {
    /// The same as a word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCodec(_) | Self::NotBuilt(_) => "UNKNOWN_NAME",
            Self::Level { .. } => "INVALID_FIELD",
            Self::TooLarge { .. } | Self::RatioExceeded { .. } => "TOO_LARGE",
            Self::Stopped(_) => "CANCELLED",
            _ => "CORRUPT_DATA",
        }
    }
}
