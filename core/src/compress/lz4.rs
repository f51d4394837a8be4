//! LZ4 frames (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>).

use std::io::{Read as _, Write as _};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Codec, CompressError, Input, Output, STEP};
use crate::control::Control;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// The lowest four bits are free.
const SKIPPABLE: u32 = 0x184d_2a50;
const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const DICTIONARY: u8 = 0x01;
/// Of a block's size: the block is not compressed.
const STORED: u32 = 1 << 31;

pub(super) fn compress<C: Control + ?Sized>(
    input: &[u8],
    control: &C,
) -> Result<Vec<u8>, CompressError> {
    let failed = |e: &dyn ToString| CompressError::Failed {
        codec: Codec::Lz4,
        reason: e.to_string(),
    };
    let info = FrameInfo::new()
        .block_size(block_size(input.len()))
        .block_mode(BlockMode::Independent)
        .content_size(Some(input.len() as u64))
        .content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    for (i, step) in input.chunks(STEP * 4).enumerate() {
        control.checkpoint((i * STEP * 4) as u64, input.len() as u64)?;
        encoder.write_all(step).map_err(|e| failed(&e))?;
    }
    encoder.finish().map_err(|e| failed(&e))
}

/// The largest useful blocks: matches do not reach beyond one.
fn block_size(input: usize) -> BlockSize {
    match input {
        0..=0x1_0000 => BlockSize::Max64KB,
        0x1_0001..=0x4_0000 => BlockSize::Max256KB,
        0x4_0001..=0x10_0000 => BlockSize::Max1MB,
        _ => BlockSize::Max4MB,
    }
}

pub(super) fn decompress<C: Control + ?Sized>(
    mut input: Input<'_, C>,
    out: &mut Output,
) -> Result<(), CompressError> {
    let mut first = true;
    loop {
        let end = match frame_end(input, first)? {
            Extent::Frame(end) => end,
            Extent::Skippable(end) => {
                input.at = end;
                if input.rest().is_empty() {
                    return Ok(());
                }
                first = false;
                continue;
            }
        };
        let mut frame = input.bytes.get(input.at..end).unwrap_or_default();
        let mut decoder = FrameDecoder::new(&mut frame);
        loop {
            input.checkpoint()?;
            let count = decoder.read(out.room()).map_err(|e| input.corrupt(e))?;
            if count == 0 {
                break;
            }
            out.advance(count)?;
            input.at = end - decoder.get_ref().len();
        }
        // The decoder takes the end of its bytes between two blocks for the end of the frame.
        input.at = end - frame.len();
        if !frame.is_empty() {
            return Err(input.corrupt("the frame ends early"));
        }
        if input.rest().is_empty() {
            return Ok(());
        }
        first = false;
    }
}

enum Extent {
    /// A frame of data up to this byte.
    Frame(usize),
    /// A frame without data up to this byte.
    Skippable(usize),
}

/// Walks over the blocks of the frame that starts here, without decoding them: finds a stream
/// cut short, which the decoder does not tell from a finished one.
fn frame_end<C: Control + ?Sized>(
    mut input: Input<'_, C>,
    first: bool,
) -> Result<Extent, CompressError> {
    let magic = input.rest().get(..4).unwrap_or(input.rest());
    if let Some(&magic) = magic.first_chunk::<4>()
        && u32::from_le_bytes(magic) & !0xf == SKIPPABLE
    {
        input.at += 4;
        let len = u32::from_le_bytes(input.take()?) as usize;
        return match input.rest().len() {
            have if have < len => Err(input.truncated()),
            _ => Ok(Extent::Skippable(input.at + len)),
        };
    }
    if !MAGIC.starts_with(magic) {
        return Err(if first {
            input.corrupt("an lz4 frame starts with 04 22 4d 18")
        } else {
            input.trailing()
        });
    }
    let [_, _, _, _, flags, _] = input.take::<6>()?;
    let has = |flag| flags & flag != 0;
    // The last byte of the header is its checksum.
    let rest_of_header = 8 * usize::from(has(CONTENT_SIZE)) + 4 * usize::from(has(DICTIONARY)) + 1;
    input.at += rest_of_header;
    loop {
        match u32::from_le_bytes(input.take()?) {
            0 => break,
            size => {
                let checksum = 4 * usize::from(has(BLOCK_CHECKSUM));
                input.at += (size & !STORED) as usize + checksum;
            }
        }
    }
    if has(CONTENT_CHECKSUM) {
        input.take::<4>()?;
    }
    Ok(Extent::Frame(input.at))
}
