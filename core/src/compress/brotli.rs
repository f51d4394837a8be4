//! Brotli: one stream, no checksum.

use std::io::Write as _;

use brotli::{
    BrotliDecompressStream, BrotliResult, BrotliState, CompressorWriter,
    enc::{BrotliEncoderParams, StandardAlloc},
};

use super::{Codec, CompressError, INPUT_STEP, Input, Output, STEP};
use crate::control::Control;

/// Base-2 logarithm of the window: 4 MiB, as the `brotli` tool and browsers' servers take.
const WINDOW_LOG: i32 = 22;
/// From this level on, blocks of 64 KiB (the least) keep the time between two checkpoints short.
const SLOW_LEVEL: u32 = 10;
const BLOCK_LOG_MIN: i32 = 16;
/// Input after which a meta-block is ended: its codes are made at once, some 80 ms for 256 KiB at
/// the slow levels and some 50 ms for 4 MiB at the others.
const META_BLOCK_SLOW: usize = 256 << 10;
const META_BLOCK: usize = 4 << 20;
pub(super) fn compress<C: Control + ?Sized>(
    level: u32,
    input: &[u8],
    control: &C,
) -> Result<Vec<u8>, CompressError> {
    let mut params = BrotliEncoderParams {
        quality: level as i32,
        lgwin: WINDOW_LOG,
        size_hint: input.len(),
        ..BrotliEncoderParams::default()
    };
    let mut meta_block = META_BLOCK;
    if level >= SLOW_LEVEL {
        params.lgblock = BLOCK_LOG_MIN;
        meta_block = META_BLOCK_SLOW;
    }
    let failed = |e: std::io::Error| CompressError::Failed {
        codec: Codec::Brotli,
        reason: e.to_string(),
    };
    let mut encoder = CompressorWriter::with_params(Vec::new(), STEP, &params);
    for (i, step) in input.chunks(STEP).enumerate() {
        control.checkpoint((i * STEP) as u64, input.len() as u64)?;
        encoder.write_all(step).map_err(failed)?;
        let done = i * STEP + step.len();
        if done.is_multiple_of(meta_block) && done < input.len() {
            control.checkpoint(done as u64, input.len() as u64)?;
            encoder.flush().map_err(failed)?;
        }
    }
    control.checkpoint(input.len() as u64, input.len() as u64)?;
    Ok(encoder.into_inner())
}

pub(super) fn decompress<C: Control + ?Sized>(
    mut input: Input<'_, C>,
    out: &mut Output,
) -> Result<(), CompressError> {
    // Strict: without the large windows (up to 1 GiB) that RFC 7932 does not have.
    let mut state = BrotliState::new_strict(
        StandardAlloc::default(),
        StandardAlloc::default(),
        StandardAlloc::default(),
    );
    let mut total = 0;
    loop {
        input.checkpoint()?;
        let rest = input.rest();
        let now = rest.get(..INPUT_STEP).unwrap_or(rest);
        let room = out.room();
        let (mut left, mut read) = (now.len(), 0);
        let (mut free, mut written) = (room.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            now,
            &mut free,
            &mut written,
            room,
            &mut total,
            &mut state,
        );
        input.at += read;
        out.advance(written)?;
        match result {
            BrotliResult::ResultSuccess if input.rest().is_empty() => return Ok(()),
            BrotliResult::ResultSuccess => return Err(input.trailing()),
            BrotliResult::NeedsMoreInput if input.rest().is_empty() => {
                return Err(input.truncated());
            }
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => return Err(input.corrupt("invalid brotli data")),
        }
    }
}
