//! The `compress` workloads: wine JSON, and the files of a corpus.

use std::{fmt::Write as _, fs, hint::black_box, io::Write as _, path::Path};

use anyhow::{Context as _, ensure};
use sommos_core::{
    compress::{Codec, Dictionary, OutputLimits, compress, decompress, pack_block},
    control::Unstoppable,
    limits::Limits,
    rng::Rng,
    time::Timestamp,
    wire::cache::CacheSet,
};
use sommos_server::cache::ShardedCache;

use crate::{
    Options,
    report::{Report, cpu_seconds, interleaved},
    twin::Twin,
};

const JSON_BYTES: usize = 10_000_000;
const DICTIONARY_BYTES: usize = 16 << 10;

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let csv = options.data.join("wine/XWines_Slim_1K_wines.csv");
    if !csv.is_file() {
        report.note("compress", &format!("{} is not there", csv.display()));
        return Ok(());
    }
    let json = wine_json(&csv, JSON_BYTES)?;
    report.note(
        "compress",
        "MB (10^6 bytes, plain) per CPU-second, one thread; fresh results",
    );
    against_crates(options, report, &json);
    against_node(options, report, &json)?;
    small_values(options, report, &json)?;
    corpus(options, report, &json)
}

/// Many small JSON values of a kind, each packed for itself: with a dictionary that was trained on
/// one half, and without one; of the other half.
fn small_values(options: &Options, report: &mut Report, wines: &[u8]) -> anyhow::Result<()> {
    let twitter = fs::read(options.data.join("corpus/twitter.json"));
    let mut kinds = vec![("X-Wines records", serde_json::from_slice(wines)?)];
    if let Ok(twitter) = twitter {
        let twitter: serde_json::Value = serde_json::from_slice(&twitter)?;
        kinds.push(("twitter.json statuses", twitter["statuses"].clone()));
    }
    for (kind, values) in kinds {
        let values = values.as_array().map_or(&[][..], Vec::as_slice);
        let texts: Vec<Vec<u8>> = values
            .iter()
            .map(serde_json::to_vec)
            .collect::<Result<_, _>>()?;
        let half = |odd: usize| texts.iter().skip(odd).step_by(2).map(Vec::as_slice);
        let dictionary = Dictionary::train(half(0), DICTIONARY_BYTES);
        let plain: usize = half(1).map(<[u8]>::len).sum();
        let alone: usize = half(1).map(|text| pack_block(text).len()).sum();
        let packed: Vec<_> = half(1).map(|text| dictionary.pack(text)).collect();
        for (text, packed) in half(1).zip(&packed) {
            let back = dictionary.unpack(packed, text.len())?;
            ensure!(back == text, "a value did not come back as it was");
        }
        let with: usize = packed.iter().map(Vec::len).sum();
        let ratio = |packed: usize| plain as f64 / packed as f64;
        let case = format!("{kind}, {} bytes each", plain / packed.len().max(1));
        let (unit, peer) = ("plain over packed", "lz4 without dictionary");
        report.case("compress", &case, unit, ratio(with), peer, ratio(alone));
        let saved = 100.0 * (1.0 - (with + dictionary.bytes().len()) as f64 / plain as f64);
        let case = format!("{kind}, memory saved, dictionary counted");
        report.figure("compress", &case, "%", saved);
        let saved = cold_values(&texts)?;
        let case = format!("{kind} in the server's cache, cold, memory saved");
        report.figure("compress", &case, "%", saved);
    }
    Ok(())
}

/// The share of the cache's memory that is free when all values have been packed, percent: keys,
/// bookkeeping and what is not worth packing counted, the dictionary not.
fn cold_values(texts: &[Vec<u8>]) -> anyhow::Result<f64> {
    let now = Timestamp(1);
    let limits = Limits::default();
    let cache = ShardedCache::new(1_000_000, 1 << 40, u64::MAX, &limits)?;
    for (i, text) in texts.iter().enumerate() {
        let set = CacheSet {
            key: i.to_string().into(),
            value: std::str::from_utf8(text)?,
            ttl_ms: None,
            stale_ttl_ms: None,
            tags: Vec::new(),
        };
        cache.set(now, &set)?;
    }
    let plain = cache.stats().memory_usage;
    // New, unused, samples, packed; and once more for a dictionary of all.
    (0..6).for_each(|_| cache.pack_cold(now, 1.0));
    let packed = cache.stats().memory_usage;
    for (i, text) in texts.iter().enumerate() {
        let back = cache.get_value(now, &i.to_string());
        ensure!(back.is_some_and(|b| b == text), "a value did not come back");
    }
    Ok(100.0 * (1.0 - packed as f64 / plain as f64))
}

/// Every wine as a JSON object, again and again with seeded prices, stocks and notes, until there
/// are `len` bytes.
fn wine_json(csv: &Path, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut reader = csv::Reader::from_path(csv)?;
    let names = reader.headers()?.clone();
    let wines = reader.records().collect::<Result<Vec<_>, _>>()?;
    let mut rng = Rng::new(42);
    let mut out = String::with_capacity(len + 4096);
    out.push('[');
    for id in 0.. {
        if out.len() >= len {
            break;
        }
        let wine = &wines[rng.below(wines.len() as u64) as usize];
        let mut object = serde_json::Map::new();
        object.insert("id".to_owned(), id.into());
        for (name, value) in names.iter().zip(wine) {
            object.insert(name.to_owned(), value.into());
        }
        object.insert(
            "price".to_owned(),
            (rng.below(50_000) as f64 / 100.0).into(),
        );
        object.insert("stock".to_owned(), rng.below(240).into());
        object.insert(
            "bin".to_owned(),
            format!("{:08x}", rng.next_u64() as u32).into(),
        );
        write!(out, "{},", serde_json::Value::Object(object))?;
    }
    out.truncate(out.len() - 1);
    out.push(']');
    Ok(out.into_bytes())
}

/// Plain megabytes a CPU-second of one run.
fn rate(plain: usize, run: impl FnOnce() -> Option<Vec<u8>>) -> f64 {
    let start = cpu_seconds();
    let done = black_box(run());
    let seconds = cpu_seconds() - start;
    done.map_or(f64::NAN, |_| plain as f64 * 1e-6 / seconds)
}

fn ours(codec: Codec, level: u32, json: &[u8]) -> Option<Vec<u8>> {
    compress(codec, Some(level), json, &Unstoppable).ok()
}

fn zlib_rs(json: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(json).ok()?;
    encoder.finish().ok()
}

fn zlib_rs_back(packed: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    decoder.write_all(packed).ok()?;
    decoder.finish().ok()
}

/// The frame that ours writes: blocks of 4 MB, its length and its checksum.
fn lz4_flex(json: &[u8]) -> Option<Vec<u8>> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max4MB)
        .content_size(Some(json.len() as u64))
        .content_checksum(true);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(json).ok()?;
    encoder.finish().ok()
}

/// The crate's default: no checksum, smaller blocks.
fn lz4_flex_plain(json: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(json).ok()?;
    encoder.finish().ok()
}

fn brotli(json: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    encoder.write_all(json).ok()?;
    Some(encoder.into_inner())
}

type Peer<'a> = (&'a str, &'a dyn Fn(&[u8]) -> Option<Vec<u8>>);

fn against_crates(options: &Options, report: &mut Report, json: &[u8]) {
    let miniz = |json: &[u8]| Some(miniz_oxide::deflate::compress_to_vec(json, 6));
    // Frames with a checksum, as ours.
    let zstd = |json: &[u8]| {
        let mut compressor = zstd::bulk::Compressor::new(1).ok()?;
        compressor.include_checksum(true).ok()?;
        compressor.compress(json).ok()
    };
    let zstd_plain = |json: &[u8]| zstd::bulk::compress(json, 1).ok();
    let cases: [(Codec, u32, Peer<'_>); 7] = [
        (Codec::Gzip, 6, ("zlib-rs", &zlib_rs)),
        (Codec::Gzip, 6, ("miniz_oxide", &miniz)),
        (Codec::Lz4, 1, ("lz4_flex", &lz4_flex)),
        (Codec::Lz4, 1, ("lz4_flex, no checksum", &lz4_flex_plain)),
        (Codec::Zstd, 1, ("zstd", &zstd)),
        (Codec::Zstd, 1, ("zstd, no checksum", &zstd_plain)),
        (Codec::Brotli, 5, ("brotli", &brotli)),
    ];
    for (codec, level, (name, peer)) in cases {
        let figures = interleaved(
            options.rounds,
            &mut [
                &mut || rate(json.len(), || ours(codec, level, json)),
                &mut || rate(json.len(), || peer(json)),
            ],
        );
        let case = format!("{codec} -{level} of wine JSON");
        report.case(
            "compress",
            &case,
            "MB per CPU-second",
            figures[0],
            name,
            figures[1],
        );
        let sizes = [ours(codec, level, json), peer(json)].map(|v| v.map_or(1, |v| v.len()));
        let ratios = sizes.map(|s| json.len() as f64 / s as f64);
        let case = format!("{case}, ratio");
        report.case(
            "compress",
            &case,
            "plain over packed",
            ratios[0],
            name,
            ratios[1],
        );
    }
    let Some(packed) = zlib_rs(json) else {
        return;
    };
    let limits = OutputLimits::default();
    let figures = interleaved(
        options.rounds,
        &mut [
            &mut || {
                rate(json.len(), || {
                    decompress(Codec::Gzip, &packed, &limits, &Unstoppable).ok()
                })
            },
            &mut || rate(json.len(), || zlib_rs_back(&packed)),
        ],
    );
    let case = "gunzip of wine JSON";
    report.case(
        "compress",
        case,
        "MB per CPU-second",
        figures[0],
        "zlib-rs",
        figures[1],
    );
}

fn against_node(options: &Options, report: &mut Report, json: &[u8]) -> anyhow::Result<()> {
    let mut twin = match Twin::start("node", "gzip.mjs", |_| ()) {
        Ok(twin) => twin,
        Err(error) => {
            report.note("compress", &format!("without Node: {error:#}"));
            return Ok(());
        }
    };
    let path = std::env::temp_dir().join(format!("sommos-wine-{}.json", std::process::id()));
    fs::write(&path, json).with_context(|| path.display().to_string())?;
    let limits = OutputLimits::default();
    let packed = ours(Codec::Gzip, 6, json).unwrap_or_default();
    for work in ["gzip", "gunzip"] {
        let request = format!("{work} 6 {}", path.display());
        let figures = interleaved(
            options.rounds,
            &mut [
                &mut || {
                    rate(json.len(), || match work {
                        "gzip" => ours(Codec::Gzip, 6, json),
                        _ => decompress(Codec::Gzip, &packed, &limits, &Unstoppable).ok(),
                    })
                },
                &mut || twin.measure(&request),
            ],
        );
        let case = format!("{work} -6 of wine JSON, against Node");
        let peer = format!("zlib of {}", twin.version);
        report.case(
            "compress",
            &case,
            "MB per CPU-second",
            figures[0],
            &peer,
            figures[1],
        );
    }
    fs::remove_file(&path)?;
    Ok(())
}

fn corpus(options: &Options, report: &mut Report, json: &[u8]) -> anyhow::Result<()> {
    let folder = options.data.join("corpus");
    let mut files = vec![("wine JSON".to_owned(), json.to_vec())];
    if folder.is_dir() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((name, fs::read(entry.path())?));
        }
    }
    files.sort();
    for (name, bytes) in &files {
        for codec in Codec::ALL {
            let level = codec.default_level();
            let packed = compress(codec, Some(level), bytes, &Unstoppable)?;
            let case = format!("{name}, {codec} -{level}");
            report.figure("compress", &case, "bytes", packed.len() as f64);
        }
    }
    Ok(())
}
