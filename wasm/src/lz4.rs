//! LZ4 at once, for results that a page keeps compressed and reads back without waiting.

use js_sys::Uint8Array;
use sommos_core::{
    compress::{self, OutputLimits},
    control::Unstoppable,
};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Compresses to an LZ4 frame.
///
/// # Errors
/// `CORRUPT_DATA`: never, for any bytes.
#[wasm_bindgen(js_name = packLz4)]
pub fn pack_lz4(bytes: &[u8]) -> Result<Uint8Array, JsValue> {
    let out = compress::compress_lz4(bytes, &Unstoppable).map_err(refused)?;
    Ok(Uint8Array::from(out.as_slice()))
}

/// Decompresses a frame of at most `max_bytes`.
///
/// # Errors
/// `CORRUPT_DATA`, `TOO_LARGE`.
#[wasm_bindgen(js_name = unpackLz4)]
pub fn unpack_lz4(bytes: &[u8], max_bytes: usize) -> Result<Uint8Array, JsValue> {
    let limits = OutputLimits {
        max_bytes,
        max_ratio: usize::MAX,
        ..OutputLimits::default()
    };
    let out = compress::decompress_lz4(bytes, &limits, &Unstoppable).map_err(refused)?;
    Ok(Uint8Array::from(out.as_slice()))
}

fn refused(error: compress::CompressError) -> JsValue {
    refuse(error.code(), error)
}
