use super::{Step, answers, apply, lived, restore};
use crate::metrics::{
    Monitor, SnapshotError,
    tests::{START, at},
};

/// `bytes` with a checksum and a length that fit.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = (bytes.len() - 13) as u32;
    let checksum = crc32fast::hash(&bytes[13..]);
    bytes[5..9].copy_from_slice(&length.to_le_bytes());
    bytes[9..13].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn damaged_bytes_are_refused() {
    let bytes = lived(20).snapshot();
    for end in 0..bytes.len() {
        assert!(restore(at(20), &bytes[..end]).is_err(), "{end} bytes");
    }
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << bit;
            assert!(restore(at(20), &bytes).is_err(), "byte {place}, bit {bit}");
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    let (found, written) = (bytes.len() as u64 - 12, bytes.len() as u64 - 13);
    assert_eq!(
        restore(at(20), &longer).unwrap_err(),
        SnapshotError::Length { found, written }
    );
    let mut newer = bytes.clone();
    newer[4] = 3;
    let error = restore(at(20), &newer).unwrap_err().to_string();
    assert_eq!(
        error,
        "a snapshot of metrics of version 3; this build reads version 2"
    );
    let error = restore(at(20), b"{}").unwrap_err();
    assert_eq!(error, SnapshotError::NotASnapshot);
}

#[test]
fn no_content_under_a_right_checksum_panics() {
    let bytes = lived(12).snapshot();
    let mut valid = 0;
    let mut read = |bytes: Vec<u8>| {
        let Ok(monitor) = restore(at(12), &sealed(bytes)) else {
            return;
        };
        valid += 1;
        assert!(monitor.memory_bytes() <= Monitor::memory_bytes_max(2));
        // Ends in answers, whatever they are.
        for second in 12..14 {
            let mut now = at(second);
            for step in [
                Step::Request(0, 500, u64::MAX, 9),
                Step::Error(1, true, None),
                Step::Query(1e9),
                Step::Predict(1, 1.0, Some(1.0)),
                Step::Vital(0, 1.0),
                Step::Lookup(true),
                Step::Beat,
            ] {
                apply(&monitor, &mut now, &step);
            }
        }
        assert_eq!(answers(&monitor, at(14)).len(), 14);
        assert!(!monitor.snapshot().is_empty());
    };
    for end in 13..bytes.len() {
        read(bytes[..end].to_vec());
    }
    let step = bytes.len() / 1500 + 1;
    for place in (13..bytes.len()).step_by(step) {
        for value in [0, 1, 0x7f, 0x88, 0xff] {
            let mut bytes = bytes.clone();
            bytes[place] = value;
            read(bytes);
        }
        // A number as large as they come.
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        read([&bytes[..place], &huge, &bytes[place + 1..]].concat());
    }
    assert!(valid > 100, "{valid}");
}

#[test]
fn a_length_beyond_the_input_allocates_nothing() {
    let mut bytes = b"SMet\x02".to_vec();
    bytes.extend([0; 8]);
    // No request; then a histogram of 2^62 buckets.
    bytes.extend([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]);
    let error = restore(START, &sealed(bytes)).unwrap_err();
    let what = "more buckets than there are";
    assert_eq!(error, SnapshotError::Malformed { at: 23, what });
}
