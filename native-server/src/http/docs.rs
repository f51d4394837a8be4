//! The API's own description: the OpenAPI document, and a page that shows it.

use axum::http::HeaderValue;
use bytes::Bytes;
use hyper::header;
use sommos_core::wire::openapi;

use super::{Call, reply::Reply};

/// The OpenAPI document, indented.
///
/// # Errors
/// Never in practice: the document is plain data.
pub fn openapi_document() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&openapi::document())
}

pub(super) fn openapi(call: &Call) -> Reply {
    let json = call
        .app
        .openapi
        .get_or_init(|| Bytes::from(openapi::document().to_string()));
    Reply::json(json.clone()).tagged()
}

/// A page of our own: it loads nothing from elsewhere; its style and script are files of the
/// dashboard.
pub(super) fn page() -> Reply {
    const PAGE: &str = include_str!("../../dashboard/docs.html");
    const POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'self'; \
                          script-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";
    Reply::typed("text/html; charset=utf-8", PAGE)
        .header(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        )
        .tagged()
}
