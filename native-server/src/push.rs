//! POSTs to a receiver that the operator named: a webhook, a collector of metrics.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Uri,
    header::{CONTENT_TYPE, HeaderName, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use thiserror::Error;

/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum PushError {
    /// In time.
    #[error("no answer within {0} ms")]
    Timeout(u64),
    /// No connection, or one that broke.
    #[error("no answer: {0}")]
    Connection(#[from] hyper_util::client::legacy::Error),
    /// The message cannot be sent as it is.
    #[error("no request: {0}")]
    Request(#[from] hyper::http::Error),
}

enum Sender {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// A receiver.
pub(crate) struct Push {
    sender: Sender,
    uri: Uri,
    timeout: Duration,
}

impl Push {
    /// A receiver at an http or https URL. Redirects are not followed.
    ///
    /// # Errors
    /// Says what is wrong with the URL, or that this system has no certificates to trust.
    pub(crate) fn new(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        let plain = match uri.scheme_str() {
            Some("http") => true,
            Some("https") => false,
            _ => anyhow::bail!("{url:?}: expected http://HOST/PATH or https://HOST/PATH"),
        };
        let host = uri
            .authority()
            .with_context(|| format!("{url:?} has no host"))?;
        ensure!(
            !host.as_str().contains('@'),
            "a user in the URL is not sent: leave it out"
        );
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(1);
        let sender = if plain {
            let mut connector = HttpConnector::new();
            connector.set_connect_timeout(Some(timeout));
            Sender::Plain(builder.build(connector))
        } else {
            let connector = HttpsConnectorBuilder::new()
                .with_native_roots()
                .context("no certificates that this system trusts")?
                .https_only()
                .enable_http1()
                .build();
            Sender::Tls(builder.build(connector))
        };
        Ok(Self {
            sender,
            uri,
            timeout,
        })
    }

    /// Sends JSON and gives the answer's status.
    pub(crate) async fn post(
        &self,
        body: impl Into<Bytes>,
        header: Option<(HeaderName, &str)>,
    ) -> Result<u16, PushError> {
        let mut request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("sommos/", env!("CARGO_PKG_VERSION")));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into()))?;
        let exchange = async {
            let response = match &self.sender {
                Sender::Plain(client) => client.request(request).await?,
                Sender::Tls(client) => client.request(request).await?,
            };
            let status = response.status().as_u16();
            // What it says is not needed; one that says too much loses its connection.
            let _ = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            Ok(status)
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(PushError::Timeout(
                u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_taken() {
        let new = |url| Push::new(url, Duration::from_secs(1)).map(|_| ());
        assert!(new("http://127.0.0.1:9/alerts?x=1").is_ok());
        for url in [
            "",
            "/alerts",
            "ftp://a/b",
            "file:///etc/passwd",
            "http://u:p@host/",
        ] {
            assert!(new(url).is_err(), "{url}");
        }
    }
}
