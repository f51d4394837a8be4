//! Where the requests of a load test may go: paths of this server and, where it was configured,
//! of listed origins. What is refused here is refused by its text alone; names are resolved, and
//! their addresses checked, by the shell.

use core::fmt;
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use thiserror::Error;

use super::address::check_address;
use crate::wire::{
    error::ApiError,
    routes::{ROUTES, Route, Scope},
};

/// Longest endpoint, bytes.
const ENDPOINT_BYTES: usize = 2048;
/// A path that is percent-encoded more often than this hides something.
const DECODINGS_MAX: usize = 4;
/// Names under which clouds serve the credentials of a machine.
const METADATA_NAMES: [&str; 4] = [
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
];

/// `http://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetOrigin {
    /// A name in lower case, an IPv4 address, or an IPv6 address without its brackets.
    host: String,
    port: u16,
}

/// What is wrong with an origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OriginError {
    /// Another scheme.
    #[error("scheme {0:?} cannot be tested; expected http://host or http://host:port")]
    Scheme(String),
    /// A name or password before the host.
    #[error("a user name or password in the URL is refused; expected http://host:port")]
    UserInfo,
    /// A host that is none.
    #[error("host {0:?}: expected a name of letters, digits, dots and hyphens, or an IP address")]
    Host(String),
    /// A port that is none.
    #[error("port {0:?}: expected 1 to 65535")]
    Port(String),
    /// An origin with a path.
    #[error("{0:?}: expected http://host or http://host:port, without a path")]
    Path(String),
    /// An address that is never tested.
    #[error("{host} is {why}: it is never tested under load")]
    Address {
        /// The host.
        host: String,
        /// What it is.
        why: &'static str,
    },
}

impl TargetOrigin {
    /// Parses an origin as it is configured.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (origin, rest) = Self::split(text)?;
        match rest {
            "" | "/" => Ok(origin),
            _ => Err(OriginError::Path(shown(text))),
        }
    }

    /// The origin of an absolute URL, and what follows it.
    fn split(text: &str) -> Result<(Self, &str), OriginError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| OriginError::Scheme(scheme(text).to_owned()))?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(OriginError::Scheme(shown(scheme)));
        }
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => v6
                .split_once(']')
                .ok_or_else(|| OriginError::Host(shown(authority)))?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => 80,
            None => return Err(OriginError::Host(shown(authority))),
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0 && digits.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| OriginError::Port(shown(digits)))?,
        };
        let host = check_host(host, authority.starts_with('['))?;
        Ok((Self { host, port }, rest))
    }

    /// The name or address, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 80 where none was given.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` as a `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => Cow::Owned(format!("[{}]", self.host)),
            false => Cow::Borrowed(&*self.host),
        };
        match self.port {
            80 => host.into_owned(),
            port => format!("{host}:{port}"),
        }
    }

    /// Where the `Location` of an answer of this origin leads away to: the text as it is shown,
    /// at most 200 characters; none: it stays at this origin.
    #[must_use]
    pub fn leaves(&self, location: &str) -> Option<String> {
        let location = location.trim();
        let absolute = if location.starts_with("//") {
            Cow::Owned(format!("http:{location}"))
        } else {
            Cow::Borrowed(location)
        };
        let relative = !absolute.contains("://") && !absolute.contains('\\');
        let same = relative || Self::split(&absolute).is_ok_and(|(origin, _)| origin == *self);
        (!same).then(|| location.chars().take(200).collect())
    }
}

/// Of an address that needs no check: the shell's own.
impl From<SocketAddr> for TargetOrigin {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for TargetOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

fn check_host(host: &str, bracketed: bool) -> Result<String, OriginError> {
    let wrong = || OriginError::Host(shown(host));
    let host = host.to_ascii_lowercase();
    if bracketed {
        let address: std::net::Ipv6Addr = host.parse().map_err(|_| wrong())?;
        check_address(IpAddr::V6(address))?;
        return Ok(address.to_string());
    }
    let bytes = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    let name = host.trim_end_matches('.');
    if name.is_empty() || name.len() > 253 || !host.bytes().all(bytes) {
        return Err(wrong());
    }
    if METADATA_NAMES.contains(&name) {
        return Err(OriginError::Address {
            host: host.clone(),
            why: "a metadata service",
        });
    }
    if let Ok(address) = name.parse() {
        check_address(address)?;
    }
    Ok(host)
}

/// The origins that may be tested besides the server itself.
#[derive(Debug, Clone, Default)]
pub struct TargetOrigins(Vec<TargetOrigin>);

impl TargetOrigins {
    /// Of origins as they are configured.
    ///
    /// # Errors
    /// [`OriginError`] of the first that is wrong.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let parsed = origins.into_iter().map(TargetOrigin::parse);
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

/// Where the requests of one test go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A listed origin; none: the server itself.
    pub origin: Option<TargetOrigin>,
    /// Path and query, from the first slash.
    pub path: String,
}

impl Target {
    /// Checks an endpoint: a path of this server, or a URL at a listed origin.
    ///
    /// # Errors
    /// 400 on `endpoint` that says what would be right.
    pub fn parse(endpoint: &str, origins: &TargetOrigins) -> Result<Self, ApiError> {
        let refused = |what: &dyn fmt::Display| ApiError::invalid("endpoint", what);
        let printable = endpoint.bytes().all(|b| b.is_ascii_graphic());
        if endpoint.len() > ENDPOINT_BYTES || !printable {
            let what = "expected at most 2048 printable ASCII characters without spaces";
            return Err(refused(&what));
        }
        if endpoint.contains('\\') || endpoint.contains('#') {
            return Err(refused(&"expected a path without \\ and #"));
        }
        if endpoint.starts_with("//") {
            let what = "expected a path on this server that begins with one /; // names another \
                        origin";
            return Err(refused(&what));
        }
        if endpoint.starts_with('/') {
            check_path(endpoint)?;
            return Ok(Self {
                origin: None,
                path: endpoint.to_owned(),
            });
        }
        let (origin, rest) = TargetOrigin::split(endpoint).map_err(|error| match error {
            OriginError::Scheme(scheme) if scheme.is_empty() => {
                refused(&"expected a path on this server that begins with one /")
            }
            error => refused(&error),
        })?;
        if !origins.0.contains(&origin) {
            let listed: Vec<_> = origins.0.iter().map(ToString::to_string).collect();
            let listed = match &listed[..] {
                [] => "none".to_owned(),
                some => some.join(", "),
            };
            return Err(refused(&format_args!(
                "origin {origin} is refused; expected a path on this server that begins with one \
                 /, or an origin of --load-test-origin ({listed})"
            )));
        }
        let path = match rest {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        check_path(&path)?;
        Ok(Self {
            origin: Some(origin),
            path,
        })
    }
}

/// Refuses paths of calls that would test themselves, end the test or destroy what others need,
/// however they are written: percent-encoded, with dot segments, doubled slashes, another case.
fn check_path(path: &str) -> Result<(), ApiError> {
    let wrong = |what: &str| Err(ApiError::invalid("endpoint", what));
    let plain = path.split('?').next().unwrap_or_default();
    let Some(decoded) = decoded(plain.as_bytes()) else {
        return wrong("the path is percent-encoded too often");
    };
    if decoded.iter().any(u8::is_ascii_control) {
        return wrong("expected a path without encoded control characters");
    }
    let text = String::from_utf8_lossy(&decoded).to_ascii_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split(['/', '\\']) {
        // What follows a semicolon is a parameter to some servers.
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let guarded = ROUTES
        .iter()
        .filter(|info| info.scope == Scope::Admin || info.route == Route::Events)
        .find(|info| fits(info.path, &segments));
    match guarded {
        None => Ok(()),
        Some(info) => wrong(&format!("{} cannot be tested under load", info.path)),
    }
}

fn fits(template: &str, segments: &[&str]) -> bool {
    let mut wanted = template.split('/').filter(|segment| !segment.is_empty());
    let mut found = segments.iter();
    loop {
        match (wanted.next(), found.next()) {
            // What lies below an admin path is one, too.
            (None, _) => return true,
            (Some(_), None) => return false,
            (Some(want), Some(found)) if want.starts_with('{') || want == *found => {}
            _ => return false,
        }
    }
}

/// Percent-decoded until nothing changes; none when that takes too many rounds.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut text = text.to_vec();
    for _ in 0..=DECODINGS_MAX {
        let next = decode_once(&text);
        if next == text {
            return Some(text);
        }
        text = next;
    }
    None
}

fn decode_once(text: &[u8]) -> Vec<u8> {
    let hex = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn scheme(text: &str) -> &str {
    match text.split_once(':') {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => scheme,
        _ => "",
    }
}

fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}
