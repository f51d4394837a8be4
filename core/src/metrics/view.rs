//! What the registry answers.

use super::{
    Alert, ApiCurrent, Category, CategoryData, Current, Endpoint, ErrorReport, ExportRange,
    HistorySection, MetricsExport, MlCurrent, Monitor, MonitorError, Point, RuleStatus, Summary,
    SystemCurrent, VitalMetrics, Windows, alert::HISTORY_MAX, export::points, history::Row,
    state::snapshot,
};
use crate::time::Timestamp;

impl Monitor {
    /// Alerts that ended and are remembered, at most.
    pub const ALERT_HISTORY_MAX: usize = HISTORY_MAX;

    /// Open alerts, at most one a rule.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.lock().alerts.open().cloned().collect()
    }

    /// The last 256 alerts that ended, oldest first.
    #[must_use]
    pub fn alert_history(&self) -> Vec<Alert> {
        self.lock().alerts.ended().cloned().collect()
    }

    /// Every rule, its state and its last reading.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleStatus> {
        self.lock().alerts.statuses()
    }

    /// The summary in the seed's shape.
    #[must_use]
    pub fn summary(&self, now: Timestamp) -> Summary {
        let state = self.lock();
        state.summary(now, &self.traffic.totals())
    }

    /// The rolling windows that end now.
    #[must_use]
    pub fn windows(&self, now: Timestamp) -> Windows {
        let state = self.lock();
        let totals = self.traffic.totals();
        state
            .rolling
            .windows(&snapshot(now, &totals, &state.records))
    }

    /// Each route that answered at least once.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.traffic.endpoints()
    }

    /// Errors by type, and the last hundred.
    #[must_use]
    pub fn errors(&self) -> ErrorReport {
        self.lock().records.error_report()
    }

    /// Web vitals and custom metrics.
    #[must_use]
    pub fn web_vitals(&self) -> Vec<VitalMetrics> {
        self.lock().vitals.view()
    }

    /// One category now.
    #[must_use]
    pub fn current(&self, now: Timestamp, category: Category) -> Current {
        self.with_sample(now, |sample, state| match category {
            Category::System => Current::System(SystemCurrent {
                totals: sample.system,
                cpu_per_core: state.cores.clone(),
            }),
            Category::Api => Current::Api(ApiCurrent {
                totals: sample.api,
                endpoints: self.traffic.endpoints(),
                errors: state.records.error_report(),
                web_vitals: state.vitals.view(),
            }),
            Category::Ml => Current::Ml(MlCurrent {
                totals: sample.ml,
                models: state.records.models(),
            }),
            plain => Current::Plain(CategoryData::read(plain, &sample.cells())),
        })
    }

    /// One category's history in `from..=to`: five-second rows of the last hour and minutes of the
    /// last day before, at most 2,162. With `step_ms`, one row an interval of it (gauges as means,
    /// counters as last values), at the multiples of the step.
    ///
    /// # Errors
    /// A range that ends before it begins, or a step of 0.
    pub fn range(
        &self,
        category: Category,
        from: Timestamp,
        to: Timestamp,
        step_ms: Option<u64>,
    ) -> Result<Vec<Point>, MonitorError> {
        Ok(points(category, &self.rows(from, to, step_ms)?))
    }

    pub(super) fn rows(
        &self,
        from: Timestamp,
        to: Timestamp,
        step_ms: Option<u64>,
    ) -> Result<Vec<Row>, MonitorError> {
        if from > to {
            return Err(MonitorError::InvalidRange {
                from: from.0,
                to: to.0,
            });
        }
        if step_ms == Some(0) {
            return Err(MonitorError::InvalidStep);
        }
        Ok(self.lock().history.range(from.0, to.0, step_ms))
    }

    /// Everything that is known, with the history in `range`.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub fn export(
        &self,
        now: Timestamp,
        range: &ExportRange,
    ) -> Result<MetricsExport, MonitorError> {
        let rows = self.rows(range.from, range.to, range.step_ms)?;
        let state = self.lock();
        let totals = self.traffic.totals();
        Ok(MetricsExport {
            timestamp: now,
            summary: state.summary(now, &totals),
            metrics: state.view(now, &totals),
            endpoints: self.traffic.endpoints(),
            models: state.records.models(),
            errors: state.records.error_report(),
            web_vitals: state.vitals.view(),
            alerts: state.alerts.open().cloned().collect(),
            alert_history: state.alerts.ended().cloned().collect(),
            history: HistorySection::new(&rows),
        })
    }
}
