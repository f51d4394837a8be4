//! Bodies that are no JSON, or never end.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::mpsc};

use super::cluster::Server;

impl Server {
    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let uri = format!("http://{}/api/performance/{path}", self.address);
        Request::builder().method(method).uri(uri)
    }

    /// Bytes there and back, of these types.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        [sent, wanted]: [&str; 2],
        body: Bytes,
    ) -> (StatusCode, Bytes) {
        let request = self.request(method, path);
        let request = request
            .header("content-type", sent)
            .header("accept", wanted);
        let request = request.body(Full::new(body)).unwrap();
        let response = self.client.request(request).await.expect("an answer");
        let status = response.status();
        (
            status,
            response.into_body().collect().await.unwrap().to_bytes(),
        )
    }

    /// Sends a body that never ends.
    pub fn send_and_wait(
        &self,
        path: &str,
        sent: &'static str,
        body: Bytes,
    ) -> impl Future<Output = ()> + use<> {
        let head = format!(
            "POST /api/performance/{path} HTTP/1.1\r\nhost: test\r\ncontent-type: {sent}\r\n\
             accept: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        let address = self.address;
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
            std::future::pending().await
        }
    }

    /// Its events from now on: names and fields.
    pub async fn listen(&self) -> mpsc::UnboundedReceiver<(String, Value)> {
        let request = self.request(Method::GET, "events");
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let mut body = self.client.request(request).await.unwrap().into_body();
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut text = String::new();
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                text.push_str(std::str::from_utf8(&data).unwrap());
                while let Some((event, rest)) = text.split_once("\n\n") {
                    let field = |name: &str| {
                        let mut lines = event.lines();
                        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                    };
                    if let (Some(name), Some(data)) = (field("event"), field("data")) {
                        // A test that has ended hears no more.
                        let fields = serde_json::from_str(data).unwrap();
                        let _ = sender.send((name.to_owned(), fields));
                    }
                    text = rest.to_owned();
                }
            }
        });
        receiver
    }
}
