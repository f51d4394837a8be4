//! ruzstd, behind the feature `zstd`.

use std::io::{self, Read};

use ruzstd::{
    decoding::{BlockDecodingStrategy, FrameDecoder},
    encoding::{CompressionLevel, FrameCompressor},
};

use crate::{
    compress::{CompressError, Input, Output},
    control::{Control, Stopped},
};

/// Compresses into one frame. ruzstd has a single level.
pub(super) fn compress<C: Control + ?Sized>(
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

/// Decodes the frame that `input` starts with; gives its length.
pub(super) fn frame<C: Control + ?Sized>(
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
