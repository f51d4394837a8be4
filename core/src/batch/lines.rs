//! Batches as NDJSON: chunks of whole lines in, a line for each record out.

use serde_json::value::RawValue;

/// Line breaks are counted in so many bytes at once, which is faster than to find each.
const BLOCK: usize = 2048;

/// Cuts bytes that come in pieces into chunks of whole lines. Holds at most one chunk and a piece.
#[derive(Debug)]
pub struct LineCutter {
    rest: Vec<u8>,
    /// Where the chunk that is next begins.
    start: usize,
    /// Up to here every line break has been counted.
    scanned: usize,
    lines: usize,
    lines_max: usize,
    bytes_max: usize,
}

impl LineCutter {
    /// Chunks of at most `lines_max` lines; one ends, too, with the line that brings it to
    /// `bytes_max` bytes.
    #[must_use]
    pub fn new(lines_max: usize, bytes_max: usize) -> Self {
        Self {
            rest: Vec::new(),
            start: 0,
            scanned: 0,
            lines: 0,
            lines_max: lines_max.max(1),
            bytes_max,
        }
    }

    /// Takes the next piece. Take all chunks out before the next: it then costs O(piece).
    pub fn push(&mut self, piece: &[u8]) {
        self.rest.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.rest.extend_from_slice(piece);
    }

    /// The next chunk that is complete.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        while self.scanned < self.rest.len() {
            let block = self.rest[self.scanned..].chunks(BLOCK).next()?;
            let breaks = memchr::memchr_iter(b'\n', block).count();
            let bytes = self.scanned + block.len() - self.start;
            if (self.lines + breaks >= self.lines_max || bytes >= self.bytes_max)
                && let Some(end) = self.end_within(block)
            {
                self.scanned += end;
                return Some(self.take());
            }
            self.lines += breaks;
            self.scanned += block.len();
        }
        None
    }

    /// Where the chunk ends in the block that is next.
    fn end_within(&self, block: &[u8]) -> Option<usize> {
        let scanned = self.scanned - self.start;
        let ends = memchr::memchr_iter(b'\n', block).map(|at| at + 1);
        ends.zip(self.lines + 1..)
            .find(|&(end, lines)| lines == self.lines_max || scanned + end >= self.bytes_max)
            .map(|(end, _)| end)
    }

    /// The last chunk, at the end of the input.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        self.scanned = self.rest.len();
        let last = self.take();
        (!last.trim_ascii().is_empty()).then_some(last)
    }

    /// Bytes that wait for the end of their chunk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rest.len() - self.start
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.rest.clear();
        (self.start, self.scanned, self.lines) = (0, 0, 0);
    }

    fn take(&mut self) -> Vec<u8> {
        let chunk = self.rest[self.start..self.scanned].to_vec();
        self.start = self.scanned;
        self.lines = 0;
        chunk
    }
}

/// Lines of JSON values as one JSON array, not yet parsed, and how many there are.
#[must_use]
pub fn array_of(lines: &[u8]) -> (Vec<u8>, u32) {
    let mut out = Vec::with_capacity(lines.len() + 2);
    let mut items = 0;
    out.push(b'[');
    for line in lines
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|l| !l.is_empty())
    {
        if items > 0 {
            out.push(b',');
        }
        out.extend_from_slice(line);
        items += 1;
    }
    out.push(b']');
    (out, items)
}

/// Appends the values of a JSON array, one a line; a value that is no array is one line.
///
/// # Errors
/// When it is no JSON; what was appended before stays.
pub fn append_lines(out: &mut Vec<u8>, json: &[u8]) -> Result<(), serde_json::Error> {
    if let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(json) {
        for item in items {
            one_line(out, item);
        }
        return Ok(());
    }
    one_line(out, serde_json::from_slice(json)?);
    Ok(())
}

/// Within JSON a line break can only stand between tokens: leaving it out changes nothing.
fn one_line(out: &mut Vec<u8>, item: &RawValue) {
    out.extend(item.get().bytes().filter(|b| !matches!(b, b'\n' | b'\r')));
    out.push(b'\n');
}

/// Appends the line that stands for a chunk that failed.
pub fn append_error(out: &mut Vec<u8>, chunk: u32, error: &str) {
    let line = serde_json::json!({"$error": {"chunk": chunk, "error": error}});
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&str], lines_max: usize, bytes_max: usize) -> Vec<String> {
        let mut cutter = LineCutter::new(lines_max, bytes_max);
        let mut chunks = Vec::new();
        for piece in pieces {
            cutter.push(piece.as_bytes());
            while let Some(chunk) = cutter.chunk() {
                chunks.push(String::from_utf8(chunk).unwrap());
            }
        }
        chunks.extend(cutter.end().map(|c| String::from_utf8(c).unwrap()));
        chunks
    }

    #[test]
    fn input_is_cut_at_lines_wherever_its_pieces_end() {
        let pieces = ["1\n2", "\n\n3\n", "4"];
        assert_eq!(cut(&pieces, 2, 100), ["1\n2\n", "\n3\n", "4"]);
        assert_eq!(cut(&pieces, 100, 3), ["1\n2\n", "\n3\n", "4"]);
        assert_eq!(
            cut(&["1\n2\n3\n4\n5\n \n"], 2, 100),
            ["1\n2\n", "3\n4\n", "5\n \n"]
        );
    }

    #[test]
    fn long_inputs_are_cut_as_line_by_line() {
        let mut rng = crate::rng::Rng::new(7);
        for (lines_max, bytes_max) in [
            (1, 9),
            (7, 1 << 20),
            (1000, 3000),
            (100, 9000),
            (1000, 1 << 20),
        ] {
            let mut lines = Vec::new();
            for _ in 0..5000 {
                let line = "x".repeat(rng.below(40) as usize);
                lines.push(line + "\n");
            }
            let mut wanted = vec![String::new()];
            let mut count = 0;
            for line in &lines {
                let chunk = wanted.last_mut().unwrap();
                chunk.push_str(line);
                count += 1;
                if count == lines_max || chunk.len() >= bytes_max {
                    wanted.push(String::new());
                    count = 0;
                }
            }
            if wanted.last().is_some_and(|last| last.trim().is_empty()) {
                wanted.pop();
            }
            let text = lines.concat();
            for piece in [1 << 20, 2048, 777, 1] {
                let pieces = text.as_bytes().chunks(piece);
                let pieces: Vec<_> = pieces.map(|p| std::str::from_utf8(p).unwrap()).collect();
                assert!(
                    cut(&pieces, lines_max, bytes_max) == wanted,
                    "{lines_max} {bytes_max} {piece}"
                );
            }
        }
    }

    #[test]
    fn lines_become_an_array_and_results_become_lines() {
        assert_eq!(
            array_of(b"1\n\n {\"a\":2} \n"),
            (b"[1,{\"a\":2}]".to_vec(), 2)
        );
        let mut out = Vec::new();
        append_lines(&mut out, b"[1,\n{\"a\":\n2}]").unwrap();
        append_lines(&mut out, b"{}").unwrap();
        append_error(&mut out, 3, "no");
        let wanted = "1\n{\"a\":2}\n{}\n{\"$error\":{\"chunk\":3,\"error\":\"no\"}}\n";
        assert_eq!(out, wanted.as_bytes());
    }
}
