//! zlib-rs through flate2: fast deflate in plain Rust, native and in wasm.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{
    STEP,
    deflate::{self, Framing, Step},
};

pub(super) struct Inflate {
    decoder: Decompress,
    zlib: bool,
}

impl deflate::Inflate for Inflate {
    fn new(framing: Framing) -> Self {
        let zlib = framing == Framing::Zlib;
        Self {
            decoder: Decompress::new(zlib),
            zlib,
        }
    }

    fn reset(&mut self) {
        self.decoder.reset(self.zlib);
    }

    fn step(
        &mut self,
        input: &[u8],
        _more: bool,
        out: &mut [u8],
        written: usize,
    ) -> Result<Step, &'static str> {
        let before = (self.decoder.total_in(), self.decoder.total_out());
        let room = out.get_mut(written..).unwrap_or_default();
        let status = self
            .decoder
            .decompress(input, room, FlushDecompress::None)
            .map_err(|_| "invalid deflate data")?;
        Ok(Step {
            consumed: (self.decoder.total_in() - before.0) as usize,
            produced: (self.decoder.total_out() - before.1) as usize,
            end: status == Status::StreamEnd,
        })
    }
}

pub(super) struct Deflate(Compress);

impl deflate::Deflate for Deflate {
    fn new(level: u32, framing: Framing) -> Self {
        let zlib = framing == Framing::Zlib;
        Self(Compress::new(Compression::new(level), zlib))
    }

    fn step(&mut self, mut input: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let flush = if last {
            FlushCompress::Finish
        } else {
            FlushCompress::None
        };
        loop {
            out.reserve(STEP);
            let before = self.0.total_in();
            let status = self.0.compress_vec(input, out, flush);
            let status = status.map_err(|e| e.to_string())?;
            let read = (self.0.total_in() - before) as usize;
            input = input.get(read..).unwrap_or_default();
            let done = if last {
                status == Status::StreamEnd
            } else {
                input.is_empty()
            };
            if done {
                return Ok(());
            }
        }
    }
}
