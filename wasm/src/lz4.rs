//! LZ4 at once, for results that a page keeps compressed and reads back without waiting.

use js_sys::Uint8Array;
use sommos_core::compress::{pack_block, unpack_block};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Compresses to one block.
#[wasm_bindgen(js_name = packBlock)]
pub fn pack(bytes: &[u8]) -> Uint8Array {
    Uint8Array::from(pack_block(bytes).as_slice())
}

/// The `len` bytes of a block.
///
/// # Errors
/// `CORRUPT_DATA`.
#[wasm_bindgen(js_name = unpackBlock)]
pub fn unpack(block: &[u8], len: usize) -> Result<Uint8Array, JsValue> {
    let bytes = unpack_block(block, len).map_err(|error| refuse(error.code(), error))?;
    Ok(Uint8Array::from(bytes.as_slice()))
}
