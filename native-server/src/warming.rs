//! Cache warming: NDJSON lines of {key, value, ttl, staleTtl, tags} from a file or a request body.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    ops::ControlFlow,
    path::Path,
};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use sommos_core::wire::{
    ApiError, ErrorCode,
    cache::{CacheGetOrLoad, CacheWarmed, decode_warm_line},
    envelope,
};

use crate::{app::App, distributed::OwnedSet};

/// Values that go to the shared cache in one question.
const SHARED_BATCH: usize = 256;

/// Warms from a file, a line at a time; with `only`, just these keys. Lines that cannot be used
/// are counted and logged, and the rest goes on: a cold entry is no reason to stay cold altogether.
///
/// # Errors
/// `UNAVAILABLE` when the file cannot be read.
pub fn from_file(
    app: &App,
    path: &Path,
    only: Option<&[String]>,
    ttl_ms: Option<u64>,
) -> Result<CacheWarmed, ApiError> {
    let mut wanted: Option<HashSet<&str>> = only.map(|k| k.iter().map(String::as_str).collect());
    let mut warmed = CacheWarmed {
        warmed: 0,
        missing: 0,
    };
    let mut shared = Vec::new();
    each_line(app, path, |number, line| {
        let wanted = wanted.as_mut();
        warm_line(app, number, line, wanted, ttl_ms, &mut warmed, &mut shared);
        if shared.len() >= SHARED_BATCH {
            tokio::runtime::Handle::current().block_on(share(app, &mut shared));
        }
        ControlFlow::Continue(())
    })?;
    if !shared.is_empty() {
        tokio::runtime::Handle::current().block_on(share(app, &mut shared));
    }
    warmed.missing += wanted.map_or(0, |rest| rest.len());
    Ok(warmed)
}

/// Looks a key up in a file and stores its value, the first one when there are several; gives the
/// answer of a get. What the request says about time and tags goes before what the line says.
///
/// # Errors
/// `UNAVAILABLE` when the file cannot be read.
pub fn load(
    app: &App,
    path: &Path,
    wanted: &CacheGetOrLoad<'_>,
) -> Result<Option<Bytes>, ApiError> {
    let mut found = None;
    each_line(app, path, |number, line| {
        // Warming tells of lines that cannot be used; here each load would tell again.
        let Ok(mut set) = decode_warm_line(number, line.trim_ascii(), &app.limits) else {
            return ControlFlow::Continue(());
        };
        if set.key != wanted.key {
            return ControlFlow::Continue(());
        }
        set.ttl_ms = wanted.ttl_ms.or(set.ttl_ms);
        set.stale_ttl_ms = wanted.stale_ttl_ms.or(set.stale_ttl_ms);
        if !wanted.tags.is_empty() {
            set.tags.clone_from(&wanted.tags);
        }
        let kept = match &app.shared {
            Some(shared) => {
                let set = [app.owned_set(&set)];
                tokio::runtime::Handle::current().block_on(shared.set_many(&set))
            }
            None => app.cache.set(app.now(), &set),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "a loaded value is not kept");
        }
        found = Some(Bytes::from(envelope::raw_data(set.value.as_bytes())));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Hands each line of a file to `each` with its number, until that breaks off.
fn each_line(
    app: &App,
    path: &Path,
    mut each: impl FnMut(usize, &[u8]) -> ControlFlow<()>,
) -> Result<(), ApiError> {
    let unreadable = |error: std::io::Error| {
        tracing::warn!(path = %path.display(), %error, "cannot read warming file");
        ApiError::new(
            ErrorCode::Unavailable,
            format!("the loader's file cannot be read: {error}"),
        )
    };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let line_max = app.limits.body_bytes as u64;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(line_max)
            .read_until(b'\n', &mut line)
            .map_err(unreadable)?;
        if read == 0 || each(number, &line).is_break() {
            break;
        }
    }
    Ok(())
}

/// Warms from a streamed body, in constant memory.
///
/// # Errors
/// `TOO_LARGE` for a line over the body limit, `UNAVAILABLE` when the connection breaks.
pub async fn from_body(app: &App, mut body: Body) -> Result<CacheWarmed, ApiError> {
    let mut warmed = CacheWarmed {
        warmed: 0,
        missing: 0,
    };
    let mut rest: Vec<u8> = Vec::new();
    let mut shared = Vec::new();
    let mut number = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::new(
                ErrorCode::Unavailable,
                format!("the body broke off: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        rest.extend_from_slice(&data);
        let mut start = 0;
        while let Some(end) = rest[start..].iter().position(|b| *b == b'\n') {
            number += 1;
            warm_line(
                app,
                number,
                &rest[start..start + end],
                None,
                None,
                &mut warmed,
                &mut shared,
            );
            start += end + 1;
            if shared.len() >= SHARED_BATCH {
                share(app, &mut shared).await;
            }
        }
        rest.drain(..start);
        if rest.len() > app.limits.body_bytes {
            return Err(ApiError::too_large(
                "body",
                rest.len(),
                app.limits.body_bytes as u64,
            ));
        }
    }
    let last = number + 1;
    warm_line(app, last, &rest, None, None, &mut warmed, &mut shared);
    share(app, &mut shared).await;
    Ok(warmed)
}

/// Sends values to the cache that servers share.
async fn share(app: &App, sets: &mut Vec<OwnedSet>) {
    if let Some(shared) = &app.shared
        && let Err(error) = shared.set_many(sets).await
    {
        tracing::warn!(%error, "values are not kept");
    }
    sets.clear();
}

fn warm_line(
    app: &App,
    number: usize,
    line: &[u8],
    wanted: Option<&mut HashSet<&str>>,
    ttl_ms: Option<u64>,
    warmed: &mut CacheWarmed,
    shared: &mut Vec<OwnedSet>,
) {
    let line = line.trim_ascii();
    if line.is_empty() {
        return;
    }
    let result = decode_warm_line(number, line, &app.limits).and_then(|mut set| {
        if wanted.is_some_and(|wanted| !wanted.remove(&*set.key)) {
            return Ok(false);
        }
        set.ttl_ms = ttl_ms.or(set.ttl_ms);
        if app.shared.is_some() {
            app.cache.check(&set)?;
            shared.push(app.owned_set(&set));
            return Ok(true);
        }
        app.cache.set(app.now(), &set).map(|()| true)
    });
    match result {
        Ok(true) => warmed.warmed += 1,
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, "warming skipped a line");
            warmed.missing += 1;
        }
    }
}
