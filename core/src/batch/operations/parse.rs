//! Operations out of JSON.

use serde_json::{Map, Value};

use super::{
    Aggregation, Function, Operation, OperationError, Test,
    value::{show, type_name},
};
use crate::limits::Limits;

/// Fields of one operation, count.
const FIELDS_MAX: usize = 1000;
/// Values of one `in`, count: each record is compared with all of them.
const CHOICES_MAX: usize = 1000;

type Parsed<T> = Result<T, OperationError>;

fn invalid<T>(path: &str, message: impl Into<String>) -> Parsed<T> {
    Err(OperationError::Invalid {
        path: path.to_owned(),
        message: message.into(),
    })
}

/// Reads `operations`, the array of a data_processing request. O(size of the JSON).
///
/// # Errors
/// [`OperationError::Invalid`] with the path of the first wrong field.
pub fn parse(operations: &Value, limits: &Limits) -> Result<Vec<Operation>, OperationError> {
    let Value::Array(list) = operations else {
        return invalid("operations", expected("an array", Some(operations)));
    };
    if list.len() > limits.operations {
        let message = format!(
            "at most {} operations, got {}",
            limits.operations,
            list.len()
        );
        return invalid("operations", message);
    }
    list.iter()
        .enumerate()
        .map(|(i, operation)| parse_one(i, operation))
        .collect()
}

fn expected(what: &str, got: Option<&Value>) -> String {
    format!(
        "expected {what}, got {}",
        got.map_or_else(|| "nothing".to_owned(), show)
    )
}

fn parse_one(index: usize, operation: &Value) -> Parsed<Operation> {
    let path = format!("operations[{index}]");
    let Value::Object(map) = operation else {
        return invalid(&path, expected("an object", Some(operation)));
    };
    let source = Source { path: &path, map };
    match map.get("type").and_then(Value::as_str) {
        Some("filter") => parse_filter(&source),
        Some("transform") => parse_transform(&source),
        Some("aggregate") => parse_aggregate(&source),
        Some("sort") => parse_sort(&source),
        Some("normalize") => Ok(Operation::Normalize {
            fields: source.names("fields")?,
        }),
        _ => {
            let what = "filter, transform, aggregate, sort or normalize";
            invalid(&format!("{path}.type"), expected(what, map.get("type")))
        }
    }
}

/// One operation's JSON and where it stands.
struct Source<'a> {
    path: &'a str,
    map: &'a Map<String, Value>,
}

impl Source<'_> {
    fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn object(&self, name: &str) -> Parsed<&Map<String, Value>> {
        match self.map.get(name) {
            Some(Value::Object(map)) if map.len() <= FIELDS_MAX => Ok(map),
            Some(Value::Object(map)) => invalid(
                &self.path_of(name),
                format!("at most {FIELDS_MAX} fields, got {}", map.len()),
            ),
            other => invalid(&self.path_of(name), expected("an object of fields", other)),
        }
    }

    fn names(&self, name: &str) -> Parsed<Vec<String>> {
        let list = match self.map.get(name) {
            Some(Value::Array(list)) if list.len() <= FIELDS_MAX => list,
            Some(Value::Array(list)) => {
                let message = format!("at most {FIELDS_MAX} fields, got {}", list.len());
                return invalid(&self.path_of(name), message);
            }
            other => {
                return invalid(
                    &self.path_of(name),
                    expected("an array of field names", other),
                );
            }
        };
        let name_at = |(i, value): (usize, &Value)| match value {
            Value::String(field) => Ok(field.clone()),
            other => invalid(
                &format!("{}.{name}[{i}]", self.path),
                expected("a field name", Some(other)),
            ),
        };
        list.iter().enumerate().map(name_at).collect()
    }
}

fn parse_filter(source: &Source<'_>) -> Parsed<Operation> {
    let mut tests = Vec::new();
    for (field, wanted) in source.object("criteria")? {
        let path = format!("{}.criteria.{field}", source.path);
        match wanted {
            Value::Object(operators) => {
                if operators.is_empty() {
                    return invalid(
                        &path,
                        "expected a value or an operator such as {\"gte\": 90}",
                    );
                }
                for (operator, value) in operators {
                    tests.push((field.clone(), parse_test(&path, operator, value)?));
                }
            }
            value => tests.push((field.clone(), Test::Eq(value.clone()))),
        }
    }
    Ok(Operation::Filter { tests })
}

fn parse_test(path: &str, operator: &str, value: &Value) -> Parsed<Test> {
    let here = || format!("{path}.{operator}");
    let ordered = |make: fn(Value) -> Test| match value {
        Value::Number(_) | Value::String(_) => Ok(make(value.clone())),
        other => invalid(&here(), expected("a number or a string", Some(other))),
    };
    match operator {
        "eq" => Ok(Test::Eq(value.clone())),
        "ne" => Ok(Test::Ne(value.clone())),
        "gt" => ordered(Test::Gt),
        "gte" => ordered(Test::Gte),
        "lt" => ordered(Test::Lt),
        "lte" => ordered(Test::Lte),
        "in" => match value {
            Value::Array(values) if values.len() <= CHOICES_MAX => Ok(Test::In(values.clone())),
            Value::Array(values) => invalid(
                &here(),
                format!("at most {CHOICES_MAX} values, got {}", values.len()),
            ),
            other => invalid(&here(), expected("an array", Some(other))),
        },
        _ => invalid(
            &here(),
            "unknown operator; expected eq, ne, gt, gte, lt, lte or in \
             (to compare with an object, write {\"eq\": {..}})",
        ),
    }
}

fn parse_transform(source: &Source<'_>) -> Parsed<Operation> {
    let name = if source.map.contains_key("transformations") {
        "transformations"
    } else {
        "transform"
    };
    let mut fields = Vec::new();
    for (field, function) in source.object(name)? {
        let path = format!("{}.{name}.{field}", source.path);
        let Value::Object(map) = function else {
            return invalid(&path, expected("an object with a type", Some(function)));
        };
        fields.push((field.clone(), parse_function(&Source { path: &path, map })?));
    }
    Ok(Operation::Transform { fields })
}

fn parse_function(source: &Source<'_>) -> Parsed<Function> {
    let number = |name: &str| match source.map.get(name).and_then(Value::as_f64) {
        Some(x) if x.is_finite() => Ok(x),
        _ => invalid(
            &source.path_of(name),
            expected("a number", source.map.get(name)),
        ),
    };
    match source.map.get("type").and_then(Value::as_str) {
        Some("multiply") => Ok(Function::Multiply(number("value")?)),
        Some("add") => Ok(Function::Add(number("value")?)),
        Some("log") => Ok(Function::Log),
        Some("sqrt") => Ok(Function::Sqrt),
        Some("normalize") => {
            let (min, max) = (number("min")?, number("max")?);
            if min == max {
                return invalid(
                    &source.path_of("max"),
                    format!("expected other than min ({min})"),
                );
            }
            Ok(Function::Normalize { min, max })
        }
        _ => {
            let what = "multiply, add, normalize, log or sqrt";
            invalid(
                &source.path_of("type"),
                expected(what, source.map.get("type")),
            )
        }
    }
}

fn parse_aggregate(source: &Source<'_>) -> Parsed<Operation> {
    let group_by = match source.map.get("groupBy") {
        None => Vec::new(),
        Some(Value::String(field)) => vec![field.clone()],
        Some(_) => source.names("groupBy")?,
    };
    let mut aggregations = Vec::new();
    for (field, name) in source.object("aggregations")? {
        let aggregation = match name.as_str() {
            Some("sum") => Aggregation::Sum,
            Some("avg") => Aggregation::Avg,
            Some("count") => Aggregation::Count,
            Some("min") => Aggregation::Min,
            Some("max") => Aggregation::Max,
            Some("median") => Aggregation::Median,
            _ => {
                let path = format!("{}.aggregations.{field}", source.path);
                let what = "sum, avg, count, min, max or median";
                return invalid(&path, expected(what, Some(name)));
            }
        };
        aggregations.push((field.clone(), aggregation));
    }
    Ok(Operation::Aggregate {
        group_by,
        aggregations,
    })
}

fn parse_sort(source: &Source<'_>) -> Parsed<Operation> {
    let Some(Value::String(sort_by)) = source.map.get("sortBy") else {
        let got = source.map.get("sortBy");
        return invalid(&source.path_of("sortBy"), expected("a field name", got));
    };
    let descending = match source.map.get("order") {
        None | Some(Value::Null) => false,
        Some(Value::String(order)) if order == "asc" => false,
        Some(Value::String(order)) if order == "desc" => true,
        other => {
            return invalid(
                &source.path_of("order"),
                expected("\"asc\" or \"desc\"", other),
            );
        }
    };
    Ok(Operation::Sort {
        sort_by: sort_by.clone(),
        descending,
    })
}

/// Why a data set's item is no record.
pub(super) fn not_a_record(index: u64, item: &Value) -> OperationError {
    OperationError::Record {
        record: index,
        field: None,
        message: format!("expected an object, got {}", type_name(item)),
    }
}
