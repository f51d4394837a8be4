//! The OpenAPI document, made of the route list and the schemas of the wire types.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema, openapi};

use super::{
    batch, cache, envelope, error,
    error::ErrorCode,
    jobs, memory,
    routes::{ROUTES, Route, RouteInfo, Scope},
    testing,
};

/// A query parameter: name, JSON type, description.
pub(super) type Query = (&'static str, &'static str, &'static str);

/// What is sent and answered, beyond what the route list says.
pub(super) struct Shape {
    pub request: Option<Value>,
    pub request_types: &'static [&'static str],
    pub response: Value,
    pub response_types: &'static [&'static str],
    pub query: &'static [Query],
    pub errors: &'static [ErrorCode],
}

impl Shape {
    pub(super) fn get(response: Value) -> Self {
        Self {
            request: None,
            request_types: JSON,
            response,
            response_types: JSON,
            query: &[],
            errors: &[],
        }
    }

    pub(super) fn post(request: Value, response: Value) -> Self {
        Self {
            request: Some(request),
            ..Self::get(response)
        }
    }
}

/// Collects the schemas that are referred to.
#[derive(Default)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    /// A reference to a type's schema, which is collected with those it refers to.
    pub(super) fn of<T: ToSchema>(&mut self) -> Value {
        let mut inner = Vec::new();
        T::schemas(&mut inner);
        inner.push((T::name().into_owned(), <T as PartialSchema>::schema()));
        for (name, schema) in inner {
            self.0.entry(name).or_insert_with(|| to_json(&schema));
        }
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }

    /// The envelope around `data`.
    pub(super) fn data<T: ToSchema>(&mut self) -> Value {
        let data = self.of::<T>();
        self.enveloped(data)
    }

    /// The envelope around a schema.
    pub(super) fn enveloped(&self, data: Value) -> Value {
        json!({
            "type": "object",
            "required": ["success", "data"],
            "properties": {"success": {"type": "boolean", "const": true}, "data": data},
        })
    }
}

fn to_json(schema: &openapi::RefOr<openapi::schema::Schema>) -> Value {
    // A schema is plain data: it always serializes.
    serde_json::to_value(schema).unwrap_or_default()
}

/// The whole document as JSON.
#[must_use]
pub fn document() -> Value {
    let mut schemas = Schemas::default();
    let error = schemas.of::<error::ErrorBody<'_>>();
    let mut paths = Map::new();
    for info in ROUTES {
        let operation = operation(info, &mut schemas, &error);
        let path = paths.entry(info.path).or_insert_with(|| json!({}));
        path[info.method.to_lowercase()] = operation;
    }
    super::units::annotate(&mut paths, &mut schemas.0);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "SommOS performance engine",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Cache, background jobs, batches, parallel tasks, memory and monitoring. \
                Times are Unix milliseconds, durations milliseconds, sizes bytes, unless a field says \
                otherwise; numbers of monitoring and tests name their unit as x-unit. Every answer is {success, data | message} or {success: false, code, error, \
                field}.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(info: &RouteInfo, schemas: &mut Schemas, error: &Value) -> Value {
    let shape = shape(info.route, schemas);
    let content = |types: &[&str], schema: &Value| -> Value {
        let entry = |t: &&str| {
            let json = t.contains("json") && !t.contains("ndjson");
            let schema = if json {
                schema.clone()
            } else {
                json!({"type": "string"})
            };
            ((*t).to_owned(), json!({ "schema": schema }))
        };
        types.iter().map(entry).collect::<Map<_, _>>().into()
    };
    let mut responses = Map::new();
    responses.insert(
        "200".into(),
        json!({"description": "Success", "content": content(shape.response_types, &shape.response)}),
    );
    for (status, codes) in by_status(info, shape.errors) {
        let codes = codes.join(", ");
        responses.insert(
            status.to_string(),
            json!({
                "description": codes,
                "content": {"application/json": {"schema": error}},
            }),
        );
    }
    let mut operation = json!({
        "operationId": operation_id(info.route),
        "summary": info.summary,
        "tags": [tag(info.path)],
        "parameters": parameters(info, shape.query),
        "responses": responses,
    });
    if let Some(request) = shape.request {
        operation["requestBody"] =
            json!({"required": true, "content": content(shape.request_types, &request)});
    }
    if info.scope != Scope::Public {
        operation["security"] = json!([{}, {"bearer": []}]);
    }
    operation
}

/// The errors of a route grouped by status: its own and those that any call may get.
fn by_status(
    info: &RouteInfo,
    own: &[ErrorCode],
) -> std::collections::BTreeMap<u16, Vec<&'static str>> {
    let mut codes = own.to_vec();
    if info.scope != Scope::Public {
        codes.extend([
            ErrorCode::Unauthorized,
            ErrorCode::Forbidden,
            ErrorCode::RateLimited,
        ]);
    }
    if info.method == "POST" {
        codes.extend(BODY);
    }
    codes.extend([ErrorCode::RequestTimeout]);
    let mut grouped = std::collections::BTreeMap::<_, Vec<_>>::new();
    for code in codes {
        let list = grouped.entry(code.status()).or_default();
        if !list.contains(&code.as_str()) {
            list.push(code.as_str());
        }
    }
    grouped
}

const BODY: [ErrorCode; 5] = [
    ErrorCode::InvalidJson,
    ErrorCode::MissingField,
    ErrorCode::InvalidField,
    ErrorCode::TooLarge,
    ErrorCode::LimitExceeded,
];

fn operation_id(route: Route) -> String {
    let name = format!("{route:?}");
    let mut chars = name.chars();
    chars
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(chars)
        .collect()
}

fn tag(path: &str) -> &str {
    path.strip_prefix("/api/performance/")
        .and_then(|rest| rest.split('/').next())
        .unwrap_or("server")
}

fn parameters(info: &RouteInfo, query: &[Query]) -> Value {
    let path = ["id", "key"].into_iter().filter(|p| info.path.contains(&format!("{{{p}}}"))).map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    );
    let query = query.iter().map(|(name, kind, description)| {
        json!({
            "name": name, "in": "query", "required": false,
            "description": description, "schema": {"type": kind},
        })
    });
    path.chain(query).collect::<Vec<_>>().into()
}

const JSON: &[&str] = &["application/json"];
const NDJSON: &[&str] = &["application/json", "application/x-ndjson"];
const MATRICES: &[&str] = &[
    "application/json",
    "application/x-npy",
    "application/msgpack",
];
const SUBMIT_QUERY: &[Query] = &[
    (
        "taskType",
        "string",
        "with application/x-npy: which work (jobType for jobs)",
    ),
    (
        "algorithm",
        "string",
        "with application/x-npy: the measure of matrix_similarity",
    ),
    (
        "topK",
        "integer",
        "with application/x-npy: neighbours of each row",
    ),
    (
        "priority",
        "integer",
        "with application/x-npy: higher runs first",
    ),
    ("timeout", "integer", "with application/x-npy: milliseconds"),
];
const BATCH_QUERY: &[Query] = &[
    (
        "batchSize",
        "integer",
        "with application/x-ndjson: records of a chunk",
    ),
    (
        "maxConcurrency",
        "integer",
        "with application/x-ndjson: chunks at work at once",
    ),
    (
        "timeout",
        "integer",
        "with application/x-ndjson: milliseconds",
    ),
    (
        "stopOnError",
        "boolean",
        "with application/x-ndjson: whether the first bad chunk ends it",
    ),
    (
        "priority",
        "integer",
        "with application/x-ndjson: higher runs first",
    ),
    (
        "processor",
        "string",
        "with application/x-ndjson: a built-in's name or a function's source",
    ),
    (
        "operations",
        "string",
        "with application/x-ndjson: JSON of data_processing operations",
    ),
];

/// Every route's shape, one line or a few each.
fn shape(route: Route, s: &mut Schemas) -> Shape {
    let message = s.of::<envelope::Message<'_>>();
    let (get, post) = (Shape::get, Shape::post);
    let any = || json!({});
    match route {
        Route::CacheStats => get(s.data::<cache::CacheStatsResponse>()),
        Route::CacheDistributedStats => get(s.data::<cache::DistributedStatsResponse>()),
        Route::CacheSet => post(s.of::<cache::CacheSetRequest<'_>>(), message),
        Route::CacheGet => Shape {
            errors: &[ErrorCode::KeyNotFound],
            ..get(s.enveloped(any()))
        },
        Route::CacheDelete => Shape {
            errors: &[ErrorCode::KeyNotFound],
            ..get(message)
        },
        Route::CacheClear => get(message),
        Route::CacheGetMany => post(s.of::<cache::CacheGetManyRequest<'_>>(), s.enveloped(any())),
        Route::CacheSetMany => post(
            s.of::<cache::CacheSetManyRequest<'_>>(),
            s.data::<cache::CacheSetManyResponse>(),
        ),
        Route::CacheKeys => Shape {
            query: &[("limit", "integer", "keys at most, 1000 when absent")],
            ..get(s.data::<cache::CacheKeysResponse>())
        },
        Route::CacheGetOrLoad => Shape {
            errors: &[ErrorCode::UnknownName, ErrorCode::KeyNotFound],
            ..post(
                s.of::<cache::CacheGetOrLoadRequest<'_>>(),
                s.enveloped(any()),
            )
        },
        Route::CacheInvalidateTag => get(message),
        Route::CacheWarm => Shape {
            request_types: NDJSON,
            errors: &[ErrorCode::UnknownName],
            ..post(
                s.of::<cache::CacheWarmRequest>(),
                s.data::<cache::CacheWarmed>(),
            )
        },
        Route::JobSubmit => Shape {
            request_types: MATRICES,
            query: SUBMIT_QUERY,
            errors: &[
                ErrorCode::UnknownName,
                ErrorCode::QueueFull,
                ErrorCode::UnsupportedMediaType,
            ],
            ..post(
                s.of::<jobs::JobSubmitRequest<'_>>(),
                s.data::<jobs::JobSubmitResponse<'_>>(),
            )
        },
        Route::TaskSubmit => Shape {
            request_types: MATRICES,
            query: SUBMIT_QUERY,
            errors: &[
                ErrorCode::UnknownName,
                ErrorCode::QueueFull,
                ErrorCode::UnsupportedMediaType,
            ],
            ..post(
                s.of::<jobs::TaskSubmitRequest<'_>>(),
                s.data::<jobs::TaskSubmitResponse<'_>>(),
            )
        },
        Route::JobList => {
            let job = s.of::<testing::WithProgress<'_>>();
            Shape {
                query: &[
                    ("status", "string", "only jobs of this status"),
                    ("dead", "boolean", "only dead letters"),
                    ("limit", "integer", "jobs at most, 100 when absent"),
                ],
                errors: &[ErrorCode::UnknownName],
                ..get(s.enveloped(json!({"type": "array", "items": job})))
            }
        }
        Route::JobMetrics => get(s.data::<jobs::JobMetricsResponse>()),
        Route::TaskMetrics => get(s.data::<jobs::TaskMetricsResponse>()),
        Route::JobGet => Shape {
            errors: &[ErrorCode::JobNotFound],
            ..get(s.data::<testing::WithProgress<'_>>())
        },
        Route::TaskGet => Shape {
            errors: &[ErrorCode::TaskNotFound],
            ..get(s.data::<jobs::JobResponse<'_>>())
        },
        Route::JobCancel | Route::JobRetry => Shape {
            errors: &[ErrorCode::JobNotFound, ErrorCode::Conflict],
            ..get(message)
        },
        Route::TaskCancel => Shape {
            errors: &[ErrorCode::TaskNotFound, ErrorCode::Conflict],
            ..get(message)
        },
        Route::JobResult | Route::TaskResult => Shape {
            response_types: MATRICES,
            errors: &[
                ErrorCode::JobNotFound,
                ErrorCode::TaskNotFound,
                ErrorCode::Conflict,
                ErrorCode::ResultExpired,
            ],
            ..get(any())
        },
        Route::BatchProcess => Shape {
            request_types: NDJSON,
            response_types: NDJSON,
            query: BATCH_QUERY,
            errors: &[ErrorCode::UnknownName, ErrorCode::QueueFull],
            ..post(
                s.of::<batch::BatchProcessRequest<'_>>(),
                s.data::<batch::BatchSubmitResponse<'_>>(),
            )
        },
        Route::BatchMetrics => get(s.data::<batch::BatchMetricsResponse>()),
        Route::BatchGet => Shape {
            errors: &[ErrorCode::BatchNotFound],
            ..get(s.data::<batch::BatchResponse<'_>>())
        },
        Route::BatchCancel => Shape {
            errors: &[ErrorCode::BatchNotFound, ErrorCode::Conflict],
            ..get(message)
        },
        Route::BatchResults => Shape {
            response_types: NDJSON,
            query: &[
                ("chunk", "integer", "first chunk of the page, 0 when absent"),
                ("limit", "integer", "chunks of the page, 100 when absent"),
            ],
            errors: &[ErrorCode::BatchNotFound],
            ..get(s.data::<batch::BatchResultsResponse<'_>>())
        },
        Route::MemoryStats => get(s.data::<memory::MemoryStatsResponse>()),
        Route::MemoryAllocate | Route::MemoryDeallocate => post(
            s.of::<memory::AllocationRequest<'_>>(),
            s.data::<memory::AllocationResponse<'_>>(),
        ),
        Route::MemoryCompress => Shape {
            errors: &[ErrorCode::UnknownName],
            ..post(
                s.of::<memory::CompressRequest<'_>>(),
                s.data::<memory::CompressResponse>(),
            )
        },
        Route::MemoryDecompress => Shape {
            errors: &[ErrorCode::UnknownName, ErrorCode::CorruptData],
            ..post(s.of::<memory::DecompressRequest<'_>>(), s.enveloped(any()))
        },
        Route::TestLoad => Shape {
            query: &[(
                "wait",
                "boolean",
                "false: answered 202 with the jobId of the test; its result is this answer",
            )],
            errors: &[
                ErrorCode::UnknownName,
                ErrorCode::Cancelled,
                ErrorCode::TimedOut,
                ErrorCode::QueueFull,
            ],
            ..post(
                s.of::<testing::LoadTestRequest<'_>>(),
                s.data::<testing::LoadReport>(),
            )
        },
        Route::TestMemory => post(
            s.of::<testing::MemoryTestRequest>(),
            s.data::<testing::MemoryReport>(),
        ),
        Route::MetricsReport
        | Route::MonitoringSummary
        | Route::MonitoringMetrics
        | Route::MonitoringAlerts
        | Route::MonitoringExport
        | Route::MonitoringTrends
        | Route::MonitoringRules
        | Route::AlertHistory
        | Route::AlertResolve
        | Route::Prometheus => super::monitoring::shape(route, s),
        Route::MonitoringProfile => Shape {
            response_types: &["image/svg+xml"],
            query: &[(
                "seconds",
                "integer",
                "seconds to look at, 1 to 60; 5 when absent",
            )],
            errors: &[
                ErrorCode::RateLimited,
                ErrorCode::NotImplemented,
                ErrorCode::Unavailable,
            ],
            ..get(any())
        },
        Route::Events => Shape {
            response_types: &["text/event-stream"],
            ..get(any())
        },
        Route::Docs => Shape {
            response_types: &["text/html"],
            ..get(any())
        },
        Route::OpenApi | Route::HealthLive | Route::HealthReady => get(any()),
    }
}
