//! Calls from other origins: none, unless listed.

use anyhow::{Context as _, ensure};
use axum::{body::Body, response::Response};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderValue},
};
use sommos_core::wire::{ApiError, ErrorCode};

/// The origins that browsers may call from.
#[derive(Debug, Clone, Default)]
pub struct Cors(Vec<HeaderValue>);

impl Cors {
    /// Origins as browsers send them: `https://host[:port]`, without a path.
    ///
    /// # Errors
    /// Names the origin that is none.
    pub fn new(origins: &[String]) -> anyhow::Result<Self> {
        let parse = |origin: &String| {
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            ensure!(
                host.is_some_and(|h| !h.is_empty() && !h.contains('/')),
                "--cors-origin {origin:?}: expected https://host or http://host:port"
            );
            HeaderValue::from_str(origin).with_context(|| format!("--cors-origin {origin:?}"))
        };
        origins
            .iter()
            .map(parse)
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// The request's origin, if it is listed.
    #[must_use]
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.contains(origin).then(|| origin.clone())
    }

    /// Refuses what another origin's page asks to change. Browsers send such a request without
    /// asking when it looks like a form's, and hide only the answer; the state would be changed.
    ///
    /// # Errors
    /// `FORBIDDEN` for an `Origin` that is neither listed nor this server's own (its `Host`).
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        if matches!(*method, Method::GET | Method::HEAD) || self.0.contains(origin) {
            return Ok(());
        }
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let authority = origin.as_bytes().rsplit(|b| *b == b'/').next();
        if host.is_some() && host == authority {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::Forbidden,
            "this origin is not allowed; the server lists allowed ones in --cors-origin",
        ))
    }

    /// The answer to a preflight request: without the headers that allow it, browsers refuse.
    #[must_use]
    pub fn preflight(&self, origin: Option<&HeaderValue>) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(
            header::ALLOW,
            HeaderValue::from_static("GET, POST, DELETE, HEAD, OPTIONS"),
        );
        if let Some(origin) = origin {
            for (name, value) in [
                (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
                (
                    header::ACCESS_CONTROL_ALLOW_HEADERS,
                    "authorization, content-type, last-event-id",
                ),
                (header::ACCESS_CONTROL_MAX_AGE, "600"),
            ] {
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
            HeaderValue::from_static("etag"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_are_allowed() {
        let cors = Cors::new(&["https://yacht.example".to_owned()]).unwrap();
        let headers =
            |origin| HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
        assert!(cors.allowed(&headers("https://yacht.example")).is_some());
        assert!(cors.allowed(&headers("https://other.example")).is_none());
        assert!(cors.allowed(&HeaderMap::new()).is_none());
        assert!(Cors::new(&["yacht.example".to_owned()]).is_err());
        assert!(Cors::new(&["https://yacht.example/path".to_owned()]).is_err());
    }

    #[test]
    fn other_origins_change_nothing() {
        let cors = Cors::new(&["https://yacht.example".to_owned()]).unwrap();
        let headers = |origin| {
            HeaderMap::from_iter([
                (header::ORIGIN, HeaderValue::from_static(origin)),
                (header::HOST, HeaderValue::from_static("127.0.0.1:8080")),
            ])
        };
        let check = |origin| cors.check(&Method::POST, &headers(origin)).is_ok();
        assert!(check("https://yacht.example") && check("http://127.0.0.1:8080"));
        assert!(!check("https://other.example") && !check("null"));
        assert!(
            cors.check(&Method::GET, &headers("https://other.example"))
                .is_ok()
        );
        assert!(cors.check(&Method::POST, &HeaderMap::new()).is_ok());
    }
}
