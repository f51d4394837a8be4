use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::{compress::portable::Portable, control::Unstoppable, rng::Rng};

const LIMITS: OutputLimits = OutputLimits {
    max_bytes: 64 << 20,
    max_ratio: usize::MAX,
    free_bytes: 0,
};

fn pack<B: Backend>(codec: Codec, level: Option<u32>, input: &[u8]) -> Vec<u8> {
    compress_with::<B, _>(codec, level, input, &Unstoppable).unwrap()
}

fn unpack<B: Backend>(codec: Codec, input: &[u8]) -> Result<Vec<u8>, CompressError> {
    decompress_with::<B, _>(codec, input, &LIMITS, &Unstoppable)
}

/// Text with repetitions near and far, and noise.
fn sample(len: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "merlot", "riesling", "{\"id\":", "vintage", ",\n", "Pauillac", "tannin", "2015",
    ];
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        match rng.below(12) {
            word @ 0..8 => out.extend(WORDS[word as usize].as_bytes()),
            8 => out.extend(rng.next_u64().to_le_bytes()),
            9 => out.extend([b' '; 40]),
            _ => out.push(rng.next_u64() as u8),
        }
    }
    out.truncate(len);
    out
}

fn every_level() -> impl Iterator<Item = (Codec, u32)> {
    Codec::ALL
        .into_iter()
        .flat_map(|codec| codec.levels().map(move |level| (codec, level)))
}

#[test]
fn every_codec_and_level_gives_the_bytes_back() {
    for len in [0, 1, 100, 70_000, 300_000] {
        let input = sample(len, 5);
        for (codec, level) in every_level() {
            // The slowest levels are no different on long inputs.
            if len > 100_000 && (level > 12 || codec == Codec::Brotli && level > 9) {
                continue;
            }
            for packed in [
                pack::<Best>(codec, Some(level), &input),
                pack::<Portable>(codec, Some(level), &input),
            ] {
                let name = format!("{codec} {level} {len}");
                assert!(
                    unpack::<Best>(codec, &packed).as_ref() == Ok(&input),
                    "{name}"
                );
                assert!(
                    unpack::<Portable>(codec, &packed).as_ref() == Ok(&input),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_truncated() {
    let input = sample(3000, 9);
    for codec in Codec::ALL {
        for whole in [
            pack::<Best>(codec, None, &input),
            pack::<Portable>(codec, None, &input),
        ] {
            for end in 0..whole.len() {
                for result in [
                    unpack::<Best>(codec, &whole[..end]),
                    unpack::<Portable>(codec, &whole[..end]),
                ] {
                    let expected = CompressError::Truncated { codec, len: end };
                    assert_eq!(result, Err(expected), "{codec} {end} of {}", whole.len());
                }
            }
        }
    }
}

#[test]
fn bytes_behind_the_stream_are_refused() {
    let input = sample(500, 1);
    for codec in Codec::ALL {
        let whole = pack::<Best>(codec, None, &input);
        let at = whole.len();
        for garbage in [&b"\0"[..], b"garbage"] {
            let long = [&whole, garbage].concat();
            let expected = Err(CompressError::TrailingData { codec, at });
            assert_eq!(unpack::<Best>(codec, &long), expected);
            assert_eq!(unpack::<Portable>(codec, &long), expected);
        }
    }
}

#[test]
fn a_changed_byte_never_gives_other_data() {
    let input = sample(800, 2);
    for codec in Codec::ALL {
        // Brotli has no checksum.
        if codec == Codec::Brotli {
            continue;
        }
        let whole = pack::<Best>(codec, None, &input);
        for at in 0..whole.len() {
            for flip in [1u8, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                for data in [
                    unpack::<Best>(codec, &changed),
                    unpack::<Portable>(codec, &changed),
                ]
                .into_iter()
                .flatten()
                {
                    assert!(data == input, "{codec}, byte {at}");
                }
            }
        }
    }
}

#[test]
fn streams_one_after_the_other_are_read_as_one() {
    let (a, b) = (sample(1000, 3), sample(70_000, 4));
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let both = [
            pack::<Best>(codec, None, &a),
            pack::<Portable>(codec, None, &b),
        ]
        .concat();
        let expected = [&a[..], &b].concat();
        assert!(unpack::<Best>(codec, &both).as_ref() == Ok(&expected));
        assert!(unpack::<Portable>(codec, &both).as_ref() == Ok(&expected));
    }
    let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
    for codec in [Codec::Lz4, Codec::Zstd] {
        let framed = [&skippable[..], &pack::<Best>(codec, None, &a), &skippable].concat();
        assert!(unpack::<Best>(codec, &framed).as_ref() == Ok(&a));
        assert!(unpack::<Portable>(codec, &framed).as_ref() == Ok(&a));
    }
}

#[test]
fn gzip_headers_with_every_field_are_read() {
    let plain = pack::<Best>(Codec::Gzip, None, b"syrah");
    let mut header = vec![0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 3];
    header.extend([3, 0, 1, 2, 3]);
    header.extend(b"wine.json\0a comment\0");
    header.extend((crc32fast::hash(&header) as u16).to_le_bytes());
    let whole = [&header, &plain[10..]].concat();
    assert_eq!(unpack::<Best>(Codec::Gzip, &whole).unwrap(), b"syrah");
    for end in 0..header.len() {
        let cut = unpack::<Best>(Codec::Gzip, &whole[..end]);
        assert!(matches!(cut, Err(CompressError::Truncated { .. })), "{end}");
    }
    let mut wrong = whole;
    wrong[20] ^= 1;
    let error = unpack::<Best>(Codec::Gzip, &wrong).unwrap_err().to_string();
    assert!(error.contains("checksum of the header"), "{error}");
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0u8; 32 << 20];
    for codec in Codec::ALL {
        let bomb = pack::<Best>(codec, None, &zeros);
        let tight = OutputLimits {
            max_bytes: 1 << 20,
            max_ratio: usize::MAX,
            free_bytes: 0,
        };
        let by_ratio = OutputLimits {
            max_bytes: usize::MAX,
            max_ratio: 100,
            free_bytes: 4096,
        };
        let exact = OutputLimits {
            max_bytes: zeros.len(),
            ..tight
        };
        fn run<B: Backend>(
            codec: Codec,
            bomb: &[u8],
            limits: &OutputLimits,
        ) -> Result<usize, CompressError> {
            decompress_with::<B, _>(codec, bomb, limits, &Unstoppable).map(|v| v.len())
        }
        for run in [run::<Best>, run::<Portable>] {
            let too_large = CompressError::TooLarge { limit: 1 << 20 };
            assert_eq!(run(codec, &bomb, &tight), Err(too_large));
            let ratio = CompressError::RatioExceeded { limit: 100 };
            assert_eq!(run(codec, &bomb, &by_ratio), Err(ratio));
            assert_eq!(run(codec, &bomb, &exact), Ok(zeros.len()), "{codec}");
        }
    }
}

/// Stops at the n-th checkpoint.
struct StopAt(u64, AtomicU64);

impl Control for StopAt {
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
        assert!(done <= total);
        if self.1.fetch_add(1, Ordering::Relaxed) >= self.0 {
            return Err(Stopped::TimedOut);
        }
        Ok(())
    }
}

#[test]
fn a_stop_is_seen_within_a_step() {
    let input = sample(2 << 20, 6);
    let stopped = CompressError::Stopped(Stopped::TimedOut);
    fn both<B: Backend>(codec: Codec, input: &[u8], packed: &[u8]) -> [Option<CompressError>; 2] {
        let stop = || StopAt(3, AtomicU64::new(0));
        [
            compress_with::<B, _>(codec, None, input, &stop()).err(),
            decompress_with::<B, _>(codec, packed, &LIMITS, &stop()).err(),
        ]
    }
    for codec in Codec::ALL {
        let packed = pack::<Best>(codec, None, &input);
        let expected = [Some(stopped.clone()), Some(stopped.clone())];
        assert_eq!(both::<Best>(codec, &input, &packed), expected, "{codec}");
        assert_eq!(
            both::<Portable>(codec, &input, &packed),
            expected,
            "{codec}"
        );
    }
}

#[test]
fn names_and_levels_are_checked() {
    for codec in Codec::ALL {
        assert_eq!(codec.name().to_uppercase().parse(), Ok(codec));
        assert!(codec.levels().contains(&codec.default_level()));
        let level = codec.levels().end() + 1;
        let error = compress(codec, Some(level), b"", &Unstoppable).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("{codec} has no level {level}"))
        );
    }
    assert_eq!("br".parse(), Ok(Codec::Brotli));
    let unknown = "rar".parse::<Codec>().unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "unknown codec \"rar\"; known are gzip, deflate, brotli, lz4 and zstd"
    );
}

fn prefix(codec: Codec) -> Vec<u8> {
    let mut whole = pack::<Best>(codec, None, b"");
    whole.truncate(10);
    whole
}

proptest! {
    #[test]
    fn any_bytes_come_back(
        input in prop::collection::vec(any::<u8>(), 0..3000), repeat in 1usize..20, pick: u32,
    ) {
        let input = input.repeat(repeat);
        for codec in Codec::ALL {
            let levels = codec.levels();
            let level = levels.start() + pick % (levels.end() - levels.start() + 1);
            let fast = pack::<Best>(codec, Some(level.min(9)), &input);
            let portable = pack::<Portable>(codec, Some(level.min(9)), &input);
            for packed in [fast, portable] {
                prop_assert!(unpack::<Best>(codec, &packed).as_ref() == Ok(&input));
                prop_assert!(unpack::<Portable>(codec, &packed).as_ref() == Ok(&input));
            }
        }
    }

    #[test]
    fn no_bytes_panic(noise in prop::collection::vec(any::<u8>(), 0..400), with_prefix: bool) {
        for codec in Codec::ALL {
            let start = if with_prefix { prefix(codec) } else { Vec::new() };
            let bytes = [start, noise.clone()].concat();
            let limits = OutputLimits { max_bytes: 1 << 20, max_ratio: usize::MAX, free_bytes: 0 };
            let _ = decompress_with::<Best, _>(codec, &bytes, &limits, &Unstoppable);
            let _ = decompress_with::<Portable, _>(codec, &bytes, &limits, &Unstoppable);
        }
    }

    #[test]
    fn no_damage_panics(seed: u64, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let input = sample(2000, seed);
        for codec in Codec::ALL {
            let mut packed = pack::<Best>(codec, None, &input);
            for (at, byte) in &damage {
                let at = at.index(packed.len());
                packed[at] = *byte;
            }
            let _ = unpack::<Best>(codec, &packed);
            let _ = unpack::<Portable>(codec, &packed);
        }
    }
}

#[test]
fn a_block_comes_back_and_a_changed_one_is_refused() {
    for input in [&b""[..], b"a", &b"merlot ".repeat(1000)] {
        let block = super::pack_block(input);
        assert_eq!(super::unpack_block(&block, input.len()).unwrap(), input);
        assert!(super::unpack_block(&block, input.len() + 1).is_err());
    }
    assert!(super::unpack_block(&[0xff; 9], 100).is_err());
}
