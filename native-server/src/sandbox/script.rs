//! One chunk in QuickJS: compile, call, settle, serialize.

use std::{cell::Cell, rc::Rc, time::Instant};

use rquickjs::{
    Context, Ctx, Error, Persistent, Promise, Runtime, Value,
    context::{EvalOptions, intrinsic},
};

use super::{
    Limits,
    frame::{Fault, FaultKind},
};

/// No weak references (they show when memory is reclaimed), no performance clock, no DOM objects.
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// Longest message that leaves the child, bytes.
const MESSAGE_BYTES_MAX: usize = 2048;
/// More of the interpreter's stack would meet the end of the thread's own (8 MiB by default).
const STACK_BYTES_MAX: u64 = 4 << 20;
/// Name of the source in stack traces.
const SOURCE_NAME: &str = "processor";
/// `console` for processors written with logging: everything is discarded.
const CONSOLE: &str = "globalThis.console = Object.freeze(Object.fromEntries(\
    ['debug', 'error', 'info', 'log', 'trace', 'warn'].map(name => [name, () => {}])))";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Compile,
    Run,
    Serialize,
}

/// A runtime and a context that have seen no user code yet.
pub(super) struct Engine {
    // Before `runtime`: fields drop in order.
    context: Context,
    runtime: Runtime,
}

impl Engine {
    pub(super) fn new() -> Result<Self, Fault> {
        let fault = |error: Error| Fault::new(FaultKind::Memory, format!("no engine: {error}"));
        let runtime = Runtime::new().map_err(fault)?;
        let context = Context::custom::<Intrinsics>(&runtime).map_err(fault)?;
        Ok(Self { context, runtime })
    }

    /// Runs `source` over the JSON in `chunk`.
    pub(super) fn run(
        self,
        source: &[u8],
        chunk: Vec<u8>,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let timed_out = Rc::new(Cell::new(false));
        let flag = Rc::clone(&timed_out);
        self.runtime.set_interrupt_handler(Some(Box::new(move || {
            let over = Instant::now() >= deadline;
            flag.set(flag.get() || over);
            over
        })));
        self.runtime.set_memory_limit(limits.memory_bytes as usize);
        self.runtime
            .set_max_stack_size(limits.stack_bytes.clamp(64 << 10, STACK_BYTES_MAX) as usize);
        let value = self.context.with(|ctx| {
            let call = Call {
                ctx: &ctx,
                timed_out: &timed_out,
                limits,
            };
            call.run(source, chunk)
                .map(|value| Persistent::save(&ctx, value))
        });
        // Room for the text itself, so that a large heap is no reason to refuse a small result and
        // running out from here on means that the result is too large.
        let room = limits
            .output_bytes
            .saturating_mul(4)
            .saturating_add(1 << 20);
        let limit = limits.memory_bytes.saturating_add(room);
        self.runtime
            .set_memory_limit(usize::try_from(limit).unwrap_or(usize::MAX));
        let result = value.and_then(|value| {
            self.context.with(|ctx| {
                let call = Call {
                    ctx: &ctx,
                    timed_out: &timed_out,
                    limits,
                };
                call.serialize(call.check(value.restore(&ctx), Phase::Serialize)?)
            })
        });
        if result.as_ref().is_err_and(|fault| fault.kind.is_limit()) {
            // The process ends next; taking a broken heap apart could only fail.
            std::mem::forget(self);
        }
        result
    }
}

struct Call<'a, 'js> {
    ctx: &'a Ctx<'js>,
    timed_out: &'a Cell<bool>,
    limits: Limits,
}

impl<'js> Call<'_, 'js> {
    fn run(&self, source: &[u8], chunk: Vec<u8>) -> Result<Value<'js>, Fault> {
        let source = std::str::from_utf8(source)
            .map_err(|_| Fault::new(FaultKind::Syntax, "the source is not UTF-8"))?;
        let globals = self.ctx.globals();
        for name in ["eval", "Atomics", "SharedArrayBuffer"] {
            self.check(globals.remove(name), Phase::Compile)?;
        }
        if source.contains("console") {
            self.check(self.eval(CONSOLE.to_owned()).map(drop), Phase::Compile)?;
        }
        let chunk = self.check(self.ctx.json_parse(chunk), Phase::Run)?;
        let mentions_chunk = source.contains("chunk");
        if mentions_chunk {
            self.check(globals.set("chunk", chunk.clone()), Phase::Compile)?;
        }
        let value = self.compile(source)?;
        let value = match value.as_function() {
            Some(processor) => {
                self.check(globals.remove("chunk"), Phase::Compile)?;
                self.check(processor.call::<_, Value<'js>>((chunk,)), Phase::Run)?
            }
            None if mentions_chunk => value,
            None => return Err(not_a_function(&value)),
        };
        self.settle(value)
    }

    fn eval(&self, source: String) -> rquickjs::Result<Value<'js>> {
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some(SOURCE_NAME.into());
        self.ctx.eval_with_options(source, options)
    }

    /// The value of the source: first as an expression, which `function(chunk) { .. }` is, then
    /// as a script whose last statement is one.
    fn compile(&self, source: &str) -> Result<Value<'js>, Fault> {
        let trimmed = source.trim_end_matches(|c: char| c.is_whitespace() || c == ';');
        // The line break ends a trailing comment.
        match self.check(self.eval(format!("({trimmed}\n)")), Phase::Compile) {
            Err(fault) if fault.kind == FaultKind::Syntax => {
                match self.check(self.eval(source.to_owned()), Phase::Compile) {
                    // The first message is about the form that people write.
                    Err(second) if second.kind == FaultKind::Syntax => Err(fault),
                    other => other,
                }
            }
            other => other,
        }
    }

    /// Drives a promise to its end; other values pass.
    fn settle(&self, value: Value<'js>) -> Result<Value<'js>, Fault> {
        let Some(promise) = value.as_promise().cloned() else {
            return Ok(value);
        };
        loop {
            if let Some(result) = Promise::result::<Value<'js>>(&promise) {
                return self.check(result, Phase::Run);
            }
            if !self.ctx.execute_pending_job() {
                self.check_time()?;
                return Err(Fault::new(
                    FaultKind::BadResult,
                    "the promise never settles: nothing is left to run (there are no timers here)",
                ));
            }
            self.check_time()?;
        }
    }

    fn serialize(&self, value: Value<'js>) -> Result<Vec<u8>, Fault> {
        let kind = value.type_name();
        let json = self
            .check(self.ctx.json_stringify(value), Phase::Serialize)?
            .ok_or_else(|| {
                let message = format!("returned {kind}; return an array or another JSON value");
                Fault::new(FaultKind::BadResult, message)
            })?;
        let text = self.check(json.to_cstring(), Phase::Serialize)?;
        if text.len() as u64 > self.limits.output_bytes {
            return Err(self.output_too_large());
        }
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(text.len())
            .map_err(|_| self.out_of_memory())?;
        bytes.extend_from_slice(text.as_str().as_bytes());
        self.check_time()?;
        Ok(bytes)
    }

    fn check_time(&self) -> Result<(), Fault> {
        if self.timed_out.get() {
            Err(self.timeout())
        } else {
            Ok(())
        }
    }

    fn check<T>(&self, result: rquickjs::Result<T>, phase: Phase) -> Result<T, Fault> {
        result.map_err(|error| {
            if self.timed_out.get() {
                return self.timeout();
            }
            match error {
                Error::Exception => self.exception(&self.ctx.catch(), phase),
                Error::Allocation => self.out_of_memory(),
                other => Fault::new(FaultKind::BadResult, other.to_string()),
            }
        })
    }

    fn exception(&self, thrown: &Value<'js>, phase: Phase) -> Fault {
        let Some(object) = thrown.as_exception().map(|exception| exception.as_object()) else {
            // The engine throws null where it has no memory left for an error object.
            if thrown.is_null() {
                return self.out_of_memory();
            }
            let message = format!("threw {}", self.describe(thrown));
            return Fault::new(FaultKind::Exception, clip(message));
        };
        let text = |name| object.get::<_, String>(name).unwrap_or_default();
        let (name, message) = (text("name"), text("message"));
        if self.timed_out.get() {
            return self.timeout();
        }
        let kind = match (name.as_str(), message.as_str()) {
            // A string longer than the engine's maximum (2^30 - 1) is joined lazily and may come
            // before the memory limit.
            ("InternalError", m) if m.starts_with("out of memory") || m == "string too long" => {
                let output = phase == Phase::Serialize;
                return if output {
                    self.output_too_large()
                } else {
                    self.out_of_memory()
                };
            }
            ("RangeError" | "InternalError", "Maximum call stack size exceeded") => {
                FaultKind::Stack
            }
            ("RangeError", "invalid string length") if phase == Phase::Serialize => {
                return self.output_too_large();
            }
            ("SyntaxError", _) if phase == Phase::Compile => FaultKind::Syntax,
            _ if phase == Phase::Serialize => FaultKind::BadResult,
            _ => FaultKind::Exception,
        };
        let line = line_of(&text("stack"));
        Fault {
            kind,
            message: clip(format!("{name}: {message}")),
            line,
        }
    }

    fn describe(&self, value: &Value<'js>) -> String {
        let text = || {
            self.ctx
                .json_stringify(value.clone())
                .ok()??
                .to_string()
                .ok()
        };
        text().unwrap_or_else(|| value.type_name().to_owned())
    }

    fn timeout(&self) -> Fault {
        let message = format!("ran longer than {} ms", self.limits.time_ms);
        Fault::new(FaultKind::Timeout, message)
    }

    fn out_of_memory(&self) -> Fault {
        let message = format!(
            "used more than {} bytes of memory",
            self.limits.memory_bytes
        );
        Fault::new(FaultKind::Memory, message)
    }

    fn output_too_large(&self) -> Fault {
        let limit = self.limits.output_bytes;
        let message = format!("the result is larger than {limit} bytes of JSON");
        Fault::new(FaultKind::OutputTooLarge, message)
    }
}

fn not_a_function(value: &Value<'_>) -> Fault {
    let message = format!(
        "the source is a value of type {}, not a function of a chunk such as \
         chunk => chunk.map(item => item)",
        value.type_name()
    );
    Fault::new(FaultKind::NotAFunction, message)
}

/// The first line of the user's source in a stack trace: `at f (processor:3:12)`.
fn line_of(stack: &str) -> Option<u32> {
    let (_, rest) = stack.split_once(&format!("{SOURCE_NAME}:"))?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn clip(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX)
            .rev()
            .find(|&i| message.is_char_boundary(i));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    message
}
