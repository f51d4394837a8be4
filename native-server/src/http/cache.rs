//! Cache calls.

use std::{path::PathBuf, sync::Arc};

use sommos_core::wire::{ApiError, ErrorCode, cache as wire, decode, envelope};

use super::{Call, body::cpu, reply::Reply};
use crate::{app::App, loading, warming};

const NDJSON: &str = "application/x-ndjson";

pub(super) fn stats(call: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::json(envelope::data(&call.app.cache.stats())?))
}

pub(super) fn get(call: &Call) -> Result<Reply, ApiError> {
    let app = &call.app;
    let key = wire::decode_path_key(&call.param, &app.limits)?;
    app.cache
        .get(app.now(), &key)
        .map(Reply::json)
        .ok_or_else(wire::key_not_found)
}

/// As [`get`], where other servers may have the value.
pub(super) async fn get_shared(app: Arc<App>, param: String) -> Result<Reply, ApiError> {
    let key = wire::decode_path_key(&param, &app.limits)?;
    let answer = match &app.shared {
        Some(shared) => shared.get(&key).await,
        None => app.cache.get(app.now(), &key),
    };
    answer.map(Reply::json).ok_or_else(wire::key_not_found)
}

pub(super) async fn distributed_stats(app: Arc<App>) -> Result<Reply, ApiError> {
    let mut stats = match &app.shared {
        Some(shared) => shared.stats().await,
        None => wire::DistributedStatsResponse::default(),
    };
    stats.origin_loads = app.loads.count();
    Ok(Reply::json(envelope::data(&stats)?))
}

pub(super) async fn set(call: Call) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let size = held.bytes.len();
    let inner = Arc::clone(&app);
    let shared = cpu(&app, size, move || {
        let set = wire::CacheSetRequest::decode(&held.bytes, &inner.limits)?;
        if inner.shared.is_some() {
            return Ok(Some(inner.owned_set(&set)));
        }
        inner.cache.set(inner.now(), &set).map(|()| None)
    })
    .await?;
    if let (Some(set), Some(shared)) = (shared, &app.shared) {
        Box::pin(shared.set_many(&[set])).await?;
    }
    Ok(Reply::json(envelope::message(wire::CACHED)))
}

pub(super) async fn delete(app: Arc<App>, param: String) -> Result<Reply, ApiError> {
    let key = wire::decode_path_key(&param, &app.limits)?;
    let removed = match &app.shared {
        Some(shared) => shared.remove(&key).await,
        None => app.cache.remove(app.now(), &key),
    };
    if removed {
        return Ok(Reply::json(envelope::message(wire::DELETED)));
    }
    Err(wire::key_not_found())
}

pub(super) async fn clear(app: Arc<App>) -> Result<Reply, ApiError> {
    let count = match &app.shared {
        Some(shared) => shared.clear().await,
        None => app.cache.clear(),
    };
    Ok(Reply::json(envelope::message(&wire::cleared(count))))
}

pub(super) async fn invalidate_tag(app: Arc<App>, param: String) -> Result<Reply, ApiError> {
    let tag = wire::decode_path_tag(&param, &app.limits)?;
    let count = match &app.shared {
        Some(shared) => shared.invalidate_tag(&tag).await,
        None => app.cache.invalidate_tag(app.now(), &tag),
    };
    Ok(Reply::json(envelope::message(&wire::invalidated(count))))
}

pub(super) async fn get_or_load(call: Call) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let wanted = wire::CacheGetOrLoadRequest::decode(&held.bytes, &app.limits)?;
    let path = loader(&app, Some(&wanted.loader))?;
    let wanted = loading::owned(wanted);
    drop(held);
    loading::get_or_load(&app, wanted, path)
        .await
        .map(Reply::json)
}

pub(super) async fn get_many(call: Call) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let size = held.bytes.len();
    let inner = Arc::clone(&app);
    if let Some(shared) = &app.shared {
        let keys = wire::CacheGetManyRequest::decode(&held.bytes, &app.limits)?;
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let found = shared.get_values(&keys).await;
        let found = keys.iter().copied().zip(found);
        return wire::encode_many(found, app.limits.result_bytes).map(Reply::json);
    }
    let answer = cpu(&app, size, move || {
        let keys = wire::CacheGetManyRequest::decode(&held.bytes, &inner.limits)?;
        let now = inner.now();
        let found = keys
            .iter()
            .map(|key| (key.as_ref(), inner.cache.get_value(now, key)));
        wire::encode_many(found, inner.limits.result_bytes)
    })
    .await?;
    Ok(Reply::json(answer))
}

pub(super) async fn set_many(call: Call) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let size = held.bytes.len();
    let inner = Arc::clone(&app);
    let (count, shared) = cpu(&app, size, move || {
        let sets = wire::CacheSetManyRequest::decode(&held.bytes, &inner.limits)?;
        if inner.shared.is_some() {
            let owned = sets.iter().map(|set| inner.owned_set(set)).collect();
            return Ok((sets.len(), owned));
        }
        let now = inner.now();
        sets.iter()
            .try_for_each(|set| inner.cache.set(now, set))
            .map(|()| (sets.len(), Vec::new()))
    })
    .await?;
    if let Some(remote) = &app.shared {
        remote.set_many(&shared).await?;
    }
    Ok(Reply::json(envelope::data(&wire::CacheSetManyResponse {
        set: count,
    })?))
}

pub(super) fn keys(call: &Call) -> Result<Reply, ApiError> {
    let limit = decode::query_number(call.query(), "limit", 1..=wire::KEYS_MAX, "keys", 1000)?;
    let (keys, total) = call.app.cache.keys(call.app.now(), limit as usize);
    Ok(Reply::json(envelope::data(&wire::CacheKeysResponse {
        keys,
        total,
    })?))
}

pub(super) async fn warm(call: Call) -> Result<Reply, ApiError> {
    if call.is(NDJSON) {
        let app = Arc::clone(&call.app);
        let warmed = warming::from_body(&app, call.request.into_body()).await?;
        return Ok(Reply::json(envelope::data(&warmed)?));
    }
    let (app, held) = call.body().await?;
    let request: wire::CacheWarmRequest = decode::body(&held.bytes, &app.limits)?;
    let path = loader(&app, request.loader.as_deref())?;
    let warmed = tokio::task::spawn_blocking(move || {
        warming::from_file(&app, &path, request.keys.as_deref(), request.ttl)
    })
    .await
    .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))??;
    Ok(Reply::json(envelope::data(&warmed)?))
}

/// The file of an allowed loader: a caller names a loader, never a path.
fn loader(app: &App, name: Option<&str>) -> Result<PathBuf, ApiError> {
    let name = name.ok_or_else(|| {
        ApiError::missing(
            "loader",
            "A loader is required, or a body of application/x-ndjson",
        )
    })?;
    let loaders = &app.config.cache_loader;
    loaders
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, path)| path.clone())
        .ok_or_else(|| {
            let names: Vec<_> = loaders.iter().map(|(n, _)| n.as_str()).collect();
            ApiError::unknown("loader", "loader", name, &names)
        })
}
