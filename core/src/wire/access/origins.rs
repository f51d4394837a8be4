//! Calls from the pages of other origins: none, unless listed.

use super::AccessError;
use crate::wire::{ApiError, ErrorCode};

/// The origins that browsers may call from.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// What an allowed origin's preflight request is told: the methods, the headers, and for how
    /// many seconds it may remember both.
    pub const PREFLIGHT: [(&'static str, &'static str); 3] = [
        ("access-control-allow-methods", "GET, POST, DELETE"),
        (
            "access-control-allow-headers",
            "authorization, content-type, last-event-id, x-request-id",
        ),
        ("access-control-max-age", "600"),
    ];
    /// Headers of an answer that an allowed origin may read.
    pub const EXPOSED: &'static str = "age, etag, retry-after, x-request-id";
    /// The methods of a preflight's `Allow`.
    pub const ALLOW: &'static str = "GET, POST, DELETE, HEAD, OPTIONS";

    /// Origins as browsers send them: `https://host[:port]`, without a path.
    ///
    /// # Errors
    /// Names the origin that is none.
    pub fn new(origins: impl IntoIterator<Item = String>) -> Result<Self, AccessError> {
        let checked = origins.into_iter().map(|origin| {
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            let printable = origin.bytes().all(|b| b.is_ascii_graphic());
            match host {
                Some(host) if !host.is_empty() && !host.contains('/') && printable => Ok(origin),
                _ => Err(AccessError::Origin(origin)),
            }
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// Whether an `Origin` header is listed.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|listed| listed == origin)
    }

    /// Refuses what another origin's page asks to change. Browsers send such a request without
    /// asking when it looks like a form's, and hide only the answer; the state would be changed.
    ///
    /// # Errors
    /// `FORBIDDEN` for an `Origin` that is neither listed nor the shell's own (its `Host`).
    pub fn check(
        &self,
        method: &str,
        origin: Option<&str>,
        host: Option<&str>,
    ) -> Result<(), ApiError> {
        let Some(origin) = origin else {
            return Ok(());
        };
        if matches!(method, "GET" | "HEAD") || self.allows(origin) {
            return Ok(());
        }
        if host.is_some() && host == origin.rsplit('/').next() {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::Forbidden,
            "this origin is not allowed; those that are stand in --cors-origin, at the edge in \
             CORS_ORIGINS",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_are_listed() {
        for wrong in ["example.com", "https://", "https://a/b", "https://a b"] {
            assert!(Origins::new([wrong.to_owned()]).is_err(), "{wrong}");
        }
        let origins = Origins::new(["https://a.example:8443".to_owned()]).unwrap();
        assert!(origins.allows("https://a.example:8443"));
        assert!(!origins.allows("https://a.example"));
    }

    #[test]
    fn other_pages_may_look_but_not_change() {
        let origins = Origins::new(["https://a.example".to_owned()]).unwrap();
        let check =
            |method, origin| origins.check(method, Some(origin), Some("cellar.example:8080"));
        assert!(check("POST", "https://a.example").is_ok());
        assert!(check("GET", "https://b.example").is_ok());
        assert!(check("POST", "https://b.example").is_err());
        assert!(check("POST", "http://cellar.example:8080").is_ok());
        assert!(origins.check("POST", None, None).is_ok());
    }
}
