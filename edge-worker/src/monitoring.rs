//! Requests are counted where they are answered, and the counts handed to the monitor's object in
//! one call for many requests.

use std::{cell::RefCell, collections::HashMap};

use sommos_core::{
    metrics::CacheFigures,
    wire::{
        ApiError,
        monitoring::route_index,
        routes::{Part, ROUTES, Route},
    },
};
use worker::{AnalyticsEngineDataPointBuilder, Context, Delay};

use crate::{
    body, cache,
    call::{Call, Object},
    http::{Answer, Asked},
    objects::monitor::{Command, Counted},
};

/// Counts wait so long for more to join them, milliseconds.
const JOIN_MS: u64 = 1000;
/// Spaces whose counts are kept: one, but for tests.
const SPACES_MAX: usize = 1024;

#[derive(Default)]
struct Waiting {
    counts: HashMap<(Option<Route>, u16), (u64, u64)>,
    /// When somebody promised to hand them on, Unix milliseconds.
    promised: Option<u64>,
}

thread_local! {
    static WAITING: RefCell<HashMap<Box<str>, Waiting>> = RefCell::default();
}

/// Counts a request that was answered. Calls of monitoring are counted by the object itself.
pub(crate) fn count(call: &Call, context: &Context, route: Option<Route>, status: u16, bytes: u64) {
    if route.is_some_and(|route| route.part() == Part::Monitoring) {
        return;
    }
    let now = crate::call::now().0;
    let promise = WAITING.with_borrow_mut(|spaces| {
        if spaces.len() >= SPACES_MAX && !spaces.contains_key(&*call.space) {
            spaces.clear();
        }
        let waiting = spaces.entry((&*call.space).into()).or_default();
        let (count, sum) = waiting.counts.entry((route, status)).or_default();
        *count += 1;
        *sum += bytes;
        // A promise that was not kept, its request having been ended, is made anew.
        let open = waiting
            .promised
            .is_some_and(|at| now.saturating_sub(at) < 5 * JOIN_MS);
        if !open {
            waiting.promised = Some(now);
        }
        !open
    });
    if promise && !call.by_hand() {
        let call = call.clone();
        context.wait_until(async move {
            Delay::from(std::time::Duration::from_millis(JOIN_MS)).await;
            if let Err(error) = flush(&call).await {
                worker::console_error!("counts were not handed on: {error}");
            }
        });
    }
}

/// Takes the counts that wait.
fn take(call: &Call) -> Vec<Counted> {
    let waiting = WAITING.with_borrow_mut(|spaces| spaces.remove(&*call.space));
    let counts = waiting.map(|w| w.counts).unwrap_or_default();
    let rows = counts
        .into_iter()
        .map(|((route, status), (count, bytes))| Counted {
            route: route.map(|route| route_index(Some(route)) as u32),
            status,
            count,
            bytes,
        });
    rows.collect()
}

/// Hands the counts on; those that are not taken wait for the next time.
pub(crate) async fn flush(call: &Call) -> Result<(), ApiError> {
    let counts = take(call);
    if counts.is_empty() {
        return Ok(());
    }
    analyze(call, &counts);
    let none: [&[u8]; 0] = [];
    let command = Command::Count(counts);
    call.ask::<_, ()>(Object::Monitor, &command, &none).await?;
    Ok(())
}

/// A data point for each route and status, where Analytics Engine is bound.
fn analyze(call: &Call, counts: &[Counted]) {
    let Ok(dataset) = call.env.analytics_engine("ANALYTICS") else {
        return;
    };
    for counted in counts {
        let info = counted.route.and_then(|index| ROUTES.get(index as usize));
        let (method, path) = info.map_or(("", "other"), |info| (info.method, info.path));
        let point = AnalyticsEngineDataPointBuilder::new()
            .indexes([path])
            .blobs([method, path, &counted.status.to_string()])
            .doubles([counted.count as f64, counted.bytes as f64])
            .build();
        if let Err(error) = dataset.write_data_point(&point) {
            worker::console_error!("Analytics Engine: {error}");
            return;
        }
    }
}

/// Asks the monitor's object, which gets the counts of this isolate and the cache's figures first.
pub(crate) async fn ask(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let body = body::read(asked).await?;
    let call = asked.call;
    let cache = figures(call).await;
    let command = Command::Call {
        counts: take(call),
        cache,
        method: asked.method.to_owned(),
        path: asked.path.to_owned(),
        query: asked.query.to_owned(),
    };
    call.send(Object::Monitor, &command, &[body])
        .await
        .map(Answer::Sent)
}

/// The cache's figures; none when its groups do not answer, for the rest can be told without.
async fn figures(call: &Call) -> Option<Figures> {
    let stats = cache::stats(call).await.ok()?;
    Some((
        stats.hits,
        stats.misses,
        stats.size as u64,
        stats.memory_usage,
    ))
}

/// Hits, misses, entries and bytes of the cache.
pub(crate) type Figures = (u64, u64, u64, u64);

/// As core reads them.
pub(crate) fn cache_figures(figures: Option<Figures>) -> CacheFigures {
    figures.map_or_else(CacheFigures::default, |(hits, misses, size, memory)| {
        CacheFigures {
            hits,
            misses,
            size: Some(size),
            memory: Some(memory),
        }
    })
}

/// What the cron run does for the monitor: samples and alerts, also when nobody asks.
pub(crate) async fn tick(call: &Call) -> Result<(), ApiError> {
    let none: [&[u8]; 0] = [];
    let command = Command::Tick(figures(call).await);
    call.ask::<_, ()>(Object::Monitor, &command, &none).await?;
    Ok(())
}
