//! Reads one HTTP/1.1 answer from the pieces that arrive: its status, the length of its body,
//! where it redirects to. Nothing of it is kept; a head that arrives whole is not even copied.

use httparse::{EMPTY_HEADER, Response, Status};

/// Longest head, bytes.
const HEAD_BYTES: usize = 64 << 10;
/// Most header fields of a head.
const FIELDS: usize = 100;
/// Longest line of a chunked body (size and extension, or trailer), bytes.
const LINE_BYTES: usize = 8 << 10;

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    Head,
    HeadTooLong,
    Length,
    Chunk,
    /// Bytes after its end.
    Surplus,
}

impl Malformed {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "the answer does not begin with an HTTP/1.x head",
            Self::HeadTooLong => "the answer's head is longer than 64 KiB or has over 100 fields",
            Self::Length => "the answer's Content-Length or Transfer-Encoding is malformed",
            Self::Chunk => "a chunk of the answer is malformed",
            Self::Surplus => "bytes follow the answer",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the body are to come.
    Length(u64),
    UntilClose,
    Chunked(Chunked),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunked {
    /// In a line with a size; the size so far, digits seen, whether the digits are over.
    Size {
        size: u64,
        digits: u8,
        over: bool,
        line: usize,
    },
    Data(u64),
    /// Of the line end after data so many bytes are to come.
    DataEnd(u8),
    /// Whether the trailer's line has a byte yet, and its length.
    Trailer {
        line: usize,
    },
}

const SIZE: Chunked = Chunked::Size {
    size: 0,
    digits: 0,
    over: false,
    line: 0,
};

/// One answer on its way.
#[derive(Debug)]
pub(super) struct Incoming {
    state: State,
    pub(super) status: u16,
    pub(super) body_bytes: u64,
    /// Whether the connection can take another request afterwards.
    pub(super) keep_alive: bool,
    /// `Location` of a redirect.
    pub(super) location: Option<Box<str>>,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head,
            status: 0,
            body_bytes: 0,
            keep_alive: true,
            location: None,
        }
    }

    /// Takes the next piece. `kept` holds an unfinished head between pieces, and is empty before
    /// and after. Gives whether the answer is whole.
    pub(super) fn feed(&mut self, piece: &[u8], kept: &mut Vec<u8>) -> Result<bool, Malformed> {
        if self.state != State::Head {
            return self.body(piece);
        }
        if kept.is_empty() {
            let used = self.heads(piece)?;
            if self.state == State::Head {
                kept.extend_from_slice(&piece[used..]);
                return Ok(false);
            }
            return self.body(&piece[used..]);
        }
        kept.extend_from_slice(piece);
        let bytes = std::mem::take(kept);
        let used = self.heads(&bytes)?;
        let whole = match self.state {
            State::Head => false,
            _ => self.body(&bytes[used..])?,
        };
        *kept = bytes;
        match self.state {
            State::Head => drop(kept.drain(..used)),
            _ => kept.clear(),
        }
        Ok(whole)
    }

    /// The connection was closed. Gives whether that ends the answer well.
    pub(super) fn closed(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Reads heads, interim ones too; gives the bytes used.
    fn heads(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut used = 0;
        while self.state == State::Head {
            match self.head(&bytes[used..])? {
                None => break,
                Some(length) => used += length,
            }
        }
        Ok(used)
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut fields = [EMPTY_HEADER; FIELDS];
        let mut head = Response::new(&mut fields);
        let length = match head.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() <= HEAD_BYTES => return Ok(None),
            Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(Malformed::HeadTooLong);
            }
            Err(_) => return Err(Malformed::Head),
        };
        let status = head.code.ok_or(Malformed::Head)?;
        if (100..200).contains(&status) {
            // An upgrade was not asked for; other interim answers announce the final one.
            return if status == 101 {
                Err(Malformed::Head)
            } else {
                Ok(Some(length))
            };
        }
        self.status = status;
        self.keep_alive = head.version == Some(1);
        self.state = self.framing(head.headers)?;
        Ok(Some(length))
    }

    fn framing(&mut self, fields: &[httparse::Header<'_>]) -> Result<State, Malformed> {
        let mut length = None;
        let mut chunked = false;
        for field in fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let said = number(field.value).ok_or(Malformed::Length)?;
                if length.is_some_and(|before| before != said) {
                    return Err(Malformed::Length);
                }
                length = Some(said);
            } else if is("transfer-encoding") {
                // Other codings were not asked for.
                if !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed::Length);
                }
                chunked = true;
            } else if is("connection") {
                self.keep_alive &= !field.value.trim_ascii().eq_ignore_ascii_case(b"close");
            } else if is("location") && (300..400).contains(&self.status) {
                self.location = Some(String::from_utf8_lossy(field.value).into());
            }
        }
        Ok(match (self.status, chunked, length) {
            (204 | 304, ..) => State::Done,
            (_, true, _) => State::Chunked(SIZE),
            (_, false, Some(0)) => State::Done,
            (_, false, Some(length)) => State::Length(length),
            (_, false, None) => {
                self.keep_alive = false;
                State::UntilClose
            }
        })
    }

    fn body(&mut self, mut piece: &[u8]) -> Result<bool, Malformed> {
        while !piece.is_empty() {
            let used = match self.state {
                State::Head => return Ok(false),
                State::Done => return Err(Malformed::Surplus),
                State::UntilClose => {
                    self.body_bytes += piece.len() as u64;
                    piece.len()
                }
                State::Length(left) => {
                    let here = left.min(piece.len() as u64);
                    self.body_bytes += here;
                    self.state = match left - here {
                        0 => State::Done,
                        left => State::Length(left),
                    };
                    here as usize
                }
                State::Chunked(at) => self.chunked(at, piece)?,
            };
            piece = &piece[used..];
        }
        Ok(self.state == State::Done)
    }

    /// Takes one byte of the framing or some of the data; gives how many.
    fn chunked(&mut self, at: Chunked, piece: &[u8]) -> Result<usize, Malformed> {
        let byte = piece[0];
        let mut used = 1;
        let next = match at {
            Chunked::Data(left) => {
                let here = left.min(piece.len() as u64);
                self.body_bytes += here;
                used = here as usize;
                match left - here {
                    0 => Chunked::DataEnd(2),
                    left => Chunked::Data(left),
                }
            }
            Chunked::DataEnd(2) if byte == b'\r' => Chunked::DataEnd(1),
            Chunked::DataEnd(1) if byte == b'\n' => SIZE,
            Chunked::DataEnd(_) => return Err(Malformed::Chunk),
            Chunked::Size {
                size,
                digits,
                over,
                line,
            } => size_line(byte, size, digits, over, line)?,
            Chunked::Trailer { line } => match byte {
                b'\r' => Chunked::Trailer { line },
                b'\n' if line == 0 => {
                    self.state = State::Done;
                    return Ok(1);
                }
                b'\n' => Chunked::Trailer { line: 0 },
                _ if line >= LINE_BYTES => return Err(Malformed::Chunk),
                _ => Chunked::Trailer { line: line + 1 },
            },
        };
        self.state = State::Chunked(next);
        Ok(used)
    }
}

fn size_line(
    byte: u8,
    size: u64,
    digits: u8,
    over: bool,
    line: usize,
) -> Result<Chunked, Malformed> {
    let line = line + 1;
    match (byte, char::from(byte).to_digit(16)) {
        (b'\n', _) if digits > 0 => Ok(match size {
            0 => Chunked::Trailer { line: 0 },
            size => Chunked::Data(size),
        }),
        (_, Some(digit)) if !over && digits < 15 => Ok(Chunked::Size {
            size: size << 4 | u64::from(digit),
            digits: digits + 1,
            over,
            line,
        }),
        // What follows the digits is an extension, or the carriage return.
        (b'\r' | b';' | b' ' | b'\t', _) if digits > 0 => Ok(Chunked::Size {
            size,
            digits,
            over: true,
            line,
        }),
        (byte, _) if over && byte != b'\n' && line <= LINE_BYTES => Ok(Chunked::Size {
            size,
            digits,
            over,
            line,
        }),
        _ => Err(Malformed::Chunk),
    }
}

/// A decimal number without a sign.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
