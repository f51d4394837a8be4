//! Server-sent events: what happens to jobs, tasks, batches and alerts, and samples of metrics.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, http::HeaderValue};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hyper::header;
use sommos_core::wire::ApiError;
use tokio::sync::broadcast::error::RecvError;

use super::{Call, header_text, reply::Reply};
use crate::{app::App, queue::Event};

/// A line of comment so often keeps proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// GET /events. `Last-Event-ID` brings what was missed, as far as it is kept; when some is not, an
/// event `gap` says so.
pub(super) fn stream(call: &Call) -> Result<Reply, ApiError> {
    let after = header_text(
        &call.request,
        header::HeaderName::from_static("last-event-id"),
    )
    .and_then(|id| id.trim().parse().ok());
    let subscription = call.app.queue.events(after);
    let mut head = String::from("retry: 2000\n\n");
    if subscription.gap {
        head.push_str("event: gap\ndata: {}\n\n");
    }
    subscription
        .past
        .iter()
        .for_each(|event| write(&mut head, event));
    let app = Arc::clone(&call.app);
    let live = stream::unfold((app, subscription.live), |(app, mut live)| async move {
        let text = next(&app, &mut live).await?;
        Some((text, (app, live)))
    });
    let frames = stream::once(async { head })
        .chain(live)
        .map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    Ok(
        Reply::stream("text/event-stream", Body::from_stream(frames))
            .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    )
}

/// The next frame; `None` when the server ends.
async fn next(
    app: &App,
    live: &mut tokio::sync::broadcast::Receiver<Arc<Event>>,
) -> Option<String> {
    let received = tokio::select! {
        () = app.ended() => return None,
        () = tokio::time::sleep(KEEP_ALIVE) => return Some(":\n\n".to_owned()),
        received = live.recv() => received,
    };
    match received {
        Ok(event) => {
            let mut text = String::new();
            write(&mut text, &event);
            Some(text)
        }
        // Slower than events come: it is told, and goes on with the present.
        Err(RecvError::Lagged(_)) => Some("event: gap\ndata: {}\n\n".to_owned()),
        Err(RecvError::Closed) => None,
    }
}

fn write(out: &mut String, event: &Event) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail. JSON text has no line breaks.
    let _ = write!(
        out,
        "id: {}\nevent: {}\ndata: {}\n\n",
        event.seq,
        event.name(),
        event.fields()
    );
}
