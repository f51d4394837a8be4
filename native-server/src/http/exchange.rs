//! What is told of every request: its id, its bytes, one line in the log.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, body::HttpBody, extract::Request, response::Response};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method,
    body::{Frame, SizeHint},
    header::{HeaderName, HeaderValue},
};
use sommos_core::wire::{request_id, routes::Route};

use crate::app::App;

const REQUEST_ID: HeaderName = HeaderName::from_static(request_id::HEADER);

/// The caller's id where it is well formed, else a new one.
pub(super) fn id_of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(&REQUEST_ID) {
        Some(id) if request_id::is_well_formed(id.as_bytes()) => id.clone(),
        _ => new_id(),
    }
}

/// 64 random bits of this process, and a count.
fn new_id() -> HeaderValue {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without randomness ids repeat after a restart, which the log's times tell apart.
        let _ = getrandom::fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = format!("{process:016x}-{count:x}");
    // Hexadecimal digits are always a valid header.
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

/// A request on its way.
pub(super) struct Exchange {
    pub(super) id: HeaderValue,
    pub(super) method: Method,
    pub(super) route: Option<Route>,
    pub(super) began: std::time::Instant,
}

impl Exchange {
    /// Counts the request's body: at once where its length is told, else as it comes.
    pub(super) fn receive(&self, app: &Arc<App>, request: Request) -> Request {
        match request.body().size_hint().exact() {
            Some(0) => request,
            Some(bytes) => {
                app.monitoring.received(self.route, bytes);
                request
            }
            None => {
                let (app, route) = (Arc::clone(app), self.route);
                request.map(|body| {
                    Body::new(Counted {
                        body,
                        bytes: 0,
                        told: move |bytes| app.monitoring.received(route, bytes),
                    })
                })
            }
        }
    }

    /// Counts the answer, gives it the id and writes the line.
    pub(super) fn answer(self, app: &Arc<App>, mut response: Response) -> Response {
        let status = response.status().as_u16();
        let bytes = response.body().size_hint().exact();
        let took = self.began.elapsed();
        app.monitoring
            .leave(self.route, status, took, bytes.unwrap_or(0));
        self.log(status, took, bytes);
        response.headers_mut().insert(REQUEST_ID, self.id);
        if bytes.is_some() {
            return response;
        }
        let (app, route) = (Arc::clone(app), self.route);
        response.map(|body| {
            Body::new(Counted {
                body,
                bytes: 0,
                told: move |bytes| app.monitoring.streamed(route, status, bytes),
            })
        })
    }

    /// Of an answer that is streamed, the length is not known yet.
    fn log(&self, status: u16, took: Duration, bytes: Option<u64>) {
        tracing::debug!(
            id = self.id.to_str().unwrap_or_default(),
            method = %self.method,
            route = self.route.map_or("other", |route| route.info().path),
            status,
            duration_ms = took.as_secs_f64() * 1000.0,
            bytes,
            "request"
        );
    }
}

/// A body that tells how many bytes went by when it is dropped.
struct Counted<F: FnMut(u64)> {
    body: Body,
    bytes: u64,
    told: F,
}

impl<F: FnMut(u64)> Drop for Counted<F> {
    fn drop(&mut self) {
        (self.told)(self.bytes);
    }
}

impl<F: FnMut(u64) + Unpin> HttpBody for Counted<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
