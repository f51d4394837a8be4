//! The registry of metrics. Large answers are JSON text.

use sommos_core::{
    metrics::{
        self, AlertEvent, Category, ErrorOrigin, ExportRange, MonitorConfig, MonitorError, Rating,
        Route, SystemSample, Thresholds, WebMetric,
    },
    time::Timestamp,
};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Metrics, their history and the alerts. Times are milliseconds since 1970.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Monitor(metrics::Monitor);

#[wasm_bindgen]
impl Monitor {
    /// A registry whose counters begin at `now`. Thresholds in the order cpu, memory,
    /// responseTime, errorRate, cacheHitRate, slowQueries; without `alert_after_ms` and
    /// `min_samples` each rule has its own.
    ///
    /// # Errors
    /// `INVALID_OPTION`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        now: f64,
        thresholds: &[f64],
        slow_query_ms: f64,
        retention_ms: f64,
        alert_after_ms: Option<f64>,
        min_samples: Option<u32>,
    ) -> Result<Self, JsValue> {
        let &[
            cpu,
            memory,
            response_time,
            error_rate,
            cache_hit_rate,
            slow_queries,
        ] = thresholds
        else {
            return Err(refuse("INVALID_OPTION", "six thresholds are needed"));
        };
        let thresholds = Thresholds {
            cpu,
            memory,
            response_time,
            error_rate,
            cache_hit_rate,
            slow_queries,
        };
        let mut rules = thresholds.rules();
        for rule in &mut rules {
            if let Some(ms) = alert_after_ms {
                (rule.for_ms, rule.keep_ms) = (ms as u64, ms as u64);
            }
            if let Some(samples) = min_samples {
                rule.min_samples = u64::from(samples);
            }
        }
        let config = MonitorConfig {
            slow_query_ms,
            retention_ms: retention_ms as u64,
            rules,
            ..MonitorConfig::default()
        };
        metrics::Monitor::new(time(now), config)
            .map(Self)
            .map_err(|error| refuse("INVALID_OPTION", error))
    }

    /// Counts a route apart; its number.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    #[wasm_bindgen(js_name = addRoute)]
    pub fn add_route(&mut self, method: &str, template: &str) -> Result<u32, JsValue> {
        let index = self.0.add_route(Route::new(method, template));
        index.map(|i| i as u32).map_err(refused)
    }

    /// A request began.
    #[wasm_bindgen(js_name = requestStarted)]
    pub fn request_started(&self) {
        self.0.request_started();
    }

    /// A request is over, answered or not.
    #[wasm_bindgen(js_name = requestEnded)]
    pub fn request_ended(&self) {
        self.0.request_ended();
    }

    /// Counts a response.
    #[wasm_bindgen(js_name = recordRequest)]
    pub fn record_request(&self, route: u32, status: u16, duration_ms: f64, bytes: f64) {
        let duration_us = (duration_ms * 1000.0) as u64;
        self.0
            .record_request(route as usize, status, duration_us, bytes as u64);
    }

    /// Remembers an error.
    #[wasm_bindgen(js_name = recordError)]
    pub fn record_error(&self, now: f64, kind: &str, message: &str, context: Option<String>) {
        let origin = ErrorOrigin::Other;
        self.0
            .record_error(time(now), origin, kind, message, context.as_deref());
    }

    /// Counts a lookup in a cache.
    #[wasm_bindgen(js_name = recordCacheLookup)]
    pub fn record_cache_lookup(&self, hit: bool) {
        self.0.record_cache_lookup(hit);
    }

    /// Counts a database query.
    #[wasm_bindgen(js_name = recordDbQuery)]
    pub fn record_db_query(&self, ms: f64) {
        self.0.record_db_query(ms);
    }

    /// Counts a prediction.
    #[wasm_bindgen(js_name = recordPrediction)]
    pub fn record_prediction(&self, model: &str, ms: f64, accuracy: Option<f64>) {
        self.0.record_ml_prediction(model, ms, accuracy);
    }

    /// Counts a web vital or custom metric; its rating is a number in the order good,
    /// needs-improvement, poor.
    ///
    /// # Errors
    /// `UNKNOWN_NAME`, `INVALID_FIELD`, `LIMIT_EXCEEDED`.
    #[wasm_bindgen(js_name = recordVital)]
    pub fn record_vital(&self, name: &str, value: f64, rating: Option<u8>) -> Result<(), JsValue> {
        const RATINGS: [Rating; 3] = [Rating::Good, Rating::NeedsImprovement, Rating::Poor];
        let rating = rating.and_then(|r| RATINGS.get(usize::from(r)).copied());
        let metric = WebMetric {
            name,
            value,
            rating,
        };
        self.0.record_web_metric(&metric).map_err(refused)
    }

    /// One round: takes over the system's figures (in the order of the history's columns, NaN for
    /// unknown), samples, and steps the alert rules. Answers the sample, the alerts raised and
    /// those over, as a JSON array. `entropy`: 16 random bytes for each of the six rules.
    ///
    /// # Errors
    /// `INTERNAL`.
    pub fn round(&self, now: f64, system: &[f64], entropy: &[u8]) -> Result<String, JsValue> {
        let now = time(now);
        self.0.record_system(now, &system_sample(system));
        self.0.tick(now);
        let sample = self.0.sample(now);
        let mut ids = entropy.chunks_exact(16);
        let mut next = || {
            let id = ids.next().and_then(|id| id.try_into().ok());
            id.unwrap_or_default()
        };
        let (mut raised, mut over) = (Vec::new(), Vec::new());
        for event in self.0.evaluate(now, &mut next) {
            match event {
                AlertEvent::Triggered(alert) => raised.push(alert),
                AlertEvent::Resolved(alert) => over.push(alert),
            }
        }
        text(serde_json::to_string(&(sample, raised, over)))
    }

    /// Every category now, in the order system, application, database, api, cache, ml: a JSON
    /// array.
    ///
    /// # Errors
    /// `INTERNAL`.
    pub fn current(&self, now: f64) -> Result<String, JsValue> {
        let all = Category::ALL.map(|category| self.0.current(time(now), category));
        text(serde_json::to_string(&all))
    }

    /// The history of the category of this place in that order.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `UNKNOWN_NAME`.
    pub fn range(
        &self,
        category: usize,
        from: f64,
        to: f64,
        step_ms: Option<f64>,
    ) -> Result<String, JsValue> {
        let category = Category::ALL
            .get(category)
            .ok_or_else(|| refuse("UNKNOWN_NAME", "no such category"))?;
        let step_ms = step_ms.map(|ms| ms as u64);
        let points = self
            .0
            .range(*category, time(from), time(to), step_ms)
            .map_err(refused)?;
        text(serde_json::to_string(&points))
    }

    /// The summary.
    ///
    /// # Errors
    /// `INTERNAL`.
    pub fn summary(&self, now: f64) -> Result<String, JsValue> {
        text(serde_json::to_string(&self.0.summary(time(now))))
    }

    /// The open alerts.
    ///
    /// # Errors
    /// `INTERNAL`.
    pub fn alerts(&self) -> Result<String, JsValue> {
        text(serde_json::to_string(&self.0.alerts()))
    }

    /// Resolves an alert; the alert.
    ///
    /// # Errors
    /// `ALERT_NOT_FOUND`.
    pub fn resolve(&self, now: f64, id: &str) -> Result<String, JsValue> {
        let alert = self.0.resolve(time(now), id).map_err(refused)?;
        text(serde_json::to_string(&alert))
    }

    /// Everything as JSON.
    ///
    /// # Errors
    /// `INVALID_FIELD`.
    #[wasm_bindgen(js_name = exportJson)]
    pub fn export_json(
        &self,
        now: f64,
        from: f64,
        to: f64,
        step_ms: Option<f64>,
    ) -> Result<String, JsValue> {
        self.0
            .export_json(time(now), &range(from, to, step_ms))
            .map_err(refused)
    }

    /// The history as CSV.
    ///
    /// # Errors
    /// `INVALID_FIELD`.
    #[wasm_bindgen(js_name = exportCsv)]
    pub fn export_csv(&self, from: f64, to: f64, step_ms: Option<f64>) -> Result<String, JsValue> {
        self.0
            .export_csv(&range(from, to, step_ms))
            .map_err(refused)
    }

    /// Bytes in the module's memory.
    #[wasm_bindgen(js_name = memoryUsage)]
    pub fn memory_usage(&self) -> usize {
        self.0.memory_bytes()
    }
}

fn system_sample(cells: &[f64]) -> SystemSample {
    let number = |i: usize| cells.get(i).copied().filter(|n| n.is_finite());
    let count = |i| number(i).map(|n| n as u64);
    SystemSample {
        cpu_percent: number(0),
        memory_used: count(1),
        memory_total: count(2),
        process_cpu_percent: number(3),
        rss: count(4),
        threads: count(5),
        disk_used: count(6),
        disk_total: count(7),
        load1: number(8),
        uptime_s: count(9),
        // The rest is of processes.
        ..SystemSample::default()
    }
}

fn time(ms: f64) -> Timestamp {
    Timestamp(ms as u64)
}

fn range(from: f64, to: f64, step_ms: Option<f64>) -> ExportRange {
    ExportRange {
        from: time(from),
        to: time(to),
        step_ms: step_ms.map(|ms| ms as u64),
    }
}

fn text(json: serde_json::Result<String>) -> Result<String, JsValue> {
    json.map_err(|error| refuse("INTERNAL", error))
}

fn refused(error: MonitorError) -> JsValue {
    let code = match &error {
        MonitorError::UnknownAlert(_) => "ALERT_NOT_FOUND",
        MonitorError::UnknownMetric(_) => "UNKNOWN_NAME",
        MonitorError::TooManyMetrics { .. } | MonitorError::TooManyRoutes { .. } => {
            "LIMIT_EXCEEDED"
        }
        _ => "INVALID_FIELD",
    };
    refuse(code, error)
}
