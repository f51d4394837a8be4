//! GET /monitoring/summary: of one instance, or of all that share a Redis.

use serde::Serialize;

use crate::{
    distributed::BreakerState,
    metrics::{Figures, Instance, InstanceJobs, Monitor, Summary, SummaryApplication},
    time::Timestamp,
    wire::{ApiError, decode, envelope},
};

/// The name of the one instance where no name was given.
pub const ALONE: &str = "local";

/// Whose summary is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The instance that is asked.
    #[default]
    Node,
    /// All that share a Redis.
    Cluster,
}

impl Scope {
    const NAMES: [&str; 2] = ["node", "cluster"];

    /// `scope` of a query; the instance alone when absent.
    ///
    /// # Errors
    /// `UNKNOWN_NAME`.
    pub fn of(query: &str) -> Result<Self, ApiError> {
        match decode::query_value(query, "scope").as_deref() {
            None | Some("node") => Ok(Self::Node),
            Some("cluster") => Ok(Self::Cluster),
            Some(other) => Err(ApiError::unknown("scope", "scope", other, &Self::NAMES)),
        }
    }
}

/// An instance as another sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub node_id: Box<str>,
    /// What it told.
    pub instance: Instance,
    /// How long ago that was, ms.
    pub age_ms: u64,
}

impl Member {
    /// Whether its figures are too old to count as those of now.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.age_ms > self.instance.fresh_ms
    }
}

/// What is known beside the instance that answers; nothing without Redis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Others {
    /// The other instances.
    pub members: Vec<Member>,
    /// Instances that were seen but not read.
    pub left_off: u64,
    /// The circuit breaker before Redis.
    pub breaker: Option<BreakerState>,
    /// Jobs that wait in a queue that all share, count.
    pub queued: u64,
}

/// `data` of GET /monitoring/summary?scope=cluster: the fields of the summary, of all instances
/// together, and each of them. Only instances whose figures are fresh are counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterSummary {
    /// All fresh instances together: sums, and quantiles of their added histograms; the processor
    /// is the mean, the uptime the longest.
    #[serde(flatten)]
    pub summary: Summary,
    /// Always cluster.
    pub scope: &'static str,
    /// Jobs of the fresh instances that know theirs.
    pub jobs: ClusterJobs,
    /// How complete this is.
    pub cluster: ClusterState,
    /// Each instance, by name.
    pub instances: Vec<InstanceSummary>,
}

/// Jobs of all instances together, and of the queue that they share; null where none knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterJobs {
    /// Jobs, tasks and chunks at work in these instances.
    pub active: Option<u64>,
    /// Jobs, tasks and chunks that wait in any of their queues.
    pub queued: Option<u64>,
}

/// How complete the summary of a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterState {
    /// The instance that answers and those whose figures count.
    pub fresh: usize,
    /// Instances whose last figures are too old to count.
    pub stale: usize,
    /// Instances that were seen but not read, for there are too many or they tell nothing that is
    /// understood.
    pub left_off: u64,
    /// The circuit breaker before Redis; null without Redis.
    pub breaker: Option<BreakerState>,
}

/// One instance; rates, errors and quantiles over its last minute.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstanceSummary {
    /// Its name: `--node-id`, or random.
    pub node_id: Box<str>,
    /// Where it listens; null where nobody calls it by an address.
    pub address: Option<Box<str>>,
    /// Whether it is the one that answers.
    pub answers: bool,
    /// Whether its figures are older than three of its sampling intervals: then they are not
    /// counted.
    pub stale: bool,
    /// When it told its figures, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub last_seen: Timestamp,
    /// How long ago that was, ms.
    pub age_ms: u64,
    /// Time since its process started, seconds; null where unknown.
    pub uptime: Option<u64>,
    /// Responses a second.
    pub requests_per_second: f64,
    /// 95th percentile of the response time, milliseconds; null without responses.
    pub p95_ms: Option<f64>,
    /// Errors.
    pub errors: u64,
    /// Errors of responses, percent.
    pub error_rate: f64,
    /// Requests at work.
    pub in_flight: u64,
    /// Processor use, percent; null where unknown.
    pub cpu: Option<f64>,
    /// Memory, bytes; null where unknown.
    pub memory: Option<u64>,
    /// Open alerts, count.
    pub alerts: u64,
    /// Jobs, tasks and chunks at work; null where unknown.
    pub jobs_active: Option<u64>,
    /// Jobs, tasks and chunks that wait in its own queue; null where unknown.
    pub jobs_queued: Option<u64>,
}

impl InstanceSummary {
    fn new(now: Timestamp, member: &Member, answers: bool) -> Self {
        let Member {
            node_id, instance, ..
        } = member;
        let summary = instance.figures.summary(now);
        let SummaryApplication {
            throughput,
            p95_ms,
            in_flight,
            ..
        } = summary.application;
        Self {
            node_id: node_id.clone(),
            address: (!instance.address.is_empty()).then(|| instance.address.clone()),
            answers,
            stale: member.is_stale(),
            last_seen: Timestamp(now.0.saturating_sub(member.age_ms)),
            age_ms: member.age_ms,
            uptime: summary.system.uptime,
            requests_per_second: throughput,
            p95_ms,
            errors: summary.windows.minute.errors,
            error_rate: summary.windows.minute.error_rate,
            in_flight,
            cpu: summary.system.cpu,
            memory: summary.system.memory,
            alerts: summary.alerts,
            jobs_active: instance.jobs.map(|jobs| jobs.active),
            jobs_queued: instance.jobs.map(|jobs| jobs.queued),
        }
    }
}

/// Adds up what instances told: `own` of the one that answers, and `others`. O(2,688 an instance).
#[must_use]
pub fn cluster(now: Timestamp, own: &Member, others: &Others) -> ClusterSummary {
    let mut members: Vec<&Member> = others.members.iter().collect();
    members.push(own);
    // Sums of fractions come out the same whoever answers.
    members.sort_by(|a, b| a.node_id.cmp(&b.node_id));
    let mut figures = Figures::default();
    let mut jobs: Option<InstanceJobs> = None;
    let fresh = members.iter().filter(|member| !member.is_stale());
    for Member { instance, .. } in fresh.clone() {
        figures.merge(&instance.figures);
        if let Some(more) = instance.jobs {
            let sum = jobs.get_or_insert_default();
            sum.active = sum.active.saturating_add(more.active);
            sum.queued = sum.queued.saturating_add(more.queued);
        }
    }
    let fresh = fresh.count();
    let view = |member: &&Member| InstanceSummary::new(now, member, core::ptr::eq(*member, own));
    ClusterSummary {
        summary: figures.summary(now),
        scope: "cluster",
        jobs: ClusterJobs {
            active: jobs.map(|jobs| jobs.active),
            queued: jobs.map(|jobs| jobs.queued.saturating_add(others.queued)),
        },
        cluster: ClusterState {
            fresh,
            stale: members.len() - fresh,
            left_off: others.left_off,
            breaker: others.breaker,
        },
        instances: members.iter().map(view).collect(),
    }
}

/// The answer of GET /monitoring/summary of a shell that is one instance and no more.
///
/// # Errors
/// 400 naming the parameter.
pub fn summary(monitor: &Monitor, now: Timestamp, query: &str) -> Result<Vec<u8>, ApiError> {
    if Scope::of(query)? == Scope::Node {
        return envelope::data(&monitor.summary(now));
    }
    let own = Member {
        node_id: ALONE.into(),
        instance: Instance {
            figures: monitor.figures(now),
            ..Instance::default()
        },
        age_ms: 0,
    };
    envelope::data(&cluster(now, &own, &Others::default()))
}
