//! Requests over TCP, for the shells that listen.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::replay::{Reply, Send};

/// An answer takes longer only when something hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client with its connections.
pub struct HttpClient(Client<HttpConnector, Full<Bytes>>);

impl Default for HttpClient {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

impl HttpClient {
    /// Asks `origin`; `header` is one more header.
    ///
    /// # Errors
    /// When no answer comes, or not in time.
    pub async fn ask(
        &self,
        origin: &str,
        send: &Send,
        header: Option<(&str, String)>,
    ) -> anyhow::Result<Reply> {
        tokio::time::timeout(TIMEOUT, self.exchange(origin, send, header))
            .await
            .context("no answer in time")?
    }

    async fn exchange(
        &self,
        origin: &str,
        send: &Send,
        header: Option<(&str, String)>,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder()
            .method(send.method.as_str())
            .uri(format!("{origin}{}", send.path));
        if !send.content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, &send.content_type);
        }
        if !send.accept.is_empty() {
            request = request.header(header::ACCEPT, &send.accept);
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(send.body.clone()));
        let response = self.0.request(request.body(body)?).await?;
        let (parts, mut incoming) = response.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|h| h.to_str().ok()).unwrap_or("");
        let enough = send.read_bytes.unwrap_or(usize::MAX);
        let mut body = Vec::new();
        while body.len() < enough
            && let Some(frame) = incoming.frame().await
        {
            if let Ok(data) = frame?.into_data() {
                body.extend_from_slice(&data);
            }
        }
        Ok(Reply {
            status: parts.status.as_u16(),
            content_type: content_type.to_owned(),
            body,
        })
    }
}
