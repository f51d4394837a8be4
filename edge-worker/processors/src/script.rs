//! One chunk in Boa: compile, call, settle, serialize.

use std::{path::Path, rc::Rc};

use boa_engine::{
    Context, JsError, JsResult, JsValue, Source,
    builtins::{error::Error as ErrorObject, promise::PromiseState},
    context::{ContextBuilder, HostHooks, time::FixedClock},
    js_string,
    object::builtins::JsPromise,
};

use super::{
    Fault, FaultKind, Limits, chunk,
    jobs::Jobs,
    json::{self, Refusal},
};

/// Name of the source in stack traces.
const SOURCE_NAME: &str = "processor";
/// `console` for processors written with logging: everything is discarded.
const CONSOLE: &str = "globalThis.console = Object.freeze(Object.fromEntries(\
    ['debug', 'error', 'info', 'log', 'trace', 'warn'].map(name => [name, () => {}])))";
/// A thrown value with more JSON is told by its type.
const DESCRIPTION_BYTES_MAX: usize = 2048;
/// What the native sandbox has not either.
const ABSENT: [&str; 5] = [
    "eval",
    "Atomics",
    "SharedArrayBuffer",
    "WeakRef",
    "FinalizationRegistry",
];

/// What the engine asks its host.
struct Hooks;

impl HostHooks for Hooks {
    fn local_timezone_offset_seconds(&self, _unix_time_seconds: i64) -> i32 {
        0
    }
}

/// One run, in a context of its own.
pub(crate) struct Run<'a> {
    context: Context,
    jobs: Rc<Jobs>,
    limits: &'a Limits,
}

impl<'a> Run<'a> {
    pub(crate) fn new(limits: &'a Limits, now_ms: u64) -> Result<Self, Fault> {
        let crashed =
            |error: JsError| Fault::new(FaultKind::Crashed, format!("no engine: {error}"));
        let jobs = Rc::new(Jobs::default());
        let mut context = ContextBuilder::new()
            .host_hooks(Rc::new(Hooks))
            .clock(Rc::new(FixedClock::from_millis(now_ms)))
            .job_executor(Rc::clone(&jobs))
            .build()
            .map_err(crashed)?;
        let runtime = context.runtime_limits_mut();
        runtime.set_loop_iteration_limit(limits.loop_iterations);
        runtime.set_recursion_limit(limits.recursion);
        runtime.set_backtrace_limit(16);
        prepare(&mut context).map_err(crashed)?;
        Ok(Self {
            context,
            jobs,
            limits,
        })
    }

    /// Runs `source` over the JSON in `chunk`.
    pub(crate) fn run(mut self, source: &str, chunk: &[u8]) -> Result<Vec<u8>, Fault> {
        if source.contains("console") {
            let done = self.context.eval(Source::from_bytes(CONSOLE)).map(drop);
            self.check(done, FaultKind::Exception)?;
        }
        let chunk = chunk::parse(chunk, &mut self.context)?;
        let global = self.context.global_object();
        let mentions_chunk = source.contains("chunk");
        if mentions_chunk {
            let done = global.set(js_string!("chunk"), chunk.clone(), true, &mut self.context);
            self.check(done, FaultKind::Exception)?;
        }
        let value = self.compile(source)?;
        let value = if let Some(processor) = value.as_callable() {
            let done = global.delete_property_or_throw(js_string!("chunk"), &mut self.context);
            self.check(done, FaultKind::Exception)?;
            let called = processor.call(&JsValue::undefined(), &[chunk], &mut self.context);
            self.check(called, FaultKind::Exception)?
        } else if mentions_chunk {
            value
        } else {
            return Err(not_a_function(&value));
        };
        let value = self.settle(value)?;
        self.serialize(&value)
    }

    /// The value of the source: first as an expression, which `function(chunk) { .. }` is, then
    /// as a script whose last statement is one.
    fn compile(&mut self, source: &str) -> Result<JsValue, Fault> {
        let trimmed = source.trim_end_matches(|c: char| c.is_whitespace() || c == ';');
        // The line break ends a trailing comment.
        match self.eval(&format!("({trimmed}\n)")) {
            Err(fault) if fault.kind == FaultKind::Syntax => match self.eval(source) {
                // The first message is about the form that people write.
                Err(second) if second.kind == FaultKind::Syntax => Err(fault),
                other => other,
            },
            other => other,
        }
    }

    fn eval(&mut self, text: &str) -> Result<JsValue, Fault> {
        let source = Source::from_bytes(text).with_path(Path::new(SOURCE_NAME));
        let value = self.context.eval(source);
        self.check(value, FaultKind::Syntax)
    }

    /// Drives a promise to its end; other values pass.
    fn settle(&mut self, value: JsValue) -> Result<JsValue, Fault> {
        let object = value.as_object();
        let Some(promise) = object.and_then(|object| JsPromise::from_object(object).ok()) else {
            return Ok(value);
        };
        for _ in 0..self.limits.promise_jobs {
            match promise.state() {
                PromiseState::Fulfilled(value) => return Ok(value),
                PromiseState::Rejected(reason) => {
                    let rejected = Err(JsError::from_opaque(reason));
                    return self.check(rejected, FaultKind::Exception);
                }
                PromiseState::Pending => {}
            }
            let ran = self.jobs.run_next(&mut self.context);
            if !self.check(ran, FaultKind::Exception)? {
                let message = "the promise never settles: nothing is left to run (there are no \
                    timers here)";
                return Err(Fault::new(FaultKind::BadResult, message));
            }
        }
        let jobs = self.limits.promise_jobs;
        let message = format!("promises took more than {jobs} jobs");
        Err(Fault::new(FaultKind::Work, message))
    }

    fn serialize(&mut self, value: &JsValue) -> Result<Vec<u8>, Fault> {
        let bytes_max = self.limits.output_bytes;
        match json::stringify(value, bytes_max, &mut self.context) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let kind = type_name(value);
                let message = format!("returned {kind}; return an array or another JSON value");
                Err(Fault::new(FaultKind::BadResult, message))
            }
            Err(Refusal::Thrown(error)) => Err(self.fault(&error, FaultKind::BadResult)),
            Err(Refusal::TooLarge) => {
                let message = format!("the result is larger than {bytes_max} bytes of JSON");
                Err(Fault::new(FaultKind::Output, message))
            }
            Err(Refusal::TooDeep) => Err(Fault::stack()),
        }
    }

    /// What an error means; `kind` is that of an exception here.
    fn check<T>(&mut self, result: JsResult<T>, kind: FaultKind) -> Result<T, Fault> {
        result.map_err(|error| self.fault(&error, kind))
    }

    fn fault(&mut self, error: &JsError, kind: FaultKind) -> Fault {
        let shown = error.to_string();
        if error.as_engine().is_some() {
            return self.engine_fault(&shown);
        }
        // A syntax error has its place in its message, others in the trace of calls.
        let line = number_after(&shown, &format!("{SOURCE_NAME}:"))
            .or_else(|| number_after(&shown, "at line "));
        let syntax = |message: &str| message.starts_with("SyntaxError");
        let kind_of = |message: &str| match kind {
            FaultKind::Syntax if !syntax(message) => FaultKind::Exception,
            other => other,
        };
        let value = match error.as_native() {
            Some(native) => native.clone().into_opaque(&mut self.context).into(),
            None => error.as_opaque().cloned().unwrap_or_default(),
        };
        let error_object = value
            .as_object()
            .filter(|object| object.is::<ErrorObject>());
        let Some(object) = error_object else {
            let shown = self.describe(&value);
            return Fault::new(FaultKind::Exception, format!("threw {shown}"));
        };
        let mut text = |name: &str| {
            let value = object.get(js_string!(name), &mut self.context);
            value
                .and_then(|value| value.to_string(&mut self.context))
                .map(|text| text.to_std_string_lossy())
                .unwrap_or_default()
        };
        let message = format!("{}: {}", text("name"), text("message"));
        Fault::at(kind_of(&message), message, line)
    }

    fn engine_fault(&self, shown: &str) -> Fault {
        if shown.contains("EnginePanic") {
            return Fault::new(FaultKind::Crashed, shown);
        }
        if shown.contains("iteration") {
            let message = format!(
                "a loop ran more than {} iterations",
                self.limits.loop_iterations
            );
            return Fault::new(FaultKind::Work, message);
        }
        Fault::stack()
    }

    fn describe(&mut self, value: &JsValue) -> String {
        let json = json::stringify(value, DESCRIPTION_BYTES_MAX, &mut self.context);
        let text = json
            .ok()
            .flatten()
            .and_then(|json| String::from_utf8(json).ok());
        text.unwrap_or_else(|| type_name(value).to_owned())
    }
}

/// Removes what the native sandbox has not either.
fn prepare(context: &mut Context) -> JsResult<()> {
    let global = context.global_object();
    for name in ABSENT {
        global.delete_property_or_throw(js_string!(name), context)?;
    }
    Ok(())
}

/// The number that follows `marker`.
fn number_after(text: &str, marker: &str) -> Option<u32> {
    let (_, rest) = text.split_once(marker)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The native sandbox's word for a type.
fn type_name(value: &JsValue) -> &'static str {
    match value.as_object() {
        Some(object) if object.is_array() => "array",
        Some(object) if object.is_callable() => "function",
        Some(_) => "object",
        None if value.is_null() => "null",
        None if value.is_undefined() => "undefined",
        None if value.is_boolean() => "bool",
        None if value.is_string() => "string",
        None if value.is_symbol() => "symbol",
        None if value.is_bigint() => "bigint",
        None if value.as_i32().is_some() => "int",
        None => "float",
    }
}

fn not_a_function(value: &JsValue) -> Fault {
    let message = format!(
        "the source is a value of type {}, not a function of a chunk such as \
         chunk => chunk.map(item => item)",
        type_name(value)
    );
    Fault::new(FaultKind::NotAFunction, message)
}
