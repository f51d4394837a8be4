//! zlib-rs and C zstd.

use zstd::bulk::Compressor;
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, Operation, OutBuffer};

use super::{
    Backend, Codec, CompressError, INPUT_STEP, Input, Output, STEP,
    zlib::{Deflate, Inflate},
};
use crate::{control::Control, pages};

/// Inputs of up to this many bytes are compressed in one call at levels up to this: at 300 MB/s
/// and more that takes about as long as a step, and nothing is copied into a window on the way.
const AT_ONCE_BYTES: usize = 1 << 20;
const AT_ONCE_LEVEL: u32 = 4;

pub(super) struct Native;

impl Backend for Native {
    type Inflate = Inflate;
    type Deflate = Deflate;

    fn zstd_compress<C: Control + ?Sized>(
        level: u32,
        input: &[u8],
        control: &C,
    ) -> Result<Vec<u8>, CompressError> {
        let failed = |e: std::io::Error| CompressError::Failed {
            codec: Codec::Zstd,
            reason: e.to_string(),
        };
        if !control.listens() || level <= AT_ONCE_LEVEL && input.len() <= AT_ONCE_BYTES {
            let mut compressor = Compressor::new(level as i32).map_err(failed)?;
            compressor.include_checksum(true).map_err(failed)?;
            let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(input.len()));
            pages::advise(out.spare_capacity_mut());
            compressor
                .compress_to_buffer(input, &mut out)
                .map_err(failed)?;
            out.shrink_to_fit();
            control.checkpoint(input.len() as u64, input.len() as u64)?;
            return Ok(out);
        }
        let mut encoder = Encoder::new(level as i32).map_err(failed)?;
        let checksum = CParameter::ChecksumFlag(true);
        encoder.set_parameter(checksum).map_err(failed)?;
        let size = Some(input.len() as u64);
        encoder.set_pledged_src_size(size).map_err(failed)?;
        // Most data shrinks to a quarter: then the output never moves.
        let mut out = Vec::with_capacity(STEP + input.len() / 4);
        for (i, mut step) in input.chunks(STEP).enumerate() {
            control.checkpoint((i * STEP) as u64, input.len() as u64)?;
            while !step.is_empty() {
                out.reserve(STEP);
                let mut buffer = zstd::stream::raw::InBuffer::around(step);
                let pos = out.len();
                let mut tail = OutBuffer::around_pos(&mut out, pos);
                encoder.run(&mut buffer, &mut tail).map_err(failed)?;
                step = step.get(buffer.pos()..).unwrap_or_default();
            }
        }
        loop {
            out.reserve(STEP);
            let pos = out.len();
            let mut tail = OutBuffer::around_pos(&mut out, pos);
            if encoder.finish(&mut tail, true).map_err(failed)? == 0 {
                out.shrink_to_fit();
                return Ok(out);
            }
            control.checkpoint(input.len() as u64, input.len() as u64)?;
        }
    }

    fn zstd_frame<C: Control + ?Sized>(
        mut input: Input<'_, C>,
        out: &mut Output,
        window_max: usize,
    ) -> Result<usize, CompressError> {
        let start = input.at;
        let log = window_max.next_power_of_two().ilog2();
        let mut decoder = Decoder::new().map_err(|e| input.corrupt(e))?;
        decoder
            .set_parameter(DParameter::WindowLogMax(log))
            .map_err(|e| input.corrupt(e))?;
        loop {
            input.checkpoint()?;
            let rest = input.rest();
            let now = rest.get(..INPUT_STEP).unwrap_or(rest);
            let status = decoder
                .run_on_buffers(now, out.room())
                .map_err(|e| input.corrupt(e))?;
            input.at += status.bytes_read;
            out.advance(status.bytes_written)?;
            if status.remaining == 0 {
                return Ok(input.at - start);
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return Err(input.truncated());
            }
        }
    }
}
