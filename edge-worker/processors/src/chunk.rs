//! The chunk: from JSON into the engine's values, with no tree in between.

use boa_engine::{
    Context, JsObject, JsString, JsValue,
    object::builtins::JsArray,
    property::{PropertyDescriptor, PropertyKey},
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Fault, FaultKind};

/// The value of a JSON text.
pub(crate) fn parse(text: &[u8], context: &mut Context) -> Result<JsValue, Fault> {
    let mut json = serde_json::Deserializer::from_slice(text);
    Seed(context)
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| Fault::new(FaultKind::Exception, format!("SyntaxError: {error}")))
}

struct Seed<'a>(&'a mut Context);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = JsValue;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<JsValue, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = JsValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<JsValue, E> {
        Ok(JsValue::null())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<JsValue, E> {
        Ok(flag.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<JsValue, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<JsValue, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<JsValue, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<JsValue, E> {
        Ok(JsString::from(text).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut json: A) -> Result<JsValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = json.next_element_seed(Seed(self.0))? {
            items.push(item);
        }
        Ok(JsArray::from_iter(items, self.0).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut json: A) -> Result<JsValue, A::Error> {
        let object = JsObject::with_object_proto(self.0.intrinsics());
        while let Some(name) = json.next_key::<String>()? {
            let value = json.next_value_seed(Seed(self.0))?;
            let property = PropertyDescriptor::builder()
                .value(value)
                .writable(true)
                .enumerable(true)
                .configurable(true);
            let key = PropertyKey::from(JsString::from(name.as_str()));
            object
                .define_property_or_throw(key, property, self.0)
                .map_err(A::Error::custom)?;
        }
        Ok(object.into())
    }
}
