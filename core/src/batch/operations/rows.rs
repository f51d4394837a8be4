//! Named processors, and pipelines over NDJSON lines in constant memory.

use serde_json::{Map, Value};

#[cfg(target_arch = "x86_64")]
use super::flat;
use super::{
    Operation, OperationError, Record, apply,
    apply::{BLOCK, apply_row},
    parse,
    parse::not_a_record,
    scan::{Shape, scan},
};
use crate::{control::Control, limits::Limits};

/// Work between two questions to the control, in bytes of input: about a millisecond.
const COST_MAX: usize = 256 << 10;
/// What a field look-up or comparison costs, in the same unit.
const STEP_BYTES: usize = 16;
/// The member that the default processor sets.
const MARK: &str = "processed";

/// A processor that needs no source text.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Processor {
    /// `identity`: each item as it is.
    Identity,
    /// `mark_processed`: each item with `processed: true`, as `{...item, processed: true}` gives
    /// it: an existing `processed` keeps its place and gets the new value, of repeated ones the
    /// first. An item that is no object becomes `{"value": item, "processed": true}`: a spread
    /// would lose a number and take a string apart into letters.
    #[default]
    MarkProcessed,
    /// `data_processing`: operations over objects.
    DataProcessing(Vec<Operation>),
}

impl Processor {
    /// Every name.
    pub const NAMES: [&'static str; 3] = ["identity", "mark_processed", "data_processing"];

    /// The processor of this name; `operations` belong to `data_processing` and are parsed.
    /// `None` if there is no such name.
    ///
    /// # Errors
    /// As [`parse()`].
    pub fn named(
        name: &str,
        operations: Option<&Value>,
        limits: &Limits,
    ) -> Option<Result<Self, OperationError>> {
        match name {
            "identity" => Some(Ok(Self::Identity)),
            "mark_processed" => Some(Ok(Self::MarkProcessed)),
            "data_processing" => {
                let operations = operations.unwrap_or(&Value::Null);
                Some(parse(operations, limits).map(Self::DataProcessing))
            }
            _ => None,
        }
    }

    /// The pipeline over single lines, unless an operation needs the whole data set.
    #[must_use]
    pub fn row_wise(&self, limits: &Limits) -> Option<RowPipeline> {
        let steps = match self {
            Self::Identity => Steps::Identity,
            Self::MarkProcessed => Steps::Mark,
            Self::DataProcessing(operations) => {
                if !operations.iter().all(Operation::is_row_wise) {
                    return None;
                }
                Steps::Operations {
                    verbatim: operations
                        .iter()
                        .all(|o| matches!(o, Operation::Filter { .. })),
                    operations: operations.clone(),
                }
            }
        };
        Some(RowPipeline {
            steps,
            depth_max: limits.json_depth,
            record: 0,
        })
    }

    /// The processor over items in memory. O(n) but for `sort`.
    ///
    /// # Errors
    /// [`OperationError::Record`] and [`OperationError::Stopped`].
    pub fn apply_items(
        &self,
        mut items: Vec<Value>,
        control: &impl Control,
    ) -> Result<Vec<Value>, OperationError> {
        match self {
            Self::Identity => Ok(items),
            Self::MarkProcessed => {
                let total = items.len() as u64;
                for (index, item) in items.iter_mut().enumerate() {
                    if index.is_multiple_of(BLOCK) {
                        control.checkpoint(index as u64, total)?;
                    }
                    mark(item);
                }
                Ok(items)
            }
            Self::DataProcessing(operations) => {
                let records = apply(super::records_of(items)?, operations, control)?;
                Ok(records.into_iter().map(Value::Object).collect())
            }
        }
    }
}

fn mark(item: &mut Value) {
    if let Value::Object(record) = item {
        record.insert(MARK.to_owned(), Value::Bool(true));
    } else {
        let mut record = Map::new();
        record.insert("value".to_owned(), item.take());
        record.insert(MARK.to_owned(), Value::Bool(true));
        *item = Value::Object(record);
    }
}

/// A processor over one NDJSON line at a time. Holds no records: memory is the line and the output.
#[derive(Debug, Clone)]
pub struct RowPipeline {
    steps: Steps,
    depth_max: usize,
    record: u64,
}

#[derive(Debug, Clone)]
enum Steps {
    Identity,
    Mark,
    Operations {
        operations: Vec<Operation>,
        /// Records that stay are unchanged: their text can be copied.
        verbatim: bool,
    },
}

impl RowPipeline {
    /// The same pipeline for lines that begin with record number `record`; errors name it so.
    #[must_use]
    pub fn starting_at(mut self, record: u64) -> Self {
        self.record = record;
        self
    }

    /// Records seen so far, filtered ones included.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.record
    }

    /// Processes one JSON value and appends the result to `out`, on one line, without a line break.
    /// False if there is none: the line is blank, or a filter dropped the record.
    ///
    /// O(length). `identity` and `mark_processed` check the text and copy it; numbers and strings
    /// keep their spelling. After an error `out` is as before.
    ///
    /// # Errors
    /// [`OperationError::Json`] and [`OperationError::Record`].
    pub fn apply_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<bool, OperationError> {
        match std::str::from_utf8(line) {
            Ok(_) => self.apply_text(line, out),
            Err(error) => Err(self.not_json(error.valid_up_to(), "not UTF-8")),
        }
    }

    /// Processes whole lines; each result gets a line break. The control is asked about every
    /// millisecond, with bytes as units of work.
    ///
    /// # Errors
    /// As [`Self::apply_line`], and [`OperationError::Stopped`]. The results of lines before the
    /// error are in `out`.
    pub fn apply_lines(
        &mut self,
        lines: &[u8],
        out: &mut Vec<u8>,
        control: &impl Control,
    ) -> Result<(), OperationError> {
        let checked = std::str::from_utf8(lines).is_ok();
        let steps = match &self.steps {
            Steps::Operations { operations, .. } => operations.iter().map(Operation::steps).sum(),
            Steps::Identity | Steps::Mark => 1,
        };
        let mut begin = 0;
        let mut cost = COST_MAX;
        let mut patience = Patience::default();
        while begin <= lines.len() {
            let flat = match patience.looks() && checked {
                true => self.flat_end(lines, begin),
                false => None,
            };
            patience.saw(flat.is_some());
            let end = flat.map_or_else(|| line_end(lines, begin), |brace| brace + 1);
            let line = &lines[begin..end];
            cost += line.len() + STEP_BYTES * steps;
            if cost >= COST_MAX {
                control.checkpoint(begin as u64, lines.len() as u64)?;
                cost = 0;
            }
            let emitted = if flat.is_some() {
                self.apply_flat(line, out);
                true
            } else if checked {
                self.apply_text(line, out)?
            } else {
                self.apply_line(line, out)?
            };
            if emitted {
                out.push(b'\n');
            }
            begin = end + 1;
        }
        Ok(())
    }

    /// The last byte of the line at `begin`, if it is of the common kind and needs no more than a
    /// look and a copy.
    #[inline]
    fn flat_end(&self, lines: &[u8], begin: usize) -> Option<usize> {
        #[cfg(target_arch = "x86_64")]
        if !matches!(self.steps, Steps::Operations { .. }) && self.depth_max > 0 {
            return flat::members_end(lines, begin, MARK.as_bytes());
        }
        // Elsewhere the scanner reads all.
        let _ = (lines, begin);
        None
    }

    /// A line of which [`Self::flat_end`] found the end.
    #[inline]
    fn apply_flat(&mut self, line: &[u8], out: &mut Vec<u8>) {
        const MEMBER: &[u8] = b",\"processed\":true}";
        // For the line break too.
        out.reserve(line.len() + MEMBER.len() + 1);
        match self.steps {
            Steps::Mark => {
                out.extend_from_slice(&line[..line.len() - 1]);
                out.extend_from_slice(MEMBER);
            }
            _ => out.extend_from_slice(line),
        }
        self.record += 1;
    }

    /// `line` is valid UTF-8.
    fn apply_text(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<bool, OperationError> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(false);
        }
        let emitted = match &self.steps {
            Steps::Identity | Steps::Mark => {
                let shape = match scan(line, MARK, self.depth_max) {
                    Ok(shape) => shape,
                    Err(fault) => return Err(self.not_json(fault.at, fault.message)),
                };
                let start = out.len();
                match self.steps {
                    Steps::Mark => write_marked(line, &shape, out),
                    _ => out.extend_from_slice(&line[shape.value.clone()]),
                }
                if shape.broken {
                    remove_line_breaks(out, start);
                }
                true
            }
            Steps::Operations {
                operations,
                verbatim,
            } => self.apply_operations(line, operations, *verbatim, out)?,
        };
        self.record += 1;
        Ok(emitted)
    }

    fn apply_operations(
        &self,
        line: &[u8],
        operations: &[Operation],
        verbatim: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, OperationError> {
        let mut record: Record = match serde_json::from_slice(line) {
            Ok(Value::Object(record)) => record,
            Ok(other) => return Err(not_a_record(self.record, &other)),
            Err(error) => return Err(self.not_json(error.column(), error.to_string())),
        };
        for operation in operations {
            if !apply_row(&mut record, operation, self.record)? {
                return Ok(false);
            }
        }
        let start = out.len();
        if verbatim {
            out.extend_from_slice(line.trim_ascii());
            remove_line_breaks(out, start);
        } else if let Err(error) = serde_json::to_writer(&mut *out, &record) {
            out.truncate(start);
            return Err(self.not_json(0, error.to_string()));
        }
        Ok(true)
    }

    fn not_json(&self, at: usize, message: impl Into<String>) -> OperationError {
        OperationError::Json {
            record: self.record,
            at,
            message: message.into(),
        }
    }
}

/// When to look whether a line is of the common kind: lines of one input are alike, and a look in
/// vain costs three tenths of what the scanner then does. After each that was, twice as many lines
/// go by without one.
#[derive(Debug, Default)]
struct Patience {
    /// Lines that go by.
    wait: u32,
    /// After the next look in vain, as a power of two.
    vain: u32,
}

impl Patience {
    /// Lines that go by at most, as a power of two.
    const VAIN_MAX: u32 = 6;

    fn looks(&self) -> bool {
        self.wait == 0
    }

    /// A line is done, and whether it was of the common kind.
    fn saw(&mut self, flat: bool) {
        if flat {
            self.vain = 0;
        } else if self.wait > 0 {
            self.wait -= 1;
        } else {
            self.wait = (1 << self.vain) - 1;
            self.vain = (self.vain + 1).min(Self::VAIN_MAX);
        }
    }
}

/// Where the line at `begin` ends.
fn line_end(lines: &[u8], begin: usize) -> usize {
    memchr::memchr(b'\n', &lines[begin..]).map_or(lines.len(), |length| begin + length)
}

fn write_marked(line: &[u8], shape: &Shape, out: &mut Vec<u8>) {
    let value = shape.value.clone();
    out.reserve(value.len() + 40);
    match (shape.members_end, &shape.first) {
        (None, _) => {
            out.extend_from_slice(b"{\"value\":");
            out.extend_from_slice(&line[value]);
            out.extend_from_slice(b",\"processed\":true}");
        }
        (Some(end), None) => {
            out.extend_from_slice(&line[value.start..end]);
            let member: &[u8] = if shape.empty {
                b"\"processed\":true}"
            } else {
                b",\"processed\":true}"
            };
            out.extend_from_slice(member);
        }
        (Some(_), Some(first)) => {
            out.extend_from_slice(&line[value.start..first.start]);
            out.extend_from_slice(b"true");
            let mut from = first.end;
            for repeated in &shape.repeated {
                out.extend_from_slice(&line[from..repeated.start]);
                from = repeated.end;
            }
            out.extend_from_slice(&line[from..value.end]);
        }
    }
}

/// JSON strings hold no raw line breaks, so those in the text stand between tokens.
fn remove_line_breaks(out: &mut Vec<u8>, start: usize) {
    let mut kept = start;
    for i in start..out.len() {
        let byte = out[i];
        if byte != b'\n' && byte != b'\r' {
            out[kept] = byte;
            kept += 1;
        }
    }
    out.truncate(kept);
}
