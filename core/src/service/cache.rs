//! Cache calls.

use super::{Request, Response, Service, not_offered};
use crate::{
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        cache::{self as wire, CacheSet},
        decode, envelope,
        routes::Route,
    },
};

impl Service {
    pub(super) fn cache_call(
        &mut self,
        now: Timestamp,
        route: Route,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let limits = self.config.limits.clone();
        let body = request.body;
        let answer = match route {
            Route::CacheStats => {
                let max = self.config.cache.max_weight_bytes;
                envelope::data(&wire::CacheStatsResponse::sum(&[self.cache.stats()], max))?
            }
            Route::CacheSet => {
                self.store(now, wire::CacheSetRequest::decode(body, &limits)?)?;
                envelope::message(wire::CACHED)
            }
            Route::CacheGet => {
                let key = wire::decode_path_key(param, &limits)?;
                let value = self.cache.get(now, &key).ok_or_else(wire::key_not_found)?;
                envelope::raw_data(value)
            }
            Route::CacheDelete => {
                let key = wire::decode_path_key(param, &limits)?;
                self.cache
                    .remove(now, &key)
                    .ok_or_else(wire::key_not_found)?;
                envelope::message(wire::DELETED)
            }
            Route::CacheClear => envelope::message(&wire::cleared(self.cache.clear())),
            Route::CacheInvalidateTag => {
                let tag = wire::decode_path_tag(param, &limits)?;
                let count = self.cache.invalidate_tag(now, &tag);
                envelope::message(&wire::invalidated(count))
            }
            Route::CacheGetMany => {
                let keys = wire::CacheGetManyRequest::decode(body, &limits)?;
                let found = keys
                    .iter()
                    .map(|key| (key.as_ref(), self.cache.get(now, key).cloned()));
                wire::encode_many(found, limits.result_bytes)?
            }
            Route::CacheSetMany => {
                let sets = wire::CacheSetManyRequest::decode(body, &limits)?;
                let set = sets.len();
                sets.into_iter().try_for_each(|set| self.store(now, set))?;
                envelope::data(&wire::CacheSetManyResponse { set })?
            }
            Route::CacheKeys => {
                let most = wire::KEYS_MAX;
                let limit = decode::query_number(request.query, "limit", 1..=most, "keys", 1000)?;
                let keys = self.cache.keys(now).take(limit as usize).map(str::to_owned);
                let keys = keys.collect();
                let total = self.cache.live_len(now);
                envelope::data(&wire::CacheKeysResponse { keys, total })?
            }
            Route::CacheWarm if request.content_type.starts_with("application/x-ndjson") => {
                self.warm(now, body)?
            }
            other => return Err(not_offered(other)),
        };
        Ok(Response::json(answer))
    }

    fn store(&mut self, now: Timestamp, set: CacheSet<'_>) -> Result<(), ApiError> {
        let weight = wire::weight_bytes(&set);
        let value = set.value.as_bytes().into();
        self.cache
            .set(now, Box::from(&*set.key), value, weight, &set.options())
            .map(|_| ())
            .map_err(|error| ApiError::new(ErrorCode::TooLarge, error.to_string()).at("value"))
    }

    fn warm(&mut self, now: Timestamp, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        let mut warmed = wire::CacheWarmed {
            warmed: 0,
            missing: 0,
        };
        let limits = self.config.limits.clone();
        let lines = body
            .split(|b| *b == b'\n')
            .map(<[u8]>::trim_ascii)
            .enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let set = wire::decode_warm_line(index + 1, line, &limits);
            match set.and_then(|set| self.store(now, set)) {
                Ok(()) => warmed.warmed += 1,
                Err(_) => warmed.missing += 1,
            }
        }
        envelope::data(&warmed)
    }
}
