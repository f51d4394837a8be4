//! The codecs that this module is built with: gzip, deflate and lz4 in all, brotli and zstd in the
//! one that loads for them. Another is refused by its name.

use sommos_core::compress::{self as core, Codec, OutputLimits};
use wasm_bindgen::prelude::*;

use crate::{checkpoint::Checkpoint, error::refuse};

/// Compresses; without a level at the codec's default.
///
/// # Errors
/// `UNKNOWN_NAME`, `INVALID_FIELD`, `CANCELLED`.
#[wasm_bindgen(js_name = compress)]
pub fn compress(
    name: &str,
    level: Option<u32>,
    bytes: &[u8],
) -> Result<js_sys::Uint8Array, JsValue> {
    let codec: Codec = name.parse().map_err(refused)?;
    let out = core::compress(codec, level, bytes, &Checkpoint).map_err(refused)?;
    // A copy that JavaScript owns: the module's memory is free again at once.
    Ok(js_sys::Uint8Array::from(out.as_slice()))
}

/// Decompresses to at most `max_bytes`, however well the data is packed.
///
/// # Errors
/// `UNKNOWN_NAME`, `CORRUPT_DATA`, `TOO_LARGE`, `CANCELLED`.
#[wasm_bindgen(js_name = decompress)]
pub fn decompress(
    name: &str,
    bytes: &[u8],
    max_bytes: usize,
) -> Result<js_sys::Uint8Array, JsValue> {
    let codec: Codec = name.parse().map_err(refused)?;
    let limits = OutputLimits {
        max_bytes,
        max_ratio: usize::MAX,
        ..OutputLimits::default()
    };
    let out = core::decompress(codec, bytes, &limits, &Checkpoint).map_err(refused)?;
    Ok(js_sys::Uint8Array::from(out.as_slice()))
}

fn refused(error: core::CompressError) -> JsValue {
    refuse(error.code(), error)
}
