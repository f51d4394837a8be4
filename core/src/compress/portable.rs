//! Plain Rust, for wasm: ruzstd, and miniz_oxide unless zlib-rs is built.

#[cfg(any(test, not(feature = "zlib-rs")))]
mod miniz;
#[cfg(feature = "zstd")]
mod zstd;

// Tests of native builds hold miniz_oxide against zlib-rs.
#[cfg(any(test, not(feature = "zlib-rs")))]
use self::miniz::{Deflate, Inflate};
use super::Backend;
#[cfg(not(any(test, not(feature = "zlib-rs"))))]
use super::zlib::{Deflate, Inflate};
#[cfg(feature = "zstd")]
use crate::{
    compress::{CompressError, Input, Output},
    control::Control,
};

pub(super) struct Portable;

impl Backend for Portable {
    type Inflate = Inflate;
    type Deflate = Deflate;

    #[cfg(feature = "zstd")]
    fn zstd_compress<C: Control + ?Sized>(
        _level: u32,
        input: &[u8],
        control: &C,
    ) -> Result<Vec<u8>, CompressError> {
        zstd::compress(input, control)
    }

    #[cfg(feature = "zstd")]
    fn zstd_frame<C: Control + ?Sized>(
        input: Input<'_, C>,
        out: &mut Output,
        window_max: usize,
    ) -> Result<usize, CompressError> {
        zstd::frame(input, out, window_max)
    }
}
