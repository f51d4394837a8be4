//! miniz_oxide and ruzstd: plain Rust, for wasm.

use std::io::{self, Read};

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
use ruzstd::{
    decoding::{BlockDecodingStrategy, FrameDecoder},
    encoding::{CompressionLevel, FrameCompressor},
};

use super::{
    Backend, CompressError, Input, Output, STEP,
    deflate::{self as framed, Framing, Step},
};
use crate::control::{Control, Stopped};

pub(super) struct Portable;

impl Backend for Portable {
    type Inflate = Inflate;
    type Deflate = Deflate;

    fn zstd_compress<C: Control + ?Sized>(
        _level: u32,
        input: &[u8],
        control: &C,
    ) -> Result<Vec<u8>, CompressError> {
        let mut out = Vec::new();
        let mut source = Source {
            rest: input,
            total: input.len(),
            control,
            stopped: None,
        };
        let mut encoder = FrameCompressor::new(CompressionLevel::Fastest);
        encoder.set_source(&mut source);
        encoder.set_drain(&mut out);
        encoder.compress();
        drop(encoder);
        match source.stopped {
            Some(stopped) => Err(stopped.into()),
            None => Ok(out),
        }
    }

    fn zstd_frame<C: Control + ?Sized>(
        mut input: Input<'_, C>,
        out: &mut Output,
        window_max: usize,
    ) -> Result<usize, CompressError> {
        let start = input.at;
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(window_max as u64);
        let mut source = Frame {
            rest: input.rest(),
            starved: false,
        };
        let failed = |e: &dyn ToString, source: &Frame<'_>, input: &Input<'_, C>| {
            if source.starved {
                input.truncated()
            } else {
                input.corrupt(e.to_string())
            }
        };
        decoder
            .reset(&mut source)
            .map_err(|e| failed(&e, &source, &input))?;
        loop {
            input.checkpoint()?;
            let one = BlockDecodingStrategy::UptoBlocks(1);
            let finished = decoder
                .decode_blocks(&mut source, one)
                .map_err(|e| failed(&e, &source, &input))?;
            input.at = input.bytes.len() - source.rest.len();
            if let Some(bytes) = decoder.collect() {
                out.extend(&bytes)?;
            }
            if finished {
                break;
            }
        }
        let expected = decoder.get_checksum_from_data();
        if expected.is_some() && expected != decoder.get_calculated_checksum() {
            return Err(input.corrupt("the checksum of the data differs"));
        }
        Ok(input.at - start)
    }
}

/// Reads a frame and remembers whether it ran out.
struct Frame<'a> {
    rest: &'a [u8],
    starved: bool,
}

impl Read for Frame<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buf)?;
        self.starved |= count < buf.len();
        Ok(count)
    }
}

/// Reads until the control stops it. An end of data is all that the encoder takes for a stop.
struct Source<'a, C: ?Sized> {
    rest: &'a [u8],
    total: usize,
    control: &'a C,
    stopped: Option<Stopped>,
}

impl<C: Control + ?Sized> Read for Source<'_, C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let done = self.total - self.rest.len();
        match self.control.checkpoint(done as u64, self.total as u64) {
            Ok(()) => self.rest.read(buf),
            Err(stopped) => {
                self.stopped = Some(stopped);
                Ok(0)
            }
        }
    }
}

pub(super) struct Inflate {
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

pub(super) struct Deflate(Box<CompressorOxide>);

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
