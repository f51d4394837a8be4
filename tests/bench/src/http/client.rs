//! A client of one request a connection. In HTTP/1.0 an answer is what comes until the end, so
//! there is nothing to decode that would be measured, too.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context as _, ensure};

/// Sends one request and gives the body of its answer, which must be of status 200.
pub fn request(
    address: &str,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let (status, answer) = ask(address, method, target, headers, body)?;
    ensure!(
        status == 200,
        "{status}: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(answer)
}

/// Sends one request and gives status and body of its answer.
pub fn ask(
    address: &str,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len() as u64;
    send_head(&mut stream, method, target, headers, length)?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    let status = read_answer(&mut stream, |bytes| answer.extend_from_slice(bytes))?;
    Ok((status, answer))
}

/// Writes the head of a request; `headers` are whole lines, each with its line break.
pub fn send_head(
    stream: &mut TcpStream,
    method: &str,
    target: &str,
    headers: &str,
    length: u64,
) -> anyhow::Result<()> {
    let head = format!("{method} {target} HTTP/1.0\r\n{headers}content-length: {length}\r\n\r\n");
    Ok(stream.write_all(head.as_bytes())?)
}

/// Reads an answer, hands its body on as it comes, and gives its status.
pub fn read_answer(stream: &mut TcpStream, mut body: impl FnMut(&[u8])) -> anyhow::Result<u16> {
    let mut block = vec![0; 256 << 10];
    let mut filled = 0;
    let end = loop {
        let n = stream.read(&mut block[filled..])?;
        ensure!(n > 0, "the connection ended within an answer's head");
        filled += n;
        if let Some(at) = block[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let status = block.get(9..12).context("no status")?;
    let status = std::str::from_utf8(status)?.parse()?;
    body(&block[end..filled]);
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(status),
            n => body(&block[..n]),
        }
    }
}
