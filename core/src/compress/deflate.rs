//! gzip and zlib around an implementation of deflate.

use super::{CompressError, INPUT_STEP, Input, Output, STEP};
use crate::control::Control;

// zlib-rs has a CRC-32 of its own: another would be 13 kB (brotli) more of wasm.
#[cfg(not(feature = "zlib-rs"))]
#[derive(Default)]
struct Crc(crc32fast::Hasher);

#[cfg(not(feature = "zlib-rs"))]
impl Crc {
    fn new() -> Self {
        Self::default()
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn sum(&self) -> u32 {
        self.0.clone().finalize()
    }
}

#[cfg(feature = "zlib-rs")]
use flate2::Crc;

/// What is around the deflate stream and whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing: gzip's frame is made here.
    Raw,
    /// zlib's header and Adler-32, made and checked by the implementation.
    Zlib,
}

/// What a step of decompression did.
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    pub(super) end: bool,
}

/// A deflate decoder.
pub(super) trait Inflate {
    fn new(framing: Framing) -> Self;

    /// Ready for another stream of the same framing.
    fn reset(&mut self);

    /// Reads of `input` (`more` of which follows) and writes to `out[written..]`; `out` starts at
    /// the start of the stream. The error says what is wrong.
    fn step(
        &mut self,
        input: &[u8],
        more: bool,
        out: &mut [u8],
        written: usize,
    ) -> Result<Step, &'static str>;
}

/// A deflate encoder.
pub(super) trait Deflate {
    fn new(level: u32, framing: Framing) -> Self;

    /// Compresses all of `input` behind `out`; with `last` also ends the stream.
    fn step(&mut self, input: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), String>;
}

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
const UNKNOWN_OS: u8 = 255;

pub(super) fn gzip<D: Deflate, C: Control + ?Sized>(
    level: u32,
    input: &[u8],
    control: &C,
) -> Result<Vec<u8>, CompressError> {
    // RFC 1952, 2.3.1: 2 says slowest, 4 fastest.
    let effort = match level {
        9 => 2,
        1 => 4,
        _ => 0,
    };
    let mut out = vec![
        MAGIC[0], MAGIC[1], DEFLATE, 0, 0, 0, 0, 0, effort, UNKNOWN_OS,
    ];
    let mut crc = Crc::new();
    let codec = super::Codec::Gzip;
    encode::<D, C>(codec, level, input, control, &mut out, |b| crc.update(b))?;
    out.extend_from_slice(&crc.sum().to_le_bytes());
    // The size modulo 2^32, as the format has it.
    out.extend_from_slice(&(input.len() as u32).to_le_bytes());
    Ok(out)
}

pub(super) fn zlib<D: Deflate, C: Control + ?Sized>(
    level: u32,
    input: &[u8],
    control: &C,
) -> Result<Vec<u8>, CompressError> {
    let mut out = Vec::new();
    let codec = super::Codec::Deflate;
    encode::<D, C>(codec, level, input, control, &mut out, |_| ())?;
    Ok(out)
}

fn encode<D: Deflate, C: Control + ?Sized>(
    codec: super::Codec,
    level: u32,
    input: &[u8],
    control: &C,
    out: &mut Vec<u8>,
    mut see: impl FnMut(&[u8]),
) -> Result<(), CompressError> {
    let framing = match codec {
        super::Codec::Gzip => Framing::Raw,
        _ => Framing::Zlib,
    };
    let mut encoder = D::new(level, framing);
    let failed = |reason| CompressError::Failed { codec, reason };
    for (i, step) in input.chunks(STEP).enumerate() {
        control.checkpoint((i * STEP) as u64, input.len() as u64)?;
        see(step);
        encoder.step(step, false, out).map_err(failed)?;
    }
    encoder.step(&[], true, out).map_err(failed)
}

pub(super) fn gunzip<I: Inflate, C: Control + ?Sized>(
    mut input: Input<'_, C>,
    out: &mut Output,
) -> Result<(), CompressError> {
    let mut decoder = I::new(Framing::Raw);
    loop {
        gzip_header(&mut input)?;
        let start = out.written();
        let mut crc = Crc::new();
        inflate(&mut decoder, &mut input, out, |bytes| crc.update(bytes))?;
        if input.take::<4>()? != crc.sum().to_le_bytes() {
            return Err(input.corrupt("the CRC-32 of the data differs"));
        }
        if input.take::<4>()? != ((out.written() - start) as u32).to_le_bytes() {
            return Err(input.corrupt("the size of the data differs"));
        }
        match input.rest() {
            [] => return Ok(()),
            rest if rest.starts_with(&MAGIC) => decoder.reset(),
            _ => return Err(input.trailing()),
        }
    }
}

fn gzip_header<C: Control + ?Sized>(input: &mut Input<'_, C>) -> Result<(), CompressError> {
    // A wrong first byte is told before a missing second.
    if input.rest().first().is_some_and(|&b| b != MAGIC[0]) {
        return Err(input.corrupt("a gzip stream starts with 1f 8b"));
    }
    let start = input.at;
    let [m0, m1, method, flags, ..] = input.take::<10>()?;
    if [m0, m1] != MAGIC {
        return Err(input.corrupt("a gzip stream starts with 1f 8b"));
    }
    if method != DEFLATE {
        return Err(input.corrupt("the method is not deflate"));
    }
    if flags & RESERVED != 0 {
        return Err(input.corrupt("reserved flags are set"));
    }
    if flags & EXTRA != 0 {
        let len = usize::from(u16::from_le_bytes(input.take::<2>()?));
        if input.rest().len() < len {
            return Err(input.truncated());
        }
        input.at += len;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = input.rest().iter().position(|&b| b == 0);
            input.at += end.ok_or(input.truncated())? + 1;
        }
    }
    if flags & HEADER_CRC != 0 {
        let header = input.bytes.get(start..input.at).unwrap_or_default();
        let mut crc = Crc::new();
        crc.update(header);
        let low = crc.sum() as u16;
        if input.take::<2>()? != low.to_le_bytes() {
            return Err(input.corrupt("the checksum of the header differs"));
        }
    }
    Ok(())
}

pub(super) fn unzlib<I: Inflate, C: Control + ?Sized>(
    mut input: Input<'_, C>,
    out: &mut Output,
) -> Result<(), CompressError> {
    inflate(&mut I::new(Framing::Zlib), &mut input, out, |_| ())?;
    if input.rest().is_empty() {
        Ok(())
    } else {
        Err(input.trailing())
    }
}

fn inflate<I: Inflate, C: Control + ?Sized>(
    decoder: &mut I,
    input: &mut Input<'_, C>,
    out: &mut Output,
    mut see: impl FnMut(&[u8]),
) -> Result<(), CompressError> {
    let start = out.written();
    loop {
        input.checkpoint()?;
        let rest = input.rest();
        let now = rest.get(..INPUT_STEP).unwrap_or(rest);
        let more = now.len() < rest.len();
        let written = out.written() - start;
        let step = decoder
            .step(now, more, out.since(start), written)
            .map_err(|reason| input.corrupt(reason))?;
        input.at += step.consumed;
        out.advance(step.produced)?;
        see(out.last(step.produced));
        if step.end {
            return Ok(());
        }
        if step.consumed == 0 && step.produced == 0 {
            return Err(if more {
                input.corrupt("no progress")
            } else {
                input.truncated()
            });
        }
    }
}
