//! The common line at little more than the price of a copy: an object whose values are strings,
//! numbers and literals, as `JSON.stringify` and its like write it.
//!
//! 64 bytes at a time become sets of bits: where are quotes, where does a string stop, where are
//! digits? A token is then a shift and a count of zeros, so that its end is known without looking
//! at its bytes one after another (Langdale and Lemire, "Parsing gigabytes of JSON per second",
//! 2019, do so for all of JSON). Whatever is not of that kind, valid or not, is left to
//! [`super::scan`].

use super::marks::{BLOCK, Marks};

/// Where the last member ends of the object that begins at `begin` and is all of its line: the
/// place of its closing brace. `text` is valid UTF-8. None when there is no such object, or it has
/// no member or one called `key`. O(length of the line).
pub(super) fn members_end(text: &[u8], begin: usize, key: &[u8]) -> Option<usize> {
    if *text.get(begin)? != b'{' {
        return None;
    }
    let mut line = Line::new(text, begin);
    let mut at = begin + 1;
    loop {
        let name = at + 1;
        at = line.string(at)?;
        // Escapes have led elsewhere, so a name is what it looks like.
        if text[name..at - 1] == *key || line.byte(at) != b':' {
            return None;
        }
        at = line.value(line.space(at + 1))?;
        match line.byte(at) {
            b',' => at = line.space(at + 1),
            b'}' => return matches!(text.get(at + 1), None | Some(b'\n')).then_some(at),
            _ => return None,
        }
    }
}

struct Line<'a> {
    text: &'a [u8],
    /// Where the block begins that was looked at.
    base: usize,
    marks: Marks,
}

impl<'a> Line<'a> {
    #[inline(always)]
    fn new(text: &'a [u8], base: usize) -> Self {
        let marks = Self::look(text, base);
        Self { text, base, marks }
    }

    /// The marks of the block at `base`, with zero bytes behind the end.
    #[inline(always)]
    fn look(text: &[u8], base: usize) -> Marks {
        match text.get(base..).and_then(<[u8]>::first_chunk::<BLOCK>) {
            Some(block) => Marks::of(block),
            None => Self::look_at_end(text, base),
        }
    }

    #[cold]
    fn look_at_end(text: &[u8], base: usize) -> Marks {
        let mut block = [0; BLOCK];
        for (to, from) in block.iter_mut().zip(text.iter().skip(base)) {
            *to = *from;
        }
        Marks::of(&block)
    }

    /// The byte there; 0, which no token begins with, behind the end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// Behind one space, if there is one.
    #[inline(always)]
    fn space(&self, at: usize) -> usize {
        at + usize::from(self.byte(at) == b' ')
    }

    /// The first place from `at` on that is in a set; behind the end, there is every one.
    #[inline(always)]
    fn find(&mut self, mut at: usize, set: impl Fn(&Marks) -> u64) -> usize {
        loop {
            let offset = at - self.base;
            if offset < BLOCK {
                let rest = set(&self.marks) >> offset;
                if rest != 0 {
                    return at + rest.trailing_zeros() as usize;
                }
                at = self.base + BLOCK;
            }
            self.base = at;
            self.marks = Self::look(self.text, at);
        }
    }

    /// Behind a string without escapes.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<usize> {
        if self.byte(at) != b'"' {
            return None;
        }
        let end = self.find(at + 1, |marks| marks.stops);
        (self.byte(end) == b'"').then_some(end + 1)
    }

    /// Behind a value that holds no other.
    #[inline(always)]
    fn value(&mut self, at: usize) -> Option<usize> {
        match self.byte(at) {
            b'"' => self.string(at),
            b'-' | b'0'..=b'9' => self.number(at),
            b't' => self.literal(at, b"true"),
            b'f' => self.literal(at, b"false"),
            b'n' => self.literal(at, b"null"),
            _ => None,
        }
    }

    fn literal(&self, at: usize, word: &[u8]) -> Option<usize> {
        self.text[at..].starts_with(word).then(|| at + word.len())
    }

    #[inline(always)]
    fn number(&mut self, at: usize) -> Option<usize> {
        let first = at + usize::from(self.byte(at) == b'-');
        let end = self.digits(first)?;
        if self.byte(first) == b'0' && end > first + 1 {
            return None;
        }
        match self.byte(end) {
            b'.' | b'e' | b'E' => self.fraction(end),
            _ => Some(end),
        }
    }

    /// What may follow the whole part of a number.
    fn fraction(&mut self, mut at: usize) -> Option<usize> {
        if self.byte(at) == b'.' {
            at = self.digits(at + 1)?;
        }
        if matches!(self.byte(at), b'e' | b'E') {
            at += 1;
            at += usize::from(matches!(self.byte(at), b'+' | b'-'));
            at = self.digits(at)?;
        }
        Some(at)
    }

    /// Behind one digit or more.
    #[inline(always)]
    fn digits(&mut self, at: usize) -> Option<usize> {
        let end = self.find(at, |marks| !marks.digits);
        (end > at).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::{super::scan::scan, members_end};

    const KEY: &str = "processed";

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![Just(KEY.to_owned()), "[a-zż\u{1F377}]{0,19}"]
    }

    /// The text of a value; most are of the common kind.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[ -!#-\\[\\]-~ż\u{1F377}]{0,24}".prop_map(|text| format!("\"{text}\"")),
            4 => "-?[0-9]{1,12}(\\.[0-9]{0,9})?([eE][+-]?[0-9]{0,3})?",
            2 => prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(str::to_owned),
            1 => any::<f64>().prop_map(|x| serde_json::to_string(&x).unwrap()),
            1 => prop_oneof![Just("{}"), Just("[1]"), Just("\"\\n\""), Just("tru")]
                .prop_map(str::to_owned),
        ]
    }

    fn line() -> impl Strategy<Value = String> {
        let member = (name(), "[ \t]{0,2}", value(), "[ ]{0,2}");
        prop::collection::vec(member, 0..5).prop_map(|members| {
            let members: Vec<_> = members
                .iter()
                .map(|(name, before, value, behind)| format!("\"{name}\":{before}{value}{behind}"))
                .collect();
            format!("{{{}}}", members.join(","))
        })
    }

    /// What it says of a text, wherever that stands among lines, is what the scanner says of it.
    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let Some(end) = members_end(text.as_bytes(), 0, KEY.as_bytes()) else {
            return Ok(());
        };
        // A damaged text may be two lines, the first of which is meant.
        let line = &text[..=end];
        let shape = scan(line.as_bytes(), KEY, 1)
            .map_err(|e| TestCaseError::fail(format!("{line:?}: {} at {}", e.message, e.at)))?;
        prop_assert_eq!(&shape.value, &(0..line.len()));
        prop_assert_eq!(shape.members_end, Some(end));
        prop_assert!(shape.first.is_none() && shape.repeated.is_empty());
        prop_assert!(!shape.broken && !shape.empty);
        for (before, behind) in [("\n", "\n"), ("{\"a\":1}\n", "\n{\"a\":\"b\"}\n")] {
            let among = format!("{before}{line}{behind}{}", " ".repeat(40 * behind.len()));
            let found = members_end(among.as_bytes(), before.len(), KEY.as_bytes());
            prop_assert_eq!(found, Some(before.len() + end));
        }
        let cut_short = format!("{line}\0{}", " ".repeat(80));
        prop_assert_eq!(members_end(cut_short.as_bytes(), 0, KEY.as_bytes()), None);
        Ok(())
    }

    proptest! {
        #[test]
        fn it_says_what_the_scanner_says(text in line()) {
            agrees(&text)?;
        }

        #[test]
        fn it_says_what_the_scanner_says_of_damaged_lines(
            text in line(), at in any::<prop::sample::Index>(), byte in 0..0x80u8, cut: bool,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] = byte,
            }
            if let Ok(text) = std::str::from_utf8(&bytes) {
                agrees(text)?;
            }
        }

        #[test]
        fn it_knows_the_common_kind(
            members in prop::collection::vec(("[a-oq-z]{2,19}", 0..4u8, any::<i32>()), 1..5),
        ) {
            let mut object = serde_json::Map::new();
            for (name, kind, number) in members {
                let value = match kind {
                    0 => format!("data{number}").into(),
                    1 => number.into(),
                    2 => (f64::from(number) / 8.0).into(),
                    _ => (number > 0).into(),
                };
                object.insert(name, value);
            }
            let text = serde_json::Value::from(object).to_string();
            prop_assert_eq!(members_end(text.as_bytes(), 0, KEY.as_bytes()), Some(text.len() - 1));
            agrees(&text)?;
        }
    }
}
