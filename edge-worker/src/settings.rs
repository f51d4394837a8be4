//! The configuration: variables and secrets of the environment, each with a default.

use std::{cell::RefCell, collections::BTreeMap, fmt::Display, rc::Rc, str::FromStr};

use serde::Deserialize;
use sommos_core::{
    jobs::{Config, Retention},
    limits::Limits,
    service::work::{Defaults, WorkConfig},
    wire::{
        ApiError, ErrorCode,
        access::{Origins, Tokens},
        jobs::SubmitDefaults,
    },
};
use worker::Env;

/// Ended jobs that are kept: each has a record in the object's memory.
const RECORDS_MAX: usize = 20_000;

/// Everything that may be set. The names of the variables stand in [`Settings::read`].
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) defaults: Defaults,
    pub(crate) tokens: Tokens,
    pub(crate) origins: Origins,
    pub(crate) work: WorkSettings,
    pub(crate) cache: CacheSettings,
    /// Bytes that may be tracked by allocate.
    pub(crate) memory_limit_bytes: u64,
    /// Whether requests may bring a clock and a space of their own: for tests only.
    pub(crate) test_control: bool,
}

/// How jobs, tasks and batches run.
#[derive(Debug, Clone)]
pub(crate) struct WorkSettings {
    /// Pieces of work at once.
    pub(crate) workers: usize,
    /// Milliseconds until a worker that reports nothing counts as lost.
    pub(crate) lease_ms: u64,
    /// The largest task taken, in the multiply-adds that core estimates.
    pub(crate) task_cost_max: u64,
    /// Milliseconds that ended work is kept.
    pub(crate) result_ttl_ms: u64,
    /// Bytes of results that are kept.
    pub(crate) results_max_bytes: u64,
    /// Payloads that may wait or run, bytes.
    pub(crate) queued_bytes_max: u64,
}

/// The cache.
#[derive(Debug, Clone)]
pub(crate) struct CacheSettings {
    /// Most entries of all groups together.
    pub(crate) max_entries: usize,
    /// Most bytes of all groups together.
    pub(crate) max_bytes: u64,
    /// Milliseconds that a value lives when its set does not say.
    pub(crate) default_ttl_ms: u64,
    /// Durable Objects that the keys are spread over.
    pub(crate) groups: u32,
    /// Seconds for which a read may answer without asking the key's group.
    pub(crate) staleness_s: u32,
    /// Bytes of values kept in an isolate's memory.
    pub(crate) memory_bytes: u64,
    /// Where read-through loads from: a name and a URL with `{key}` in it.
    pub(crate) loaders: BTreeMap<String, String>,
    /// Milliseconds that a load may take before another tries.
    pub(crate) load_timeout_ms: u64,
}

/// What a request of a test brings in its header `sommos-test`, as JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Control {
    /// The names of the objects begin with it.
    pub(crate) space: String,
    /// Unix milliseconds; absent: the platform's clock.
    pub(crate) now: Option<u64>,
    #[serde(default)]
    limits: serde_json::Map<String, serde_json::Value>,
    cache_max_size: Option<usize>,
    cache_default_ttl_ms: Option<u64>,
    memory_limit_bytes: Option<u64>,
}

thread_local! {
    /// An isolate's environment does not change.
    static READ: RefCell<Option<Rc<Settings>>> = const { RefCell::new(None) };
}

impl Settings {
    /// The settings of this environment, read once an isolate.
    ///
    /// # Errors
    /// `INTERNAL` naming the variable and what would be right.
    pub(crate) fn of(env: &Env) -> Result<Rc<Self>, ApiError> {
        if let Some(settings) = READ.with_borrow(Clone::clone) {
            return Ok(settings);
        }
        let settings = Rc::new(Self::read(&|name| {
            let var = env.var(name).map(|v| v.to_string());
            var.ok()
                .or_else(|| env.secret(name).map(|s| s.to_string()).ok())
        })?);
        READ.set(Some(Rc::clone(&settings)));
        Ok(settings)
    }

    fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, ApiError> {
        let limits: Limits = json(get, "LIMITS")?.unwrap_or_else(Self::edge_limits);
        let origins = get("CORS_ORIGINS").unwrap_or_default();
        let origins = origins.split(',').map(str::trim).filter(|o| !o.is_empty());
        Ok(Self {
            tokens: Tokens::parse(&get("TOKENS").unwrap_or_default())
                .map_err(|error| wrong("TOKENS", error))?,
            origins: Origins::new(origins.map(str::to_owned))
                .map_err(|error| wrong("CORS_ORIGINS", error))?,
            defaults: Defaults {
                jobs: SubmitDefaults {
                    timeout_ms: number(get, "JOB_TIMEOUT_MS", 1_800_000)?,
                    retries: number(get, "RETRY_ATTEMPTS", 3)?,
                    retry_delay_ms: number(get, "RETRY_DELAY_MS", 1000)?,
                },
                task_timeout_ms: number(get, "TASK_TIMEOUT_MS", 300_000)?,
                batch_timeout_ms: number(get, "BATCH_TIMEOUT_MS", 1_800_000)?,
            },
            work: WorkSettings {
                workers: number(get, "WORKERS", 4)?,
                lease_ms: number(get, "LEASE_MS", 90_000)?,
                task_cost_max: number(get, "TASK_COST_MAX", 10_000_000_000)?,
                result_ttl_ms: number(get, "RESULT_TTL_MS", 86_400_000)?,
                results_max_bytes: number(get, "RESULTS_MAX_BYTES", 1 << 30)?,
                queued_bytes_max: number(get, "QUEUED_BYTES_MAX", 1 << 30)?,
            },
            cache: CacheSettings {
                max_entries: number(get, "CACHE_MAX_SIZE", 10_000)?,
                max_bytes: number(get, "CACHE_MAX_BYTES", 256 << 20)?,
                default_ttl_ms: number(get, "CACHE_DEFAULT_TTL_MS", 3_600_000)?,
                groups: number::<u32>(get, "CACHE_GROUPS", 1)?.clamp(1, 64),
                staleness_s: number(get, "CACHE_STALENESS_SECONDS", 10)?,
                memory_bytes: number(get, "CACHE_MEMORY_BYTES", 16 << 20)?,
                loaders: json(get, "CACHE_LOADERS")?.unwrap_or_default(),
                load_timeout_ms: number(get, "CACHE_LOAD_TIMEOUT_MS", 30_000)?,
            },
            memory_limit_bytes: number(get, "MEMORY_LIMIT_BYTES", 100 << 20)?,
            test_control: get("TEST_CONTROL").is_some_and(|on| on == "1"),
            limits,
        })
    }

    /// The native limits, but for those that an isolate's 128 MB of memory ask for.
    fn edge_limits() -> Limits {
        Limits {
            matrix_elements: 4 << 20,
            ratings: 2_000_000,
            queued_jobs: 20_000,
            chunk_bytes: 512 << 10,
            result_bytes: 32 << 20,
            ..Limits::default()
        }
    }

    /// The settings of a test's request.
    ///
    /// # Errors
    /// `INVALID_FIELD` when the header is none of ours.
    pub(crate) fn controlled(&self, text: &str) -> Result<(Self, Control), ApiError> {
        let unread = |error: serde_json::Error| ApiError::invalid("sommos-test", error);
        let control: Control = serde_json::from_str(text).map_err(unread)?;
        let mut settings = self.clone();
        if !control.limits.is_empty() {
            let mut limits = serde_json::to_value(&settings.limits).map_err(unread)?;
            if let Some(map) = limits.as_object_mut() {
                map.extend(control.limits.clone());
            }
            settings.limits = serde_json::from_value(limits).map_err(unread)?;
        }
        let cache = &mut settings.cache;
        cache.max_entries = control.cache_max_size.unwrap_or(cache.max_entries);
        cache.default_ttl_ms = control.cache_default_ttl_ms.unwrap_or(cache.default_ttl_ms);
        if let Some(bytes) = control.memory_limit_bytes {
            settings.memory_limit_bytes = bytes;
        }
        Ok((settings, control))
    }

    /// How the job queue's object works.
    pub(crate) fn work_config(&self) -> WorkConfig {
        let work = &self.work;
        WorkConfig {
            limits: self.limits.clone(),
            scheduler: Config {
                queued_max: self.limits.queued_jobs,
                queued_bytes_max: work.queued_bytes_max,
                lease_ms: work.lease_ms,
                large_max: work.workers.saturating_sub(1).max(1),
                ..Config::default()
            },
            retention: Retention {
                age_ms: work.result_ttl_ms,
                bytes: work.results_max_bytes,
                count: RECORDS_MAX,
            },
            workers: work.workers,
        }
    }
}

fn number<T: FromStr<Err: Display>>(
    get: &dyn Fn(&str) -> Option<String>,
    name: &str,
    default: T,
) -> Result<T, ApiError> {
    match get(name) {
        None => Ok(default),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|error| wrong(name, format!("{text:?} is no whole number: {error}"))),
    }
}

fn json<T: serde::de::DeserializeOwned>(
    get: &dyn Fn(&str) -> Option<String>,
    name: &str,
) -> Result<Option<T>, ApiError> {
    get(name)
        .map(|text| serde_json::from_str(&text).map_err(|error| wrong(name, error)))
        .transpose()
}

fn wrong(name: &str, error: impl Display) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("the worker's configuration, {name}: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default_and_wrong_values_are_named() {
        let settings = Settings::read(&|_| None).unwrap();
        assert_eq!(settings.work.workers, 4);
        assert!(settings.tokens.is_empty());
        for (name, value) in [
            ("WORKERS", "many"),
            ("TOKENS", "short admin"),
            ("CORS_ORIGINS", "example.com"),
            ("LIMITS", "{\"bodyBites\":1}"),
            ("CACHE_LOADERS", "[]"),
        ] {
            let error = Settings::read(&|n| (n == name).then(|| value.to_owned())).unwrap_err();
            assert!(error.message.contains(name), "{error}");
        }
    }

    #[test]
    fn a_test_brings_its_own_limits() {
        let settings = Settings::read(&|_| None).unwrap();
        let (settings, control) = settings
            .controlled(r#"{"space":"a","now":7,"limits":{"bodyBytes":100},"cacheMaxSize":3}"#)
            .unwrap();
        assert_eq!(settings.limits.body_bytes, 100);
        assert_eq!((settings.cache.max_entries, control.now), (3, Some(7)));
    }
}
