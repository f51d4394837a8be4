//! zstd's frames one after the other (RFC 8878, section 3.1).

use super::{Backend, CompressError, Input, Output};
use crate::control::Control;

const MAGIC: u32 = 0xfd2f_b528;
/// The lowest four bits are free.
const SKIPPABLE: u32 = 0x184d_2a50;
/// Window that every decoder should take, bytes (RFC 8878, section 3.1.1.1.2).
const WINDOW_MIN: usize = 8 << 20;
/// Window that `zstd -d` takes unless told otherwise, bytes.
const WINDOW_MAX: usize = 128 << 20;

pub(super) fn decompress<B: Backend, C: Control + ?Sized>(
    mut input: Input<'_, C>,
    out: &mut Output,
) -> Result<(), CompressError> {
    let window_max = out.limit().clamp(WINDOW_MIN, WINDOW_MAX);
    let mut first = true;
    loop {
        input.checkpoint()?;
        let mut ahead = input;
        let Some(&magic) = input.rest().first_chunk() else {
            return Err(if starts_frame(input.rest()) {
                input.truncated()
            } else {
                stray(&input, first)
            });
        };
        let magic = u32::from_le_bytes(magic);
        if magic == MAGIC {
            input.at += B::zstd_frame(input, out, window_max)?;
        } else if magic & !0xf == SKIPPABLE {
            ahead.at += 4;
            let len = u32::from_le_bytes(ahead.take()?) as usize;
            if ahead.rest().len() < len {
                return Err(input.truncated());
            }
            input.at = ahead.at + len;
        } else {
            return Err(stray(&input, first));
        }
        first = false;
        if input.rest().is_empty() {
            return Ok(());
        }
    }
}

/// Whether these bytes, less than a magic number, may be the start of one.
fn starts_frame(rest: &[u8]) -> bool {
    let skippable = match rest {
        [] => true,
        [low, high @ ..] => low & 0xf0 == 0x50 && [0x2a, 0x4d, 0x18].starts_with(high),
    };
    skippable || MAGIC.to_le_bytes().starts_with(rest)
}

fn stray<C: Control + ?Sized>(input: &Input<'_, C>, first: bool) -> CompressError {
    if first {
        input.corrupt("a zstd frame starts with 28 b5 2f fd")
    } else {
        input.trailing()
    }
}
