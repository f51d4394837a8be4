//! `JSON.stringify` into bytes, within a size. The engine's own needs many times the memory of its
//! result.

use boa_engine::{
    Context, JsBigInt, JsError, JsNativeError, JsObject, JsResult, JsString, JsValue,
    builtins::object::OrdinaryObject, js_string, property::PropertyKey, string::CodePoint,
    value::Type,
};

/// Deepest nesting that is written; more would need more stack than there is.
const DEPTH_MAX: usize = 512;

/// Why nothing was written.
pub(crate) enum Refusal {
    /// What the source threw, in `toJSON` or a getter, or a value that JSON does not take.
    Thrown(JsError),
    /// More bytes than allowed.
    TooLarge,
    /// Nested too deep.
    TooDeep,
}

impl From<JsError> for Refusal {
    fn from(error: JsError) -> Self {
        Self::Thrown(error)
    }
}

type Written<T> = Result<T, Refusal>;

/// The JSON of `value` in at most `bytes_max` bytes; `None` where the language says `undefined`.
pub(crate) fn stringify(
    value: &JsValue,
    bytes_max: usize,
    context: &mut Context,
) -> Written<Option<Vec<u8>>> {
    let mut writer = Writer {
        out: Vec::new(),
        bytes_max,
        context,
        above: Vec::new(),
    };
    let key = || js_string!("");
    let written = writer.value(key, value.clone())?;
    Ok(written.then_some(writer.out))
}

struct Writer<'a> {
    out: Vec<u8>,
    bytes_max: usize,
    context: &'a mut Context,
    /// The objects that are being written.
    above: Vec<JsObject>,
}

impl Writer<'_> {
    fn push(&mut self, bytes: &[u8]) -> Written<()> {
        if self.out.len() + bytes.len() > self.bytes_max {
            return Err(Refusal::TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes a value; false for what JSON has no word for.
    fn value(&mut self, key: impl FnOnce() -> JsString, value: JsValue) -> Written<bool> {
        let value = self.converted(key, value)?;
        match value.get_type() {
            Type::Null => self.push(b"null")?,
            Type::Boolean if value.to_boolean() => self.push(b"true")?,
            Type::Boolean => self.push(b"false")?,
            Type::String => {
                let text = value.to_string(self.context)?;
                self.string(&text)?;
            }
            Type::Number if value.as_number().is_some_and(f64::is_finite) => {
                let text = value.to_string(self.context)?.to_std_string_lossy();
                self.push(text.as_bytes())?;
            }
            Type::Number => self.push(b"null")?,
            Type::BigInt => {
                let message = "a BigInt has no JSON; convert it to a number or a string";
                return Err(JsError::from(JsNativeError::typ().with_message(message)).into());
            }
            Type::Object => {
                let Some(object) = value.as_object().filter(|object| !object.is_callable()) else {
                    return Ok(false);
                };
                self.object(object)?;
            }
            Type::Undefined | Type::Symbol => return Ok(false),
        }
        Ok(true)
    }

    /// What `toJSON` makes of it, and the primitive in a wrapper object.
    fn converted(&mut self, key: impl FnOnce() -> JsString, value: JsValue) -> JsResult<JsValue> {
        let mut value = value;
        if value.is_object() || value.is_bigint() {
            let object = value.to_object(self.context)?;
            let function = object.get(js_string!("toJSON"), self.context)?;
            if let Some(function) = function.as_callable() {
                value = function.call(&value, &[key().into()], self.context)?;
            }
        }
        let Some(object) = value.as_object() else {
            return Ok(value);
        };
        if object.is::<f64>() {
            return value.to_number(self.context).map(JsValue::from);
        }
        if object.is::<JsString>() {
            return value.to_string(self.context).map(JsValue::from);
        }
        if let Some(number) = object.downcast_ref::<JsBigInt>() {
            return Ok(JsValue::from(number.clone()));
        }
        let flag = object.downcast_ref::<bool>().map(|flag| *flag);
        Ok(flag.map_or(value, JsValue::from))
    }

    fn object(&mut self, object: JsObject) -> Written<()> {
        if self
            .above
            .iter()
            .any(|above| JsObject::equals(above, &object))
        {
            let message = "circular reference";
            return Err(JsError::from(JsNativeError::typ().with_message(message)).into());
        }
        if self.above.len() >= DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        self.above.push(object.clone());
        if object.is_array() {
            self.items(&object)?;
        } else {
            self.fields(&object)?;
        }
        self.above.pop();
        Ok(())
    }

    fn items(&mut self, array: &JsObject) -> Written<()> {
        let length = self.length(array)?;
        self.push(b"[")?;
        for index in 0..length {
            if index > 0 {
                self.push(b",")?;
            }
            let item = array.get(index, self.context)?;
            if !self.value(|| JsString::from(index.to_string()), item)? {
                self.push(b"null")?;
            }
        }
        self.push(b"]")
    }

    fn fields(&mut self, object: &JsObject) -> Written<()> {
        let arguments = [object.clone().into()];
        let names = OrdinaryObject::keys(&JsValue::undefined(), &arguments, self.context)?;
        let names = names.to_object(self.context)?;
        self.push(b"{")?;
        let start = self.out.len();
        for index in 0..self.length(&names)? {
            let name = names.get(index, self.context)?.to_string(self.context)?;
            let value = object.get(PropertyKey::from(name.clone()), self.context)?;
            let before = self.out.len();
            if before > start {
                self.push(b",")?;
            }
            self.string(&name)?;
            self.push(b":")?;
            if !self.value(|| name, value)? {
                self.out.truncate(before);
            }
        }
        self.push(b"}")
    }

    fn length(&mut self, array: &JsObject) -> JsResult<u64> {
        array
            .get(js_string!("length"), self.context)?
            .to_length(self.context)
    }

    fn string(&mut self, text: &JsString) -> Written<()> {
        self.push(b"\"")?;
        for point in text.code_points() {
            match point {
                CodePoint::Unicode('"') => self.push(b"\\\"")?,
                CodePoint::Unicode('\\') => self.push(b"\\\\")?,
                CodePoint::Unicode('\n') => self.push(b"\\n")?,
                CodePoint::Unicode('\r') => self.push(b"\\r")?,
                CodePoint::Unicode('\t') => self.push(b"\\t")?,
                CodePoint::Unicode('\u{8}') => self.push(b"\\b")?,
                CodePoint::Unicode('\u{c}') => self.push(b"\\f")?,
                CodePoint::Unicode(c) if c < ' ' => self.escape(c as u32)?,
                CodePoint::Unicode(c) => self.push(c.encode_utf8(&mut [0; 4]).as_bytes())?,
                CodePoint::UnpairedSurrogate(unit) => self.escape(unit.into())?,
            }
        }
        self.push(b"\"")
    }

    fn escape(&mut self, unit: u32) -> Written<()> {
        self.push(format!("\\u{unit:04x}").as_bytes())
    }
}
