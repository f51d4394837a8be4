//! Features of a text.
//!
//! A word is a run of letters and digits (Unicode), in lower case; length counts characters.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{FeatureError, FeatureOptions, Item, fields::number};

/// Words that the vocabulary of one item lists, count.
const VOCABULARY_MAX: usize = 1000;
/// Shorter words carry little: the vocabulary leaves them out.
const VOCABULARY_WORD_MIN: usize = 3;

const POSITIVE: [&str; 12] = [
    "amazing",
    "balanced",
    "beautiful",
    "delicious",
    "elegant",
    "excellent",
    "fantastic",
    "fine",
    "good",
    "great",
    "superb",
    "wonderful",
];
const NEGATIVE: [&str; 10] = [
    "awful",
    "bad",
    "corked",
    "disgusting",
    "dull",
    "faulty",
    "flat",
    "horrible",
    "poor",
    "terrible",
];

pub(super) fn features(
    item: &Item<'_>,
    options: &FeatureOptions,
) -> Result<Map<String, Value>, FeatureError> {
    let text = match &options.text_field {
        Some(name) => match item.fields.get(name) {
            None | Some(Value::Null) => "",
            Some(Value::String(text)) => text,
            Some(other) => return item.wrong(name, "a string", other),
        },
        None => item
            .text(&["text", "description", "tasting_notes", "name"])?
            .unwrap_or_default(),
    };
    Ok(of_text(text, options.term_buckets))
}

fn of_text(text: &str, buckets: usize) -> Map<String, Value> {
    let lower = text.to_lowercase();
    let mut count = 0usize;
    let mut letters = 0usize;
    let (mut positive, mut negative) = (0usize, 0usize);
    let mut unique = BTreeSet::new();
    let mut vocabulary = Vec::new();
    let mut terms = vec![0u64; buckets];
    for word in lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let length = word.chars().count();
        count += 1;
        letters += length;
        positive += usize::from(POSITIVE.contains(&word));
        negative += usize::from(NEGATIVE.contains(&word));
        if unique.insert(word) && length >= VOCABULARY_WORD_MIN && vocabulary.len() < VOCABULARY_MAX
        {
            vocabulary.push(Value::from(word));
        }
        if buckets > 0 {
            terms[(fnv1a(word) % buckets as u64) as usize] += 1;
        }
    }
    let tone = match positive.cmp(&negative) {
        std::cmp::Ordering::Greater => "positive",
        std::cmp::Ordering::Less => "negative",
        std::cmp::Ordering::Equal => "neutral",
    };
    let average = if count == 0 {
        0.0
    } else {
        letters as f64 / count as f64
    };
    let mut map = Map::new();
    map.insert("length".into(), text.chars().count().into());
    map.insert("wordCount".into(), count.into());
    map.insert("uniqueWords".into(), unique.len().into());
    map.insert("avgWordLength".into(), number(average));
    map.insert("vocabulary".into(), vocabulary.into());
    map.insert("sentiment".into(), tone.into());
    map.insert("positiveWords".into(), positive.into());
    map.insert("negativeWords".into(), negative.into());
    if buckets > 0 {
        map.insert("terms".into(), terms.into());
    }
    map
}

/// FNV-1a, 64 bits (draft-eastlake-fnv).
fn fnv1a(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
