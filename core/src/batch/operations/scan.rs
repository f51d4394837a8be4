//! One pass over one JSON text (RFC 8259): is it valid, and where would a member go?
//!
//! No value is built and nothing is allocated, which is what makes the default processor fast.
//! Strings are looked at 8 bytes at a time.

use std::ops::Range;

/// What is wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: &'static str,
}

/// What [`scan`] found. Offsets are into the whole text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// The value without the whitespace around it.
    pub(super) value: Range<usize>,
    /// Of an object: where its last member ends (behind the brace if it has none).
    pub(super) members_end: Option<usize>,
    /// The object has no member.
    pub(super) empty: bool,
    /// The value of the first member with the wanted key.
    pub(super) first: Option<Range<usize>>,
    /// Later members with that key, each with the comma before it.
    pub(super) repeated: Vec<Range<usize>>,
    /// A line break stands between tokens.
    pub(super) broken: bool,
}

/// Checks `text`, valid UTF-8, and finds `key` among the members of a top-level object.
/// O(length); nesting up to `depth_max`.
pub(super) fn scan(text: &[u8], key: &str, depth_max: usize) -> Result<Shape, Fault> {
    let mut scanner = Scanner {
        text,
        at: 0,
        depth: depth_max,
        broken: false,
    };
    let mut shape = Shape::default();
    scanner.space();
    let start = scanner.at;
    if scanner.peek() == b'{' {
        scanner.top_object(key.as_bytes(), &mut shape)?;
    } else {
        scanner.value()?;
    }
    shape.value = start..scanner.at;
    shape.broken = scanner.broken;
    scanner.space();
    if scanner.at < text.len() {
        scanner.fail("more than one value")
    } else {
        Ok(shape)
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Levels still allowed.
    depth: usize,
    broken: bool,
}

impl Scanner<'_> {
    fn fail<T>(&self, message: &'static str) -> Result<T, Fault> {
        Err(Fault {
            at: self.at,
            message,
        })
    }

    /// The next byte; 0, which begins nothing, at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        loop {
            match self.peek() {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.broken = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, message: &'static str) -> Result<(), Fault> {
        if self.peek() != byte {
            return self.fail(message);
        }
        self.at += 1;
        Ok(())
    }

    fn top_object(&mut self, key: &[u8], shape: &mut Shape) -> Result<(), Fault> {
        self.descend()?;
        self.space();
        if self.peek() == b'}' {
            shape.members_end = Some(self.at);
            shape.empty = true;
            self.at += 1;
            return Ok(());
        }
        let mut comma = self.at;
        loop {
            let (name, escaped) = self.string("expected a member name")?;
            self.space();
            self.expect(b':', "expected a colon")?;
            self.space();
            let start = self.at;
            self.value()?;
            let name = &self.text[name];
            if name == key || (escaped && unescapes_to(name, key)) {
                match shape.first {
                    None => shape.first = Some(start..self.at),
                    Some(_) => shape.repeated.push(comma..self.at),
                }
            }
            shape.members_end = Some(self.at);
            self.space();
            comma = self.at;
            match self.peek() {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fail("expected a comma or a closing brace"),
            }
            self.space();
        }
    }

    fn value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.string("").map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.fail("expected a value"),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.descend()?;
        self.space();
        inner(self)?;
        self.depth += 1;
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Fault> {
        let Some(depth) = self.depth.checked_sub(1) else {
            return self.fail("nested too deeply");
        };
        self.depth = depth;
        self.at += 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), Fault> {
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.string("expected a member name")?;
            self.space();
            self.expect(b':', "expected a colon")?;
            self.space();
            self.value()?;
            self.space();
            match self.peek() {
                b',' => self.at += 1,
                b'}' => break,
                _ => return self.fail("expected a comma or a closing brace"),
            }
            self.space();
        }
        self.at += 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Fault> {
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            self.space();
            match self.peek() {
                b',' => self.at += 1,
                b']' => break,
                _ => return self.fail("expected a comma or a closing bracket"),
            }
            self.space();
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail("expected true, false or null");
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start {
            self.fail("expected a digit")
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                return self.fail("a number begins with 0");
            }
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// The range between the quotes, and whether it has escapes.
    fn string(&mut self, message: &'static str) -> Result<(Range<usize>, bool), Fault> {
        self.expect(b'"', message)?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.plain();
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok((start..self.at - 1, escaped));
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at >= self.text.len() => return self.fail("a string without an end"),
                _ => return self.fail("a control character in a string"),
            }
        }
    }

    /// Passes over bytes that mean nothing inside a string.
    fn plain(&mut self) {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const TOPS: u64 = ONES << 7;
        // A byte of the result has its top bit set where `x` has a zero byte; bytes above the first
        // such one may be wrong, so only the lowest counts (Hacker's Delight, 6-1).
        let zeros = |x: u64| x.wrapping_sub(ONES) & !x & TOPS;
        while let Some(bytes) = self.text[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*bytes);
            let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
            let special =
                zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
            let stops = control | special;
            if stops != 0 {
                self.at += stops.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while !matches!(self.peek(), b'"' | b'\\' | 0..=0x1f) {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_ascii_hexdigit() {
                        return self.fail("expected four hexadecimal digits");
                    }
                    self.at += 1;
                }
            }
            _ => return self.fail("unknown escape"),
        }
        Ok(())
    }
}

/// Whether the inside of a JSON string with escapes means `plain`.
fn unescapes_to(inside: &[u8], plain: &[u8]) -> bool {
    let quoted = [b"\"", inside, b"\""].concat();
    // A lone surrogate is valid JSON but equals no text.
    serde_json::from_slice::<String>(&quoted).is_ok_and(|text| text.as_bytes() == plain)
}
