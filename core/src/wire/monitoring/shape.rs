//! What the OpenAPI document says of the monitoring routes.

use serde_json::json;

use super::{
    AlertHistoryResponse, ClusterSummary, MetricsReportRequest, MetricsReportResponse,
    RulesResponse,
};
use crate::{
    metrics::{Alert, Current, MetricsExport, Point, Summary, Trends},
    wire::{
        envelope,
        error::ErrorCode as Code,
        openapi::{Query, Schemas, Shape},
        routes::Route,
    },
};

/// What the OpenAPI document says of the monitoring routes.
pub(in crate::wire) fn shape(route: Route, s: &mut Schemas) -> Shape {
    const RANGE: &[Query] = &[
        (
            "category",
            "string",
            "system, application, database, api, cache or ml",
        ),
        (
            "startTime",
            "integer",
            "Unix milliseconds; an hour before endTime when absent",
        ),
        ("endTime", "integer", "Unix milliseconds; now when absent"),
        (
            "step",
            "integer",
            "milliseconds of one row; as kept when absent",
        ),
    ];
    const TRENDS: &[Query] = &[
        (
            "category",
            "string",
            "system, application, database, api, cache or ml; required",
        ),
        (
            "window",
            "integer",
            "milliseconds, 60000 to 86400000; an hour when absent",
        ),
    ];
    const EXPORT: &[Query] = &[
        ("format", "string", "json, csv or prometheus"),
        (
            "startTime",
            "integer",
            "Unix milliseconds; an hour before endTime when absent",
        ),
        ("endTime", "integer", "Unix milliseconds; now when absent"),
        (
            "step",
            "integer",
            "milliseconds of one row; as kept when absent",
        ),
    ];
    let get = |response| Shape::get(response);
    match route {
        Route::MetricsReport => Shape {
            errors: &[Code::UnknownName],
            ..Shape::post(
                s.of::<MetricsReportRequest<'_>>(),
                s.of::<MetricsReportResponse>(),
            )
        },
        Route::MonitoringSummary => {
            let (node, cluster) = (s.of::<Summary>(), s.of::<ClusterSummary>());
            Shape {
                query: &[("scope", "string", "node or cluster; node when absent")],
                errors: &[Code::UnknownName],
                ..get(s.enveloped(json!({"anyOf": [cluster, node]})))
            }
        }
        Route::MonitoringMetrics => {
            let (point, current) = (s.of::<Point>(), s.of::<Current>());
            let range = json!({"type": "array", "items": point});
            let all = json!({"type": "object", "additionalProperties": current});
            Shape {
                query: RANGE,
                errors: &[Code::UnknownName, Code::InvalidField],
                ..get(s.enveloped(json!({"anyOf": [range, current, all]})))
            }
        }
        Route::MonitoringAlerts => {
            let alert = s.of::<Alert>();
            get(s.enveloped(json!({"type": "array", "items": alert})))
        }
        Route::AlertHistory => Shape {
            query: &[("limit", "integer", "alerts at most, 100 when absent")],
            errors: &[Code::InvalidField],
            ..get(s.data::<AlertHistoryResponse>())
        },
        Route::MonitoringRules => get(s.data::<RulesResponse>()),
        Route::MonitoringTrends => Shape {
            query: TRENDS,
            errors: &[Code::MissingField, Code::UnknownName, Code::InvalidField],
            ..get(s.data::<Trends>())
        },
        Route::AlertResolve => Shape {
            errors: &[Code::AlertNotFound],
            ..get(s.of::<envelope::Message<'_>>())
        },
        Route::MonitoringExport => Shape {
            query: EXPORT,
            response_types: &["application/json", "text/csv", "text/plain"],
            errors: &[Code::UnknownName, Code::InvalidField],
            ..get(s.data::<MetricsExport>())
        },
        _ => Shape {
            response_types: &["text/plain"],
            ..get(json!({}))
        },
    }
}
