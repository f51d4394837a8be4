//! The peer that does nothing: axum handlers that answer constants of the sizes that we answer.

use std::io::Write as _;

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use serde::Deserialize;

/// The hidden argument that makes the benchmark this server: `COMMAND SMALL_BYTES LARGE_BYTES`.
pub const COMMAND: &str = "bare-axum";

const MESSAGE: &[u8] = br#"{"success":true,"message":"Value cached successfully"}"#;
const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

#[derive(Deserialize)]
struct Set<'a> {
    key: &'a str,
    value: &'a str,
}

/// Serves until it is killed.
pub fn main(sizes: &[String]) -> anyhow::Result<()> {
    let answer = |at: usize| -> anyhow::Result<Bytes> {
        let size = sizes.get(at).map_or(Ok(100), |size| size.parse())?;
        Ok(Bytes::from(vec![b'x'; size]))
    };
    let (small, large) = (answer(0)?, answer(1)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let constant = |bytes: Bytes| get(move || std::future::ready((JSON, bytes.clone())));
        let router = Router::new()
            .route("/api/performance/cache/get/small", constant(small))
            .route("/api/performance/cache/get/large", constant(large))
            .route("/api/performance/cache/set", post(set));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

async fn set(body: Bytes) -> impl IntoResponse {
    match serde_json::from_slice::<Set<'_>>(&body) {
        Ok(set) if !set.key.is_empty() && !set.value.is_empty() => {
            (JSON, Bytes::from_static(MESSAGE)).into_response()
        }
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}
