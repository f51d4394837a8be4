//! One connection that is kept alive: sends one request at a time, reconnects when it must.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Connect,
    Timeout,
    Closed,
    Protocol,
}

/// A whole answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body_bytes: u64,
}

/// Sender and connection. The connection is driven by the task that waits for the answer, so that
/// no second task has to be woken.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
    closed: bool,
}

impl Link {
    async fn open(target: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target)
            .await
            .map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::Connect)?;
        Ok(Self {
            sender,
            connection,
            closed: false,
        })
    }

    /// Whether a request may be sent; notices that the server closed the connection meanwhile.
    async fn is_open(&mut self) -> bool {
        poll_fn(|cx| {
            if !self.closed {
                self.closed = Pin::new(&mut self.connection).poll(cx).is_ready();
            }
            Poll::Ready(())
        })
        .await;
        !self.closed && self.sender.is_ready()
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let response = self.sender.send_request(request);
        let answer = async {
            let response = response.await?;
            let status = response.status().as_u16();
            let mut body = response.into_body();
            let mut body_bytes = 0;
            while let Some(frame) = body.frame().await {
                body_bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
            }
            Ok(Answer { status, body_bytes })
        };
        drive(&mut self.connection, &mut self.closed, answer)
            .await
            .map_err(|error: hyper::Error| classify(&error))
    }
}

async fn reusable(link: Option<Link>) -> Option<Link> {
    let mut link = link?;
    link.is_open().await.then_some(link)
}

/// Awaits `work`, which needs `connection` to make progress.
async fn drive<F: Future>(
    connection: &mut Connection<TokioIo<TcpStream>, Full<Bytes>>,
    closed: &mut bool,
    work: F,
) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        if !*closed {
            *closed = Pin::new(&mut *connection).poll(cx).is_ready();
        }
        work.as_mut().poll(cx)
    })
    .await
}

fn classify(error: &hyper::Error) -> Failure {
    let broken =
        std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
    if broken || error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        Failure::Closed
    } else {
        Failure::Protocol
    }
}

/// The client of one worker.
pub(super) struct Client {
    target: SocketAddr,
    timeout: Duration,
    link: Option<Link>,
    /// Connections opened so far.
    pub(super) opened: u64,
}

impl Client {
    pub(super) fn new(target: SocketAddr, timeout: Duration) -> Self {
        Self {
            target,
            timeout,
            link: None,
            opened: 0,
        }
    }

    /// Sends a request, on a new connection if there is none, and reads the whole answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        // Taken out, so that whatever ends early leaves no connection with an answer under way.
        let link = self.link.take();
        let (target, opened) = (self.target, &mut self.opened);
        let work = async {
            let mut link = match reusable(link).await {
                Some(link) => link,
                None => {
                    let link = Link::open(target).await?;
                    *opened += 1;
                    link
                }
            };
            let answer = link.exchange(request).await?;
            Ok((link, answer))
        };
        let (link, answer) = tokio::time::timeout(self.timeout, work)
            .await
            .map_err(|_| Failure::Timeout)??;
        self.link = Some(link);
        Ok(answer)
    }
}
