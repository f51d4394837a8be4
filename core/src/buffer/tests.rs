use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_circular_buffer_keeps_the_last(
        capacity in 1usize..20,
        ops in prop::collection::vec(prop::option::weighted(0.8, any::<u8>()), 0..100),
    ) {
        let mut buffer = CircularBuffer::new(capacity).unwrap();
        let mut twin: Vec<u8> = Vec::new();
        for op in ops {
            if let Some(item) = op {
                let oldest = (twin.len() == capacity).then(|| twin.remove(0));
                twin.push(item);
                prop_assert_eq!(buffer.push(item), oldest);
            } else {
                let oldest = (!twin.is_empty()).then(|| twin.remove(0));
                prop_assert_eq!(buffer.pop(), oldest);
            }
            prop_assert_eq!((buffer.peek(), buffer.newest()), (twin.first(), twin.last()));
            prop_assert!(buffer.iter().eq(&twin));
            prop_assert!(buffer.memory_usage() <= capacity);
        }
    }

    #[test]
    fn a_run_length_array_equals_a_vector(
        threshold in 2usize..6,
        runs in prop::collection::vec((0u8..4, 1usize..9), 0..40),
    ) {
        let config = RunLengthConfig { threshold, ..RunLengthConfig::default() };
        let mut array = RunLengthArray::new(config).unwrap();
        let mut twin = Vec::new();
        for (value, count) in runs {
            for _ in 0..count {
                array.push(value).unwrap();
                twin.push(value);
            }
            prop_assert_eq!(array.len(), twin.len());
            prop_assert!(array.iter().eq(&twin));
            prop_assert!((0..=twin.len()).all(|i| array.get(i) == twin.get(i)));
        }
        let stored: usize = twin
            .chunk_by(|a, b| a == b)
            .map(|run| if run.len() < threshold { run.len() } else { 1 })
            .sum();
        prop_assert_eq!(array.stored(), stored);
    }
}

#[test]
fn a_million_equal_elements_occupy_some_bytes() {
    let mut array = RunLengthArray::new(RunLengthConfig::default()).unwrap();
    for _ in 0..1_000_000 {
        array.push(7.5_f64).unwrap();
    }
    assert!(array.memory_usage() < 200, "{}", array.memory_usage());
    for _ in 0..100 {
        array.push(f64::NAN).unwrap();
    }
    assert_eq!(array.stored(), 101);
}

#[test]
fn settings_out_of_range_and_full_arrays_are_refused() {
    assert_eq!(
        CircularBuffer::<u8>::new(0).unwrap_err().to_string(),
        "buffer capacity is 0: must be 1 to 1073741824"
    );
    let config = RunLengthConfig {
        max_len: 2,
        ..RunLengthConfig::default()
    };
    let mut array = RunLengthArray::new(config).unwrap();
    array.push(1).unwrap();
    array.push(1).unwrap();
    assert_eq!(
        array.push(1).unwrap_err().to_string(),
        "array is full: it holds 2 elements, the most it may"
    );
    let config = RunLengthConfig {
        threshold: 1,
        ..RunLengthConfig::default()
    };
    assert!(RunLengthArray::<u8>::new(config).is_err());
}

#[test]
fn an_lru_map_is_limited_by_memory() {
    let config = LruMapConfig {
        capacity: 10,
        max_memory_bytes: 500,
    };
    let mut map: LruMap<Box<str>, u8> = LruMap::new(config).unwrap();
    for (i, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        map.set(key.into(), i as u8, 20).unwrap();
        map.get("a");
    }
    assert!(map.keys().map(|k| &**k).eq(["a", "d", "c"]));
    assert_eq!(map.memory_usage(), 3 * 132);
    assert!(map.set("e".into(), 4, 500).is_err());
    assert_eq!(map.remove("c"), Some(2));
    assert_eq!(map.clear(), 2);
}
