use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Measured share of claimed strangers after `items` were added, and the rate in theory.
fn rates(items: u64, rate: f64, seed: u64) -> (f64, f64) {
    let mut filter = BloomFilter::for_items(items, rate, seed).unwrap();
    for i in 0..items {
        filter.add(&i.to_le_bytes());
    }
    assert!((0..items).all(|i| filter.contains(&i.to_le_bytes())));
    let strangers = 400_000;
    let claimed = (0..strangers)
        .filter(|i| filter.contains(&(items + i).to_le_bytes()))
        .count();
    let k = f64::from(filter.hashes());
    let theory = libm::pow(1.0 - libm::exp(-k * items as f64 / filter.bits() as f64), k);
    (claimed as f64 / strangers as f64, theory)
}

#[test]
fn strangers_are_claimed_at_the_rate_in_theory() {
    for (items, rate) in [(1_000, 0.1), (20_000, 0.05), (100_000, 0.01)] {
        let (mut measured, mut theory) = (0.0, 0.0);
        for seed in 0..8 {
            let (m, t) = rates(items, rate, seed);
            measured += m / 8.0;
            theory += t / 8.0;
        }
        assert!(
            (measured / theory - 1.0).abs() < 0.05,
            "{items} items at {rate}: measured {measured}, theory {theory}"
        );
    }
}

#[test]
fn the_count_is_estimated_from_the_bits() {
    let mut filter = BloomFilter::for_items(50_000, 0.01, 1).unwrap();
    assert_eq!(filter.estimated_count(), 0.0);
    for i in 0..50_000u32 {
        filter.add(&i.to_le_bytes());
        filter.add(&i.to_le_bytes());
    }
    assert!((filter.estimated_count() / 50_000.0 - 1.0).abs() < 0.01);
    assert!((filter.false_positive_rate() / 0.01 - 1.0).abs() < 0.05);
    let mut full = BloomFilter::new(64, 3, 1).unwrap();
    for i in 0..1000u32 {
        full.add(&i.to_le_bytes());
    }
    assert!(full.estimated_count().is_finite());
}

#[test]
fn bytes_are_the_same_on_every_platform() {
    let mut filter = BloomFilter::new(100, 3, 42).unwrap();
    filter.add(b"barolo");
    filter.add(b"");
    filter.add(&[7; 300]);
    let bytes = filter.to_bytes();
    assert_eq!(bytes.len(), 40 + filter.memory_usage());
    assert_eq!(filter.words[..], GOLDEN_WORDS, "{:#x?}", filter.words);
    assert_eq!(BloomFilter::from_bytes(&bytes), Ok(filter));
}

const GOLDEN_WORDS: [u64; 2] = [0x1000_8201_2080_0000, 0x4_0000_0208];

#[test]
fn what_is_out_of_range_is_refused() {
    let messages: Vec<String> = [
        BloomFilter::new(0, 3, 0),
        BloomFilter::new(BITS_MAX + 1, 3, 0),
        BloomFilter::new(64, 0, 0),
        BloomFilter::for_items(0, 0.1, 0),
        BloomFilter::for_items(10, 1.0, 0),
        BloomFilter::for_items(10, f64::NAN, 0),
        BloomFilter::for_items(u64::MAX, 0.01, 0),
        BloomFilter::for_items(10, 1e-300, 0),
    ]
    .into_iter()
    .map(|r| r.unwrap_err().to_string())
    .collect();
    assert_eq!(
        messages[0],
        "Bloom filter of 0 bits: must be 1 to 8589934592"
    );
    assert_eq!(messages[7], "Bloom filter with 997 hashes: must be 1 to 32");
    let mut a = BloomFilter::new(64, 3, 1).unwrap();
    let b = BloomFilter::new(64, 3, 2).unwrap();
    assert_eq!(
        a.merge(&b).unwrap_err().to_string(),
        "cannot merge Bloom filters of different seeds: 1 and 2"
    );
}

proptest! {
    #[test]
    fn equals_a_set_but_for_false_positives(
        items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..60),
        others in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..60),
        bits in 1u64..2000,
        hashes in 1u32..9,
    ) {
        let mut a = BloomFilter::new(bits, hashes, 9).unwrap();
        let mut b = a.clone();
        let mut both = a.clone();
        let mut set = BTreeSet::new();
        for item in &items {
            let held = a.contains(item);
            prop_assert_eq!(a.add(item), !held);
            prop_assert!(set.insert(item.clone()) || held);
            both.add(item);
        }
        for item in &others {
            b.add(item);
            both.add(item);
        }
        prop_assert!(set.iter().all(|item| a.contains(item)));
        a.merge(&b).unwrap();
        prop_assert_eq!(&a, &both);
        prop_assert_eq!(BloomFilter::from_bytes(&a.to_bytes()), Ok(a));
    }

    #[test]
    fn changed_bytes_are_refused(
        at in 0usize..168, flip in 1u8.., cut in 0usize..168,
    ) {
        let mut filter = BloomFilter::new(1000, 4, 3).unwrap();
        filter.add(b"x");
        let good = filter.to_bytes();
        prop_assert_eq!(good.len(), 168);
        let mut bytes = good.clone();
        bytes[at] ^= flip;
        prop_assert!(BloomFilter::from_bytes(&bytes).is_err());
        prop_assert!(BloomFilter::from_bytes(&good[..cut]).is_err());
    }

    #[test]
    fn any_bytes_are_handled(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(BloomFilter::from_bytes(&bytes).is_err());
    }
}
