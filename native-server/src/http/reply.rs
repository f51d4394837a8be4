//! Answers: envelope bytes, content coding by negotiation, entity tags for large ones.

use std::hash::BuildHasher as _;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderValue},
};
use sommos_core::{
    compress::{self, Codec},
    control::Unstoppable,
    wire::ApiError,
};

use super::{body, empty};
use crate::app::App;

/// Below this size a coding costs more than it saves.
const COMPRESS_BYTES_MIN: usize = 1024;
/// From this size on an answer carries an entity tag, so that it need not be sent twice.
const ETAG_BYTES_MIN: usize = 1024;

const JSON: &str = "application/json";

/// What a handler answers.
pub(crate) struct Reply {
    status: StatusCode,
    content_type: HeaderValue,
    content: Content,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    cacheable: bool,
}

enum Content {
    Bytes(Bytes),
    Stream(Body),
}

impl Reply {
    /// 200 with a JSON body.
    pub(crate) fn json(bytes: impl Into<Bytes>) -> Self {
        Self::typed(JSON, bytes)
    }

    /// 200 with a body of a media type.
    pub(crate) fn typed(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static(content_type),
            content: Content::Bytes(bytes.into()),
            headers: Vec::new(),
            cacheable: false,
        }
    }

    /// 200 with a body that is sent as it comes.
    pub(crate) fn stream(content_type: &'static str, body: Body) -> Self {
        Self {
            content: Content::Stream(body),
            ..Self::typed(content_type, Bytes::new())
        }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with an entity tag when large; a client that has it gets 304.
    pub(crate) fn tagged(mut self) -> Self {
        self.cacheable = true;
        self
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Codes it as negotiated.
    pub(crate) async fn into_response(self, app: &App, negotiated: Negotiated) -> Response {
        let bytes = match self.content {
            Content::Stream(body) => {
                return finish(
                    Response::new(body),
                    self.status,
                    self.content_type,
                    self.headers,
                );
            }
            Content::Bytes(bytes) => bytes,
        };
        let mut headers = self.headers;
        let codec = match bytes.len() {
            0..COMPRESS_BYTES_MIN => None,
            _ => {
                // Also where nothing is coded: a cache must not hand this answer to others.
                headers.push((header::VARY, HeaderValue::from_static("accept-encoding")));
                negotiated.codec
            }
        };
        let mut tag = None;
        if self.cacheable && bytes.len() >= ETAG_BYTES_MIN {
            let of_bytes = entity_tag(&bytes);
            if negotiated.has(&of_bytes) {
                headers.push((header::ETAG, sent_tag(&of_bytes, codec.is_some())));
                let status = StatusCode::NOT_MODIFIED;
                return finish(empty(status), status, self.content_type, headers);
            }
            tag = Some(of_bytes);
        }
        let coded = match codec {
            None => None,
            Some(codec) => encode(app, codec, bytes.clone()).await.map(|c| (codec, c)),
        };
        if let Some(tag) = tag {
            headers.push((header::ETAG, sent_tag(&tag, coded.is_some())));
        }
        let bytes = match coded {
            None => bytes,
            Some((codec, coded)) => {
                let name = HeaderValue::from_static(content_coding(codec));
                headers.push((header::CONTENT_ENCODING, name));
                coded
            }
        };
        finish(
            Response::new(Body::from(bytes)),
            self.status,
            self.content_type,
            headers,
        )
    }
}

fn finish(
    mut response: Response,
    status: StatusCode,
    content_type: HeaderValue,
    headers: Vec<(header::HeaderName, HeaderValue)>,
) -> Response {
    *response.status_mut() = status;
    let map = response.headers_mut();
    map.insert(header::CONTENT_TYPE, content_type);
    for (name, value) in headers {
        map.insert(name, value);
    }
    response
}

/// The answer to a failed call.
pub(crate) fn error(error: &ApiError) -> Response {
    let status =
        StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(error.body()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The rest of a body that is too large is not worth reading.
        StatusCode::PAYLOAD_TOO_LARGE => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// What the client can read, and what it has.
pub(crate) struct Negotiated {
    codec: Option<Codec>,
    if_none_match: Option<HeaderValue>,
}

impl Negotiated {
    /// Reads `Accept-Encoding` and `If-None-Match`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accept = headers
            .get(header::ACCEPT_ENCODING)
            .and_then(|v| v.to_str().ok());
        Self {
            codec: accept.and_then(best_codec),
            if_none_match: headers.get(header::IF_NONE_MATCH).cloned(),
        }
    }

    fn has(&self, tag: &str) -> bool {
        let Some(list) = self.if_none_match.as_ref().and_then(|v| v.to_str().ok()) else {
            return false;
        };
        list == "*"
            || list
                .split(',')
                .any(|t| t.trim().trim_start_matches("W/") == tag)
    }
}

/// The fastest coding that the client takes: zstd, then gzip, then brotli. `;q=0` refuses one.
fn best_codec(accept: &str) -> Option<Codec> {
    let takes = |name: &str| {
        accept.split(',').any(|part| {
            let (coding, parameters) = part.split_once(';').unwrap_or((part, ""));
            let refused = matches!(
                parameters.replace(' ', "").as_str(),
                "q=0" | "q=0.0" | "q=0.00" | "q=0.000"
            );
            coding.trim() == name && !refused
        })
    };
    [Codec::Zstd, Codec::Gzip, Codec::Brotli]
        .into_iter()
        .find(|c| takes(content_coding(*c)))
}

fn content_coding(codec: Codec) -> &'static str {
    match codec {
        Codec::Zstd => "zstd",
        Codec::Brotli => "br",
        _ => "gzip",
    }
}

/// The coded bytes, or `None` when the plain ones are smaller.
async fn encode(app: &App, codec: Codec, bytes: Bytes) -> Option<Bytes> {
    let plain = bytes.len();
    // Speed before ratio: an answer is coded once and sent once.
    let level = match codec {
        Codec::Zstd => 1,
        Codec::Brotli => 3,
        _ => 1,
    };
    let work = move || {
        compress::compress(codec, Some(level), &bytes, &Unstoppable).map_err(|error| {
            ApiError::new(sommos_core::wire::ErrorCode::Internal, error.to_string())
        })
    };
    let coded = body::cpu(app, plain, work).await.ok()?;
    (coded.len() < plain).then(|| Bytes::from(coded))
}

/// A tag: 128 bits of two differently seeded hashes of the content.
fn entity_tag(bytes: &[u8]) -> String {
    let half = |seed| foldhash::quality::FixedState::with_seed(seed).hash_one(bytes);
    format!("\"{:016x}{:016x}\"", half(1), half(2))
}

/// The tag as it is sent. Coded bytes are others than the plain ones of the same tag, so there it
/// is weak (RFC 9110, section 8.8.1).
fn sent_tag(tag: &str, coded: bool) -> HeaderValue {
    let sent = if coded {
        format!("W/{tag}")
    } else {
        tag.to_owned()
    };
    // Hexadecimal digits and quotes are always a valid header.
    HeaderValue::from_str(&sent).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_accepted_coding_wins() {
        assert_eq!(best_codec("gzip, deflate, br, zstd"), Some(Codec::Zstd));
        assert_eq!(best_codec("br;q=1, gzip;q=0"), Some(Codec::Brotli));
        assert_eq!(best_codec("identity"), None);
    }
}
