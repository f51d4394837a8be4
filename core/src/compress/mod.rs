//! Compression of byte strings, with bounded decompression.
//!
//! | codec | format | levels (default) | checksum | builds |
//! |---|---|---|---|---|
//! | `gzip` | RFC 1952, several members | 0..=9 (6) | CRC-32 | zlib-rs, else miniz_oxide |
//! | `deflate` | zlib, RFC 1950, as HTTP means it | 0..=9 (6) | Adler-32 | the same |
//! | `brotli` | RFC 7932 | 0..=11 (5) | none | brotli |
//! | `lz4` | LZ4 frame 1.6 | none | xxHash-32 | lz4_flex |
//! | `zstd` | RFC 8878 | 1..=19 (3) | xxHash-64 | C zstd, else ruzstd |
//!
//! zlib-rs comes with the feature `zlib-rs`, both fast implementations with `native-codecs`; either
//! reads what the other writes. ruzstd knows a single level, about zstd's 1, and takes it for all. Brotli carries no
//! checksum, so that a changed byte may go unnoticed; of the others it does not.
//!
//! Builds without the features `brotli` or `zstd` (both on by default) are smaller and refuse these
//! codecs by name.
//!
//! Memory is the input, the output, and the codec's window and tables: 32 KiB for gzip and
//! deflate, up to 12 MiB for lz4, up to 16 MiB for brotli; for zstd up to the output limit, at
//! least 8 MiB and at most 128 MiB.

#[cfg(feature = "brotli")]
mod brotli;
mod deflate;
mod dictionary;
mod error;
mod lz4;
#[cfg(feature = "native-codecs")]
mod native;
mod output;
#[cfg(any(test, not(feature = "native-codecs")))]
mod portable;
#[cfg(feature = "zlib-rs")]
mod zlib;
#[cfg(feature = "zstd")]
mod zstd;

use std::{fmt, ops::RangeInclusive, str::FromStr};

pub use self::dictionary::Dictionary;
pub use self::error::CompressError;
use self::output::Output;
use crate::{
    control::{Control, Stopped},
    limits::Limits,
};

#[cfg(feature = "native-codecs")]
use self::native::Native as Best;
#[cfg(not(feature = "native-codecs"))]
use self::portable::Portable as Best;

/// Input bytes between two checkpoints of a compression: 5 ms of gzip -9, some 50 ms of brotli 11.
const STEP: usize = 64 << 10;

/// Input given to a decoder at once: bounds a step that makes no output.
const INPUT_STEP: usize = 1 << 20;

/// A compressed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// RFC 1952.
    Gzip,
    /// RFC 1950 (zlib), which HTTP calls deflate.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [
        Self::Gzip,
        Self::Deflate,
        Self::Brotli,
        Self::Lz4,
        Self::Zstd,
    ];

    /// Its name, which [`Codec::from_str`] reads.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "brotli",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The levels it takes, fast to small. LZ4 has one way only.
    #[must_use]
    pub fn levels(self) -> RangeInclusive<u32> {
        match self {
            Self::Gzip | Self::Deflate => 0..=9,
            Self::Brotli => 0..=11,
            Self::Lz4 => 1..=1,
            Self::Zstd => 1..=19,
        }
    }

    /// The level when none is given.
    #[must_use]
    pub fn default_level(self) -> u32 {
        match self {
            Self::Gzip | Self::Deflate => 6,
            Self::Brotli => 5,
            Self::Lz4 => 1,
            Self::Zstd => 3,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = CompressError;

    /// Names as in [`Codec::name`] and HTTP's `br` and `zlib`'s own, in either case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is = |names: &[&str]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        match name {
            _ if is(&["gzip", "gz", "x-gzip"]) => Ok(Self::Gzip),
            _ if is(&["deflate", "zlib"]) => Ok(Self::Deflate),
            _ if is(&["brotli", "br"]) => Ok(Self::Brotli),
            _ if is(&["lz4"]) => Ok(Self::Lz4),
            _ if is(&["zstd", "zst"]) => Ok(Self::Zstd),
            _ => Err(CompressError::UnknownCodec(name.chars().take(32).collect())),
        }
    }
}

/// How much output one decompression may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// Bytes of output.
    pub max_bytes: usize,
    /// Output over input, ratio.
    pub max_ratio: usize,
    /// Bytes of output to which the ratio does not apply.
    pub free_bytes: usize,
}

impl From<&Limits> for OutputLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            max_bytes: limits.decompressed_bytes,
            max_ratio: limits.decompression_ratio,
            free_bytes: 1 << 20,
        }
    }
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

/// Compresses `input` at `level`, or at the codec's default.
///
/// ```
/// use sommos_core::compress::{Codec, OutputLimits, compress, decompress};
/// use sommos_core::control::Unstoppable;
/// let text = b"merlot ".repeat(100);
/// let small = compress(Codec::Zstd, None, &text, &Unstoppable)?;
/// assert!(small.len() < text.len() / 4);
/// let limits = OutputLimits::default();
/// assert_eq!(decompress(Codec::Zstd, &small, &limits, &Unstoppable)?, text);
/// # Ok::<(), sommos_core::compress::CompressError>(())
/// ```
///
/// # Errors
/// [`CompressError::Level`], [`CompressError::Stopped`].
pub fn compress(
    codec: Codec,
    level: Option<u32>,
    input: &[u8],
    control: &(impl Control + ?Sized),
) -> Result<Vec<u8>, CompressError> {
    compress_with::<Best, _>(codec, level, input, control)
}

/// Decompresses all of `input`: a whole stream, or (gzip, lz4, zstd) several one after the other.
///
/// Output grows by steps of 256 KiB and stops at the first byte over a limit, so that a bomb
/// costs no more than `limits` and one step.
///
/// # Errors
/// [`CompressError::Truncated`], [`CompressError::Corrupt`], [`CompressError::TrailingData`],
/// [`CompressError::TooLarge`], [`CompressError::RatioExceeded`], [`CompressError::Stopped`].
pub fn decompress(
    codec: Codec,
    input: &[u8],
    limits: &OutputLimits,
    control: &(impl Control + ?Sized),
) -> Result<Vec<u8>, CompressError> {
    decompress_with::<Best, _>(codec, input, limits, control)
}

/// One LZ4 block without a frame or checksum, for bytes that stay in this process; a build that
/// calls nothing else has no other codec.
#[must_use]
pub fn pack_block(input: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress(input)
}

/// The `len` bytes that [`pack_block`] took.
///
/// # Errors
/// [`CompressError::Corrupt`] when they are not what comes out.
pub fn unpack_block(block: &[u8], len: usize) -> Result<Vec<u8>, CompressError> {
    let corrupt = || CompressError::Corrupt {
        codec: Codec::Lz4,
        at: block.len(),
        reason: "not a block of that length".to_owned(),
    };
    let out = lz4_flex::block::decompress(block, len).map_err(|_| corrupt())?;
    if out.len() == len {
        Ok(out)
    } else {
        Err(corrupt())
    }
}

/// The codecs that exist in a fast and in a portable implementation.
trait Backend {
    type Inflate: deflate::Inflate;
    type Deflate: deflate::Deflate;

    #[cfg(feature = "zstd")]
    fn zstd_compress<C: Control + ?Sized>(
        level: u32,
        input: &[u8],
        control: &C,
    ) -> Result<Vec<u8>, CompressError>;

    /// Decodes the frame that `input` starts with; gives its length.
    #[cfg(feature = "zstd")]
    fn zstd_frame<C: Control + ?Sized>(
        input: Input<'_, C>,
        out: &mut Output,
        window_max: usize,
    ) -> Result<usize, CompressError>;
}

fn compress_with<B: Backend, C: Control + ?Sized>(
    codec: Codec,
    level: Option<u32>,
    input: &[u8],
    control: &C,
) -> Result<Vec<u8>, CompressError> {
    let level = level.unwrap_or(codec.default_level());
    if !codec.levels().contains(&level) {
        return Err(CompressError::Level {
            codec,
            level,
            min: *codec.levels().start(),
            max: *codec.levels().end(),
        });
    }
    control.checkpoint(0, input.len() as u64)?;
    match codec {
        Codec::Gzip => deflate::gzip::<B::Deflate, C>(level, input, control),
        Codec::Deflate => deflate::zlib::<B::Deflate, C>(level, input, control),
        #[cfg(feature = "brotli")]
        Codec::Brotli => brotli::compress(level, input, control),
        Codec::Lz4 => lz4::compress(input, control),
        #[cfg(feature = "zstd")]
        Codec::Zstd => B::zstd_compress(level, input, control),
        #[cfg(not(all(feature = "brotli", feature = "zstd")))]
        _ => Err(CompressError::NotBuilt(codec)),
    }
}

fn decompress_with<B: Backend, C: Control + ?Sized>(
    codec: Codec,
    input: &[u8],
    limits: &OutputLimits,
    control: &C,
) -> Result<Vec<u8>, CompressError> {
    let mut out = Output::new(limits, input.len());
    let input = Input {
        codec,
        bytes: input,
        at: 0,
        control,
    };
    input.checkpoint()?;
    match codec {
        Codec::Gzip => deflate::gunzip::<B::Inflate, C>(input, &mut out)?,
        Codec::Deflate => deflate::unzlib::<B::Inflate, C>(input, &mut out)?,
        #[cfg(feature = "brotli")]
        Codec::Brotli => brotli::decompress(input, &mut out)?,
        Codec::Lz4 => lz4::decompress(input, &mut out)?,
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress::<B, C>(input, &mut out)?,
        #[cfg(not(all(feature = "brotli", feature = "zstd")))]
        _ => return Err(CompressError::NotBuilt(codec)),
    }
    Ok(out.into_vec())
}

/// The compressed bytes and how far they are read.
struct Input<'a, C: ?Sized> {
    codec: Codec,
    bytes: &'a [u8],
    at: usize,
    control: &'a C,
}

impl<C: ?Sized> Clone for Input<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: ?Sized> Copy for Input<'_, C> {}

impl<'a, C: Control + ?Sized> Input<'a, C> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn checkpoint(&self) -> Result<(), Stopped> {
        let total = self.bytes.len() as u64;
        self.control.checkpoint((self.at as u64).min(total), total)
    }

    /// The next `N` bytes.
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CompressError> {
        let bytes = self.rest().first_chunk().ok_or(self.truncated())?;
        self.at += N;
        Ok(*bytes)
    }

    fn truncated(&self) -> CompressError {
        CompressError::Truncated {
            codec: self.codec,
            len: self.bytes.len(),
        }
    }

    fn corrupt(&self, reason: impl ToString) -> CompressError {
        CompressError::Corrupt {
            codec: self.codec,
            at: self.at,
            reason: reason.to_string(),
        }
    }

    fn trailing(&self) -> CompressError {
        CompressError::TrailingData {
            codec: self.codec,
            at: self.at,
        }
    }
}

#[cfg(test)]
mod tests;
