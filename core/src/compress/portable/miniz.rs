//! miniz_oxide: small deflate in plain Rust.

use miniz_oxide::{
    MZFlush, MZStatus,
    deflate::{
        core::{CompressorOxide, create_comp_flags_from_zip_params},
        stream::deflate,
    },
    inflate::{
        TINFLStatus,
        core::{DecompressorOxide, decompress, inflate_flags},
    },
};

use crate::compress::{
    STEP,
    deflate::{self as framed, Framing, Step},
};

pub(in crate::compress) struct Inflate {
    decoder: Box<DecompressorOxide>,
    flags: u32,
}

impl framed::Inflate for Inflate {
    fn new(framing: Framing) -> Self {
        let zlib = match framing {
            Framing::Raw => 0,
            Framing::Zlib => inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER,
        };
        Self {
            decoder: Box::default(),
            flags: zlib | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
        }
    }

    fn reset(&mut self) {
        self.decoder.init();
    }

    fn step(
        &mut self,
        input: &[u8],
        more: bool,
        out: &mut [u8],
        written: usize,
    ) -> Result<Step, &'static str> {
        let flags = if more {
            self.flags | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
        } else {
            self.flags
        };
        let (status, consumed, produced) =
            decompress(&mut self.decoder, input, out, written, flags);
        let end = match status {
            TINFLStatus::Done => true,
            TINFLStatus::NeedsMoreInput
            | TINFLStatus::HasMoreOutput
            | TINFLStatus::FailedCannotMakeProgress => false,
            TINFLStatus::Adler32Mismatch => return Err("the Adler-32 of the data differs"),
            _ => return Err("invalid deflate data"),
        };
        // What it had read when the input ran out does not count as progress: a stream cut
        // short must end here.
        let starved = status == TINFLStatus::FailedCannotMakeProgress;
        Ok(Step {
            consumed: if starved { 0 } else { consumed },
            produced: if starved { 0 } else { produced },
            end,
        })
    }
}

pub(in crate::compress) struct Deflate(Box<CompressorOxide>);

impl framed::Deflate for Deflate {
    fn new(level: u32, framing: Framing) -> Self {
        let window_bits = match framing {
            Framing::Raw => -15,
            Framing::Zlib => 15,
        };
        let flags = create_comp_flags_from_zip_params(level as i32, window_bits, 0);
        Self(Box::new(CompressorOxide::new(flags)))
    }

    fn step(&mut self, mut input: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let flush = if last { MZFlush::Finish } else { MZFlush::None };
        loop {
            let written = out.len();
            out.resize(written + STEP, 0);
            let room = out.get_mut(written..).unwrap_or_default();
            let result = deflate(&mut self.0, input, room, flush);
            out.truncate(written + result.bytes_written);
            input = input.get(result.bytes_consumed..).unwrap_or_default();
            let done = match result.status {
                Ok(MZStatus::StreamEnd) => true,
                Ok(_) => !last && input.is_empty(),
                Err(e) => return Err(format!("{e:?}")),
            };
            if done {
                return Ok(());
            }
        }
    }
}
