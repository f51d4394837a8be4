//! What JavaScript calls in the wasm module. An instance serves one chunk: what is handed out is
//! freed with it, and after a trap it is not entered again.
//!
//! `alloc(length)` gives room for the source or the chunk. `run(source, source length, chunk, chunk
//! length, time in ms)` gives the address of `[u32 status][u32 length][bytes]`, little-endian;
//! status 0 is the JSON of a result, 1 the message of a fault.

#![expect(unsafe_code, reason = "the ABI is made of addresses")]

use crate::{Limits, run as run_chunk};

/// Room for `length` bytes, all of them zero.
#[unsafe(no_mangle)]
extern "C" fn alloc(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// Runs a source over a chunk.
///
/// # Safety
/// Both addresses come from [`alloc`], with its lengths.
#[unsafe(no_mangle)]
unsafe extern "C" fn run(
    source: *const u8,
    source_length: usize,
    chunk: *const u8,
    chunk_length: usize,
    now_ms: f64,
) -> *const u8 {
    // SAFETY: the caller filled both blocks that `alloc` made, and nothing writes to them now.
    let (source, chunk) = unsafe {
        (
            std::slice::from_raw_parts(source, source_length),
            std::slice::from_raw_parts(chunk, chunk_length),
        )
    };
    let result = match std::str::from_utf8(source) {
        Ok(source) => run_chunk(source, chunk, &Limits::default(), now_ms as u64)
            .map_err(|fault| fault.to_string()),
        Err(_) => Err("processor: the source is not UTF-8".to_owned()),
    };
    let (status, bytes) = match result {
        Ok(bytes) => (0_u32, bytes),
        Err(message) => (1, message.into_bytes()),
    };
    let mut answer = Vec::with_capacity(8 + bytes.len());
    answer.extend_from_slice(&status.to_le_bytes());
    answer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    answer.extend_from_slice(&bytes);
    Box::leak(answer.into_boxed_slice()).as_ptr()
}

/// The source of randomness, which is none: bytes from a fixed seed, so that results repeat.
///
/// # Safety
/// `target` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    target: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    for index in 0..length {
        let mixed = (index as u32 + 1).wrapping_mul(0x9E37_79B9);
        // SAFETY: the index is within the room that the caller promises.
        unsafe { target.add(index).write((mixed >> 24) as u8) };
    }
    Ok(())
}
