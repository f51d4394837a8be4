//! A blocking HTTP/1.1 client over one connection, which can also send what no proper client
//! would: bodies larger than announced limits, chunks without end, broken-off requests.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Longest wait for a byte of an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// An answer.
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `code` of an error's envelope; empty when there is none.
    pub(crate) fn code(&self) -> String {
        text(&self.json()["code"])
    }

    /// The JSON of an answer that must be 200.
    pub(crate) fn ok(&self) -> anyhow::Result<Value> {
        ensure!(
            self.status == 200,
            "status {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body[..self.body.len().min(500)])
        );
        serde_json::from_slice(&self.body).context("the answer is not JSON")
    }
}

/// A JSON string's text, else nothing.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// How a body is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// With its length in the head.
    Length,
    /// In chunks, so that the length is not known before.
    Chunked,
}

/// A connection, opened when first needed and again after it was closed.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of the server at this address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
        }
    }

    /// GET.
    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Response> {
        self.send("GET", path, "", b"", Framing::Length)
    }

    /// DELETE.
    pub(crate) fn delete(&mut self, path: &str) -> anyhow::Result<Response> {
        self.send("DELETE", path, "", b"", Framing::Length)
    }

    /// POST of JSON text.
    pub(crate) fn post(&mut self, path: &str, json: impl AsRef<[u8]>) -> anyhow::Result<Response> {
        let head = "content-type: application/json\r\n";
        self.send("POST", path, head, json.as_ref(), Framing::Length)
    }

    /// A request with further lines of the head, each ended by a line break. An answer that comes
    /// before the body was taken is an answer too.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        lines: &str,
        body: &[u8],
        framing: Framing,
    ) -> anyhow::Result<Response> {
        let result = self.exchange(method, path, lines, body, framing);
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        lines: &str,
        body: &[u8],
        framing: Framing,
    ) -> anyhow::Result<Response> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        let reader = self.stream.insert(stream);
        let length = match framing {
            Framing::Length => format!("content-length: {}", body.len()),
            Framing::Chunked => "transfer-encoding: chunked".to_owned(),
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{lines}{length}\r\n\r\n");
        let mut message = head.into_bytes();
        let sent = match framing {
            Framing::Length if body.len() < 1 << 16 => {
                message.extend_from_slice(body);
                reader.get_mut().write_all(&message)
            }
            _ => write(reader.get_mut(), &message, body, framing),
        };
        // The server may have answered and closed before it took everything.
        let cut = match sent {
            Ok(()) => None,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                Some(error)
            }
            Err(error) => return Err(error.into()),
        };
        let (response, close) = match (read(reader), cut) {
            (Ok(read), _) => read,
            (Err(_), Some(cut)) => return Err(cut).context("the body was not taken"),
            (Err(error), None) => return Err(error),
        };
        if close {
            self.stream = None;
        }
        Ok(response)
    }
}

fn connect(address: SocketAddr) -> anyhow::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

fn write(
    stream: &mut TcpStream,
    head: &[u8],
    body: &[u8],
    framing: Framing,
) -> std::io::Result<()> {
    stream.write_all(head)?;
    for piece in body.chunks(1 << 18) {
        if framing == Framing::Chunked {
            write!(stream, "{:x}\r\n", piece.len())?;
        }
        stream.write_all(piece)?;
        if framing == Framing::Chunked {
            stream.write_all(b"\r\n")?;
        }
    }
    if framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

/// An answer, and whether the connection ends with it.
fn read(reader: &mut BufReader<TcpStream>) -> anyhow::Result<(Response, bool)> {
    let mut line = String::new();
    ensure!(
        reader.read_line(&mut line)? > 0,
        "the server closed the connection"
    );
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.with_context(|| format!("no status line: {line:?}"))?;
    let (mut length, mut chunked, mut close) = (None, false, false);
    loop {
        line.clear();
        ensure!(
            reader.read_line(&mut line)? > 0,
            "the head of the answer broke off"
        );
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => close = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        read_chunks(reader, &mut body)?;
    } else if let Some(length) = length {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else if !matches!(status, 204 | 304) {
        reader.read_to_end(&mut body)?;
        close = true;
    }
    Ok((Response { status, body }, close))
}

fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16)
            .with_context(|| format!("no size of a chunk: {line:?}"))?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(());
        }
    }
}
