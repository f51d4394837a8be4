//! Calls from other origins: none, unless listed.

use axum::{body::Body, response::Response};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use sommos_core::wire::{
    ApiError,
    access::{AccessError, Origins},
};

/// The origins that browsers may call from.
#[derive(Debug, Clone, Default)]
pub struct Cors(Origins);

impl Cors {
    /// Origins as browsers send them: `https://host[:port]`, without a path.
    ///
    /// # Errors
    /// Names the origin that is none.
    pub fn new(origins: &[String]) -> Result<Self, AccessError> {
        Origins::new(origins.iter().cloned()).map(Self)
    }

    /// The request's origin, if it is listed.
    #[must_use]
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.allows(text(origin)).then(|| origin.clone())
    }

    /// Refuses what another origin's page asks to change; see [`Origins::check`].
    ///
    /// # Errors
    /// `FORBIDDEN` for an `Origin` that is neither listed nor this server's own (its `Host`).
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
        let header = |name| headers.get(name).map(text);
        let (origin, host) = (header(header::ORIGIN), header(header::HOST));
        self.0.check(method.as_str(), origin, host)
    }

    /// The answer to a preflight request: without the headers that allow it, browsers refuse.
    #[must_use]
    pub fn preflight(&self, origin: Option<&HeaderValue>) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static(Origins::ALLOW));
        if let Some(origin) = origin {
            for (name, value) in Origins::PREFLIGHT {
                let name = HeaderName::from_static(name);
                headers.insert(name, HeaderValue::from_static(value));
            }
            self.mark(&mut response, origin.clone());
        }
        response
    }

    /// Allows the origin to read an answer.
    pub fn mark(&self, response: &mut Response, origin: HeaderValue) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(Origins::EXPOSED),
        );
    }
}

/// A header that is no text is no origin that is listed.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_origin_may_read_the_answer() {
        let cors = Cors::new(&["https://yacht.example".to_owned()]).unwrap();
        let headers =
            |origin| HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
        let origin = cors.allowed(&headers("https://yacht.example"));
        let response = cors.preflight(origin.as_ref());
        assert_eq!(
            response.headers()["access-control-allow-origin"],
            "https://yacht.example"
        );
        assert!(cors.allowed(&headers("https://other.example")).is_none());
        let response = cors.preflight(None);
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-origin")
        );
    }

    #[test]
    fn other_origins_change_nothing() {
        let cors = Cors::new(&["https://yacht.example".to_owned()]).unwrap();
        let headers = |origin: &'static [u8]| {
            HeaderMap::from_iter([
                (header::ORIGIN, HeaderValue::from_bytes(origin).unwrap()),
                (header::HOST, HeaderValue::from_static("127.0.0.1:8080")),
            ])
        };
        let check = |origin| cors.check(&Method::POST, &headers(origin)).is_ok();
        assert!(check(b"https://yacht.example") && check(b"http://127.0.0.1:8080"));
        assert!(!check(b"https://other.example") && !check(b"null") && !check(b"\xff"));
    }
}
