//! What is recorded behind the mutex: errors, the cache's figures, queries and predictions.

use std::collections::VecDeque;

use serde::Serialize;

use super::{CacheMetrics, DatabaseMetrics, MlMetrics, clipped, percent, rounded};
use crate::time::Timestamp;

/// Error types counted apart; more are counted as `other`.
pub(super) const TYPES_MAX: usize = 64;
/// Error messages kept.
pub(super) const MESSAGES_MAX: usize = 100;
/// Models counted apart; more are counted as `other`.
pub(super) const MODELS_MAX: usize = 32;
pub(super) const NAME_BYTES_MAX: usize = 128;
const MESSAGE_BYTES_MAX: usize = 512;
const OTHER: &str = "other";

/// What an error belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorOrigin {
    /// A request that is also recorded, with its status: remembered, not counted again.
    Response,
    /// Anything else: it counts as an error of the application.
    #[default]
    Other,
}

/// One remembered error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorEntry {
    /// When, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// The error's type, at most 128 bytes.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Box<str>,
    /// Its message, at most 512 bytes.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: Box<str>,
    /// What was going on, as the caller wrote it, at most 512 bytes.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub context: Option<Box<str>>,
}

/// Errors of one type since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorType {
    /// The type, at most 128 bytes; `other` for those beyond the first 64.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Box<str>,
    /// How many.
    pub count: u64,
    /// The last message.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub last_message: Box<str>,
    /// When it came, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub last_at: Timestamp,
}

/// Errors by type, and the last hundred.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorReport {
    /// By type, in order of first appearance.
    pub types: Vec<ErrorType>,
    /// The last ones, oldest first.
    pub recent: Vec<ErrorEntry>,
}

/// The cache's figures since its start, as the shell reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheFigures {
    /// Lookups that found a value.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Entries.
    pub size: Option<u64>,
    /// Bytes in use.
    pub memory: Option<u64>,
}

/// Predictions of one model since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelMetrics {
    /// The model, at most 128 bytes; `other` for those beyond the first 32.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub model: Box<str>,
    /// Predictions.
    pub predictions: u64,
    /// Mean of the accuracies that were reported, percent; null when none was.
    pub accuracy: Option<f64>,
    /// Mean time of a prediction, milliseconds.
    pub prediction_time: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Predictions {
    pub(super) count: u64,
    pub(super) ms: f64,
    pub(super) accuracy: f64,
    pub(super) rated: u64,
}

impl Predictions {
    fn add(&mut self, ms: f64, accuracy: Option<f64>) {
        self.count += 1;
        self.ms += ms;
        if let Some(accuracy) = accuracy.filter(|a| a.is_finite()) {
            self.accuracy += accuracy.clamp(0.0, 100.0);
            self.rated += 1;
        }
    }

    /// Adds those of another.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.rated = self.rated.saturating_add(other.rated);
        self.ms += other.ms;
        self.accuracy += other.accuracy;
    }

    pub(super) fn view(&self) -> MlMetrics {
        let rated = self.rated as f64;
        MlMetrics {
            predictions: self.count,
            accuracy: (self.rated > 0).then(|| rounded(self.accuracy / rated, 2)),
            prediction_time: rounded(self.ms / self.count.max(1) as f64, 3),
        }
    }
}

/// A duration in milliseconds as it should be: not negative, not NaN.
fn sane(ms: f64) -> f64 {
    if ms.is_finite() { ms.max(0.0) } else { 0.0 }
}

#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) types: Vec<ErrorType>,
    pub(super) recent: VecDeque<ErrorEntry>,
    /// Errors that belong to no response.
    pub(super) errors: u64,
    /// The shell's figures and the reported lookups together.
    pub(super) cache: CacheFigures,
    /// Reported lookups: hits and misses.
    pub(super) reported: (u64, u64),
    pub(super) queries: u64,
    pub(super) slow_queries: u64,
    pub(super) query_ms: f64,
    pub(super) predictions: Predictions,
    pub(super) models: Vec<(Box<str>, Predictions)>,
}

impl Records {
    /// Heap bytes at most, with what growing vectors allocate ahead.
    pub(super) const BYTES_MAX: usize =
        2 * (TYPES_MAX + 1) * (size_of::<ErrorType>() + NAME_BYTES_MAX + MESSAGE_BYTES_MAX)
            + 2 * MESSAGES_MAX * (size_of::<ErrorEntry>() + NAME_BYTES_MAX + 2 * MESSAGE_BYTES_MAX)
            + 2 * (MODELS_MAX + 1) * (size_of::<(Box<str>, Predictions)>() + NAME_BYTES_MAX);

    pub(super) fn error(
        &mut self,
        now: Timestamp,
        origin: ErrorOrigin,
        kind: &str,
        message: &str,
        context: Option<&str>,
    ) {
        self.errors += u64::from(origin == ErrorOrigin::Other);
        let message = clipped(message, MESSAGE_BYTES_MAX);
        let kind = clipped(kind, NAME_BYTES_MAX);
        let full = self.types.len() >= TYPES_MAX;
        let find = |name: &str| self.types.iter().position(|t| &*t.kind == name);
        let known = find(&kind).or_else(|| full.then(|| find(OTHER)).flatten());
        if let Some(entry) = known.and_then(|i| self.types.get_mut(i)) {
            entry.count += 1;
            entry.last_message = message.clone();
            entry.last_at = now;
        } else {
            self.types.push(ErrorType {
                kind: if full { OTHER.into() } else { kind.clone() },
                count: 1,
                last_message: message.clone(),
                last_at: now,
            });
        }
        if self.recent.len() == MESSAGES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(ErrorEntry {
            timestamp: now,
            kind,
            message,
            context: context.map(|text| clipped(text, MESSAGE_BYTES_MAX)),
        });
    }

    pub(super) fn error_types(&self) -> &[ErrorType] {
        &self.types
    }

    pub(super) fn error_report(&self) -> ErrorReport {
        ErrorReport {
            types: self.types.clone(),
            recent: self.recent.iter().cloned().collect(),
        }
    }

    pub(super) fn query(&mut self, ms: f64, slow_ms: f64) {
        self.queries += 1;
        self.query_ms += sane(ms);
        self.slow_queries += u64::from(ms >= slow_ms);
    }

    pub(super) fn query_seconds(&self) -> f64 {
        self.query_ms / 1000.0
    }

    pub(super) fn prediction(&mut self, model: &str, ms: f64, accuracy: Option<f64>) {
        let ms = sane(ms);
        self.predictions.add(ms, accuracy);
        let name = clipped(model, NAME_BYTES_MAX);
        let full = self.models.len() >= MODELS_MAX;
        let find = |name: &str| self.models.iter().position(|(known, _)| &**known == name);
        let known = find(&name).or_else(|| full.then(|| find(OTHER)).flatten());
        match known.and_then(|i| self.models.get_mut(i)) {
            Some((_, predictions)) => predictions.add(ms, accuracy),
            None => {
                let mut first = Predictions::default();
                first.add(ms, accuracy);
                self.models
                    .push((if full { OTHER.into() } else { name }, first));
            }
        }
    }

    pub(super) fn models(&self) -> Vec<ModelMetrics> {
        let view = |(model, predictions): &(Box<str>, Predictions)| {
            let MlMetrics {
                predictions,
                accuracy,
                prediction_time,
            } = predictions.view();
            ModelMetrics {
                model: model.clone(),
                predictions,
                accuracy,
                prediction_time,
            }
        };
        self.models.iter().map(view).collect()
    }

    pub(super) fn ml(&self) -> MlMetrics {
        self.predictions.view()
    }

    pub(super) fn database(&self) -> DatabaseMetrics {
        DatabaseMetrics {
            queries: self.queries,
            query_time: rounded(self.query_ms / self.queries.max(1) as f64, 3),
            slow_queries: self.slow_queries,
        }
    }

    pub(super) fn set_cache(&mut self, figures: CacheFigures) {
        let (hits, misses) = self.reported;
        self.cache = CacheFigures {
            hits: figures.hits.saturating_add(hits),
            misses: figures.misses.saturating_add(misses),
            ..figures
        };
    }

    /// The shell's figures alone.
    pub(super) fn cache_figures(&self) -> CacheFigures {
        let (hits, misses) = self.reported;
        CacheFigures {
            hits: self.cache.hits.saturating_sub(hits),
            misses: self.cache.misses.saturating_sub(misses),
            ..self.cache
        }
    }

    pub(super) fn cache_lookup(&mut self, hit: bool) {
        let (hits, misses) = &mut self.reported;
        let (reported, shown) = match hit {
            true => (hits, &mut self.cache.hits),
            false => (misses, &mut self.cache.misses),
        };
        *reported = reported.saturating_add(1);
        *shown = shown.saturating_add(1);
    }

    pub(super) fn cache_metrics(&self) -> CacheMetrics {
        let CacheFigures {
            hits,
            misses,
            size,
            memory,
        } = self.cache;
        let hit_rate = percent(hits as f64, hits.saturating_add(misses) as f64);
        CacheMetrics {
            hits,
            misses,
            hit_rate,
            size,
            memory,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let types = self
            .types
            .iter()
            .map(|t| t.kind.len() + t.last_message.len());
        let recent = self.recent.iter().map(|e| {
            e.kind.len() + e.message.len() + e.context.as_ref().map_or(0, |text| text.len())
        });
        let models = self.models.iter().map(|(name, _)| name.len());
        types.chain(recent).chain(models).sum::<usize>()
            + self.types.capacity() * size_of::<ErrorType>()
            + self.recent.capacity() * size_of::<ErrorEntry>()
            + self.models.capacity() * size_of::<(Box<str>, Predictions)>()
    }
}
