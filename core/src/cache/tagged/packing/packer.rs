//! Packs cold values against a dictionary of what they share.

use std::sync::Arc;

use super::{Cold, ColdPacked};
use crate::compress::Dictionary;

/// Most bytes of the dictionary: a quarter of LZ4's reach, for what it costs in time.
const DICTIONARY_BYTES: usize = 16 << 10;
/// Bytes of samples for one of the dictionary at least: it must hold what values share, not them.
const SAMPLES_FOR_EACH: usize = 16;
/// Samples to train on, bytes: 64 times the dictionary.
const SAMPLE_BYTES: usize = 1 << 20;
/// Samples of one value at most, so that a few large ones do not stand for all.
const SAMPLE_BYTES_EACH: usize = 64 << 10;
/// A dictionary that was trained on less is trained anew on so many times as much.
const MORE: usize = 4;
/// Rounds after which the dictionary is trained anew on what is cold then. Older ones live as long
/// as a value packed with them.
const ROUNDS: u32 = 64;

/// See the module's text. Of one kind of values there should be one: what it learns in one part of
/// a cache serves all.
#[derive(Debug, Clone, Default)]
pub struct Packer {
    dictionary: Option<Arc<Dictionary>>,
    samples: Vec<u8>,
    /// Where each sample ends.
    ends: Vec<usize>,
    /// Since the dictionary was trained.
    rounds: u32,
    /// Bytes of samples that the dictionary was trained on.
    trained_on: usize,
}

impl Packer {
    /// What of these values is worth it, packed: what becomes shorter by a quarter at least. None
    /// until there is a dictionary; the values are samples for it then. O(bytes).
    pub fn pack<V: AsRef<[u8]>>(&mut self, cold: Vec<Cold<V>>) -> Vec<ColdPacked<V>> {
        if self.trained_on < SAMPLE_BYTES || self.rounds >= ROUNDS {
            self.sample(&cold);
        }
        let Some(dictionary) = &self.dictionary else {
            return Vec::new();
        };
        cold.into_iter()
            .filter_map(|cold| pack(cold, dictionary))
            .collect()
    }

    /// All entries have been met once more: what was sampled is enough. O(samples) when a
    /// dictionary is due.
    pub fn end_round(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        let due = match &self.dictionary {
            Some(_) if self.rounds < ROUNDS => self.samples.len() >= MORE * self.trained_on,
            _ => !self.ends.is_empty(),
        };
        if due {
            self.train();
        }
    }

    fn sample<V: AsRef<[u8]>>(&mut self, cold: &[Cold<V>]) {
        for cold in cold {
            let value = cold.value.as_ref();
            let sample = value.get(..SAMPLE_BYTES_EACH).unwrap_or(value);
            self.samples.extend_from_slice(sample);
            self.ends.push(self.samples.len());
            if self.samples.len() >= SAMPLE_BYTES {
                return self.train();
            }
        }
    }

    fn train(&mut self) {
        let samples = core::mem::take(&mut self.samples);
        self.trained_on = samples.len();
        let mut start = 0;
        let each = core::mem::take(&mut self.ends).into_iter().map(|end| {
            let sample = &samples[start..end];
            start = end;
            sample
        });
        let most = DICTIONARY_BYTES.min(samples.len() / SAMPLES_FOR_EACH);
        self.dictionary = Some(Arc::new(Dictionary::train(each, most)));
        self.rounds = 0;
    }
}

fn pack<V: AsRef<[u8]>>(cold: Cold<V>, dictionary: &Arc<Dictionary>) -> Option<ColdPacked<V>> {
    let value = cold.value.as_ref();
    let block = dictionary.pack(value);
    let worth_it = block.len() * 4 <= value.len() * 3;
    worth_it.then(|| ColdPacked {
        cold,
        dictionary: Arc::clone(dictionary),
        block: block.into(),
    })
}
