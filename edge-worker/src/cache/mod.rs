//! The cache's calls: answered from this isolate's memory, from the data centre's cache or by the
//! key's group, whichever is near enough in time.

mod loading;
mod local;
mod reading;

use std::{borrow::Cow, rc::Rc};

use sommos_core::{
    cache::CacheStats,
    wire::{
        ApiError, ErrorCode,
        cache::{self as wire, CacheSet, CacheStatsResponse},
        decode, envelope,
        routes::Route,
    },
};
use worker::Context;

use crate::{
    body,
    call::{Call, Object},
    http::{Answer, Asked, json},
    objects::cache::{Command, INLINE_BYTES, SetLine},
};
use local::Near;
use reading::Consistency;

const NDJSON: &str = "application/x-ndjson";
const NONE: [&[u8]; 0] = [];

/// Answers a call of the cache; 501 for what is none of ours.
pub(crate) async fn answer(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let (call, context) = (asked.call, asked.context);
    let (route, param, query) = (asked.route, asked.param, asked.query);
    let limits = &call.settings.limits;
    match route {
        Route::CacheGet => {
            let key = wire::decode_path_key(param, limits)?;
            let consistency = Consistency::of(query)?;
            reading::get(call, context, &key, consistency).await
        }
        Route::CacheGetMany => {
            let body = body::read(asked).await?;
            let keys = wire::CacheGetManyRequest::decode(&body, limits)?;
            let keys: Vec<&str> = keys.iter().map(Cow::as_ref).collect();
            let consistency = Consistency::of(query)?;
            let found = reading::read(call, context, &keys, consistency).await?;
            let values = found.into_iter().map(|read| read.map(|r| r.value));
            let pairs = keys.iter().copied().zip(values);
            Ok(json(&wire::encode_many(pairs, limits.result_bytes)?))
        }
        Route::CacheSet => {
            let body = body::read(asked).await?;
            let set = wire::CacheSetRequest::decode(&body, limits)?;
            store(call, context, &[set]).await?;
            Ok(json(&envelope::message(wire::CACHED)))
        }
        Route::CacheSetMany => {
            let body = body::read(asked).await?;
            let sets = wire::CacheSetManyRequest::decode(&body, limits)?;
            let set = sets.len();
            store(call, context, &sets).await?;
            Ok(json(&envelope::data(&wire::CacheSetManyResponse { set })?))
        }
        Route::CacheDelete => {
            let key = wire::decode_path_key(param, limits)?;
            let command = Command::Delete(key.clone());
            let removed = ask::<bool>(call, group_of(call, &key), &command).await?;
            local::distrust(call);
            match removed {
                true => Ok(json(&envelope::message(wire::DELETED))),
                false => Err(wire::key_not_found()),
            }
        }
        Route::CacheClear => {
            let count = sum(call, &Command::Clear).await?;
            local::distrust(call);
            Ok(json(&envelope::message(&wire::cleared(count))))
        }
        Route::CacheInvalidateTag => {
            let tag = wire::decode_path_tag(param, limits)?;
            let count = sum(call, &Command::Tag(tag)).await?;
            local::distrust(call);
            Ok(json(&envelope::message(&wire::invalidated(count))))
        }
        Route::CacheKeys => {
            let most = wire::KEYS_MAX;
            let limit = decode::query_number(query, "limit", 1..=most, "keys", 1000)? as usize;
            keys(call, limit).await
        }
        Route::CacheStats => Ok(json(&envelope::data(&stats(call).await?)?)),
        Route::CacheGetOrLoad => loading::get_or_load(asked).await,
        Route::CacheWarm if asked.content_type.starts_with(NDJSON) => warm(asked).await,
        Route::CacheWarm => loading::warm(asked).await,
        other => Err(sommos_core::service::not_offered(other)),
    }
}

/// The group of a key, by FNV-1a (Fowler, Noll and Vo): it must never change.
fn group_of(call: &Call, key: &str) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = key.bytes().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    (hash % u64::from(call.settings.cache.groups)) as u32
}

async fn ask<H: serde::de::DeserializeOwned>(
    call: &Call,
    group: u32,
    command: &Command,
) -> Result<H, ApiError> {
    let frame = call.ask(Object::Cache(group), command, &NONE).await?;
    frame
        .map(|frame| frame.head)
        .ok_or_else(|| ApiError::new(ErrorCode::Internal, "a group of the cache said nothing"))
}

/// The sum of what all groups answer.
async fn sum(call: &Call, command: &Command) -> Result<usize, ApiError> {
    let groups = 0..call.settings.cache.groups;
    let asked = groups.map(|group| ask::<usize>(call, group, command));
    let counts = futures_util::future::try_join_all(asked).await?;
    Ok(counts.iter().sum())
}

async fn keys(call: &Call, limit: usize) -> Result<Answer, ApiError> {
    let command = Command::Keys(limit);
    let groups = 0..call.settings.cache.groups;
    let asked = groups.map(|group| ask::<(Vec<String>, usize)>(call, group, &command));
    let pages = futures_util::future::try_join_all(asked).await?;
    let total = pages.iter().map(|(_, total)| total).sum();
    let keys = pages.into_iter().flat_map(|(keys, _)| keys).take(limit);
    let answer = wire::CacheKeysResponse {
        keys: keys.collect(),
        total,
    };
    Ok(json(&envelope::data(&answer)?))
}

/// The figures of all groups together.
pub(crate) async fn stats(call: &Call) -> Result<CacheStatsResponse, ApiError> {
    let groups = 0..call.settings.cache.groups;
    let asked = groups.map(|group| async move {
        let command = Command::Stats(local::take_touched(call, group));
        ask::<CacheStats>(call, group, &command).await
    });
    let parts = futures_util::future::try_join_all(asked).await?;
    Ok(CacheStatsResponse::sum(
        &parts,
        call.settings.cache.max_bytes,
    ))
}

/// What the cron run does: groups forget what is expired, also when nobody asks.
pub(crate) async fn tick(call: &Call) -> Result<(), ApiError> {
    for group in 0..call.settings.cache.groups {
        call.ask::<_, ()>(Object::Cache(group), &Command::Tick, &NONE)
            .await?;
    }
    Ok(())
}

fn line_of(set: &CacheSet<'_>) -> SetLine {
    SetLine {
        key: set.key.clone().into_owned(),
        ttl_ms: set.ttl_ms,
        stale_ms: set.stale_ttl_ms.unwrap_or(0),
        tags: set
            .tags
            .iter()
            .map(|tag| tag.clone().into_owned())
            .collect(),
        weight: wire::weight_bytes(set),
    }
}

/// Stores values: first in their groups, which makes it true; then nearer, where it makes it fast.
async fn store(call: &Call, context: &Context, sets: &[CacheSet<'_>]) -> Result<(), ApiError> {
    for group in 0..call.settings.cache.groups {
        let of_group: Vec<_> = sets
            .iter()
            .filter(|set| group_of(call, &set.key) == group)
            .collect();
        if of_group.is_empty() {
            continue;
        }
        let lines = of_group.iter().map(|set| line_of(set)).collect();
        let values: Vec<&[u8]> = of_group.iter().map(|set| set.value.as_bytes()).collect();
        let frame = call
            .ask::<_, Vec<u64>>(Object::Cache(group), &Command::Set(lines), &values)
            .await?;
        let versions = frame.map(|frame| frame.head).unwrap_or_default();
        for (set, version) in of_group.iter().zip(versions) {
            let ttl_ms = set.ttl_ms.unwrap_or(call.settings.cache.default_ttl_ms);
            let near = Near {
                version,
                value: set.value.as_bytes().into(),
                checked: call.now,
                fresh_until: call.now.plus_ms(ttl_ms),
            };
            local::share(call, context, &set.key, &near, sets.len());
            if near.value.len() > INLINE_BYTES {
                local::replicate(call, context, group, &near, ttl_ms);
            }
            local::keep(call, &set.key, near);
        }
    }
    Ok(())
}

/// Warms the cache from lines; those that cannot be used are counted.
async fn warm(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let body = body::read(asked).await?;
    let (call, context) = (asked.call, asked.context);
    let limits = &call.settings.limits;
    let mut warmed = wire::CacheWarmed {
        warmed: 0,
        missing: 0,
    };
    let lines = body
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .enumerate();
    let mut sets = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
        match wire::decode_warm_line(index + 1, line, limits) {
            Ok(set) => sets.push(set),
            Err(_) => warmed.missing += 1,
        }
    }
    // One that does not fit must not keep the others out.
    for set in sets.chunks(SETS_MAX) {
        match store(call, context, set).await {
            Ok(()) => warmed.warmed += set.len(),
            Err(_) => {
                for one in set {
                    match store(call, context, std::slice::from_ref(one)).await {
                        Ok(()) => warmed.warmed += 1,
                        Err(_) => warmed.missing += 1,
                    }
                }
            }
        }
    }
    Ok(json(&envelope::data(&warmed)?))
}

/// Values sent to a group together.
const SETS_MAX: usize = 256;

/// A value that is shared by whoever answers it.
pub(crate) type Value = Rc<[u8]>;
