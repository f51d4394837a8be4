//! The API's own description: the OpenAPI document, and a page that shows it.

use axum::http::HeaderValue;
use bytes::Bytes;
use hyper::header;
use sommos_core::wire::{
    openapi::{self, OwnAnswer},
    routes::Route,
};

use super::{Call, reply::Reply, testing::MemoryTestAnswer};
use crate::loadtest::LoadReport;

/// The OpenAPI document, indented.
///
/// # Errors
/// Never in practice: the document is plain data.
pub fn openapi_document() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&document())
}

fn document() -> serde_json::Value {
    openapi::document(&[
        OwnAnswer::of::<LoadReport>(Route::TestLoad),
        OwnAnswer::of::<MemoryTestAnswer>(Route::TestMemory),
    ])
}

pub(super) fn openapi(call: &Call) -> Reply {
    let json = call
        .app
        .openapi
        .get_or_init(|| Bytes::from(document().to_string()));
    Reply::json(json.clone()).tagged()
}

/// A page of our own: it loads nothing from elsewhere. Its script stands in the page, which holds
/// nothing that a caller wrote.
pub(super) fn page() -> Reply {
    const PAGE: &str = include_str!("docs.html");
    const POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
                          script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";
    Reply::typed("text/html; charset=utf-8", PAGE)
        .header(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        )
        .tagged()
}

#[cfg(test)]
mod tests {
    use sommos_core::wire::units::without_unit;

    #[test]
    fn every_number_of_monitoring_and_tests_has_a_unit() {
        let document = super::document();
        assert_eq!(without_unit(&document), [""; 0]);
        let schemas = &document["components"]["schemas"];
        for (schema, field, unit) in [
            ("LoadReport", "totalTime", "ms"),
            ("LoadReport", "bytesSent", "bytes"),
            ("MemoryReport", "leaked", "bytes"),
        ] {
            assert_eq!(schemas[schema]["properties"][field]["x-unit"], unit);
        }
    }
}
