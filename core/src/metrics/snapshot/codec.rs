//! Numbers and texts as bytes: LEB128 for whole numbers, the same on every platform.

use super::SnapshotError;
use crate::time::Timestamp;

/// Most that counters of one kind may add up to: then no sum of them overflows, nor does it by what
/// is counted later.
pub(super) const COUNT_MAX: u64 = 1 << 62;
/// The longest text that any part of the registry keeps.
const TEXT_BYTES_MAX: usize = 512;
/// Every NaN is written as this one: which one arithmetic gives differs between platforms.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

/// A value that is written to a snapshot and read from it.
pub(super) trait Packed: Sized {
    fn pack(&self, to: &mut Writer);
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError>;
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

/// Bytes on their way in.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The bits of a number, with one NaN for all.
pub(super) fn bits_of(value: f64) -> u64 {
    if value.is_nan() {
        NAN_BITS
    } else {
        value.to_bits()
    }
}

impl Writer {
    /// A whole number: 1 byte below 128, 10 at most.
    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn list<'a, T: Packed + 'a>(&mut self, items: impl ExactSizeIterator<Item = &'a T>) {
        self.number(items.len() as u64);
        for item in items {
            item.pack(self);
        }
    }

    /// Numbers that are mostly zero: how many are not, then each with the zeros before it.
    pub(super) fn sparse(&mut self, values: impl Iterator<Item = u64> + Clone) {
        self.number(values.clone().filter(|&value| value != 0).count() as u64);
        let mut zeros = 0;
        for value in values {
            if value == 0 {
                zeros += 1;
                continue;
            }
            self.number(zeros);
            self.number(value);
            zeros = 0;
        }
    }

    /// What changed in a number, as bits: one byte that counts the zero bytes below and the others,
    /// then these.
    pub(super) fn change(&mut self, bits: u64) {
        if bits == 0 {
            self.0.push(0);
            return;
        }
        let (below, above) = (bits.trailing_zeros() / 8, bits.leading_zeros() / 8);
        let count = 8 - below - above;
        self.0.push((below << 4 | count) as u8);
        let bytes = (bits >> (8 * below)).to_le_bytes();
        self.0.extend(bytes.iter().take(count as usize));
    }
}

impl<'a> Reader<'a> {
    /// `at` is where the next byte stands in `bytes`; errors name places from its begin.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn malformed(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Malformed { at: self.at, what }
    }

    /// An error that says `what` unless it holds.
    pub(super) fn check(&self, holds: bool, what: &'static str) -> Result<(), SnapshotError> {
        if holds {
            Ok(())
        } else {
            Err(self.malformed(what))
        }
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], SnapshotError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((taken, _)) = rest.split_at_checked(count) else {
            return Err(self.malformed("it ends within a value"));
        };
        self.at += count;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, SnapshotError> {
        let taken = self.take(1)?;
        Ok(taken.first().copied().unwrap_or_default())
    }

    pub(super) fn number(&mut self) -> Result<u64, SnapshotError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            self.check(part << shift >> shift == part, "a number over 64 bits")?;
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("a number over 64 bits"))
    }

    /// A length of at most `max` items, each of at least one byte.
    pub(super) fn length(
        &mut self,
        max: usize,
        what: &'static str,
    ) -> Result<usize, SnapshotError> {
        let length = self.number()?;
        self.check(length <= max as u64, what)?;
        self.check(length <= self.left() as u64, "it ends within a list")?;
        Ok(length as usize)
    }

    pub(super) fn list<T: Packed>(
        &mut self,
        max: usize,
        what: &'static str,
    ) -> Result<Vec<T>, SnapshotError> {
        let length = self.length(max, what)?;
        (0..length).map(|_| T::unpack(self)).collect()
    }

    /// Fills `values`, which are zero, with what [`Writer::sparse`] wrote; gives their sum, which is
    /// at most [`COUNT_MAX`].
    pub(super) fn sparse(&mut self, values: &mut [u64]) -> Result<u64, SnapshotError> {
        let length = self.length(values.len(), "more buckets than there are")?;
        let (mut next, mut sum) = (0, 0u64);
        for _ in 0..length {
            let zeros = self.number()?;
            let value = self.number()?;
            let rest = values.get_mut(next..).unwrap_or_default();
            let place = usize::try_from(zeros).ok().and_then(|i| rest.get_mut(i));
            let Some(place) = place else {
                return Err(self.malformed("a bucket that does not exist"));
            };
            *place = value;
            next += zeros as usize + 1;
            sum = sum.saturating_add(value);
        }
        self.count(sum)
    }

    /// `value` where it is at most [`COUNT_MAX`].
    pub(super) fn count(&self, value: u64) -> Result<u64, SnapshotError> {
        self.check(value <= COUNT_MAX, "a counter over 2^62")?;
        Ok(value)
    }

    pub(super) fn change(&mut self) -> Result<u64, SnapshotError> {
        let head = self.byte()?;
        let (below, count) = (usize::from(head >> 4), usize::from(head & 15));
        self.check(below + count <= 8, "a change of over 8 bytes")?;
        let mut bytes = [0; 8];
        for (place, byte) in bytes.iter_mut().skip(below).zip(self.take(count)?) {
            *place = *byte;
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// A text of at most `max` bytes.
    pub(super) fn text(&mut self, max: usize) -> Result<Box<str>, SnapshotError> {
        let length = self.length(max, "a text that is too long")?;
        let bytes = self.take(length)?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(self.malformed("a text that is not UTF-8")),
        }
    }

    pub(super) fn end(&self) -> Result<(), SnapshotError> {
        self.check(self.left() == 0, "bytes after the end")
    }
}

impl Packed for u64 {
    fn pack(&self, to: &mut Writer) {
        to.number(*self);
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        from.number()
    }
}

impl Packed for u32 {
    fn pack(&self, to: &mut Writer) {
        to.number(u64::from(*self));
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let value = from.number()?;
        Self::try_from(value).map_err(|_| from.malformed("a number over 32 bits"))
    }
}

/// Any number but NaN: sums may have run over to infinity.
impl Packed for f64 {
    fn pack(&self, to: &mut Writer) {
        to.change(bits_of(*self));
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let value = Self::from_bits(from.change()?);
        from.check(!value.is_nan(), "a NaN where a number is known")?;
        Ok(value)
    }
}

impl Packed for Timestamp {
    fn pack(&self, to: &mut Writer) {
        to.number(self.0);
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        from.number().map(Self)
    }
}

impl Packed for Box<str> {
    fn pack(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        to.0.extend_from_slice(self.as_bytes());
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        from.text(TEXT_BYTES_MAX)
    }
}

impl<T: Packed> Packed for Option<T> {
    fn pack(&self, to: &mut Writer) {
        to.0.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.pack(to);
        }
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        match from.byte()? {
            0 => Ok(None),
            1 => T::unpack(from).map(Some),
            _ => Err(from.malformed("neither a value nor none")),
        }
    }
}

impl<A: Packed, B: Packed> Packed for (A, B) {
    fn pack(&self, to: &mut Writer) {
        self.0.pack(to);
        self.1.pack(to);
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok((A::unpack(from)?, B::unpack(from)?))
    }
}

/// Packs a struct as these fields, in this order.
macro_rules! packed {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Packed for $name {
            fn pack(&self, to: &mut Writer) {
                $(self.$field.pack(to);)*
            }
            fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                Ok(Self { $($field: Packed::unpack(from)?,)* })
            }
        }
    };
}

pub(super) use packed;
