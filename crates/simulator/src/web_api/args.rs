//! The arguments of a call from its query, form or JSON body.

use serde_json::{Map, Value};

use super::WebApiError;

/// Arguments by name. Values from a query or a form are strings.
#[derive(Default)]
pub(crate) struct Args(Map<String, Value>);

impl Args {
    /// Reads query and body. Methods that only read do not take JSON: Slack ignores such a body, and the
    /// arguments are missing then.
    pub(crate) fn parse(
        query: &str,
        content_type: &str,
        body: &[u8],
        json: bool,
    ) -> Result<Self, WebApiError> {
        let mut args = Self::default();
        args.extend_form(query.as_bytes());
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind {
            "application/json" if json && !body.is_empty() => {
                let value: Value =
                    serde_json::from_slice(body).map_err(|_| WebApiError::from("invalid_json"))?;
                let Value::Object(object) = value else { return Err("json_not_object".into()) };
                args.0.extend(object.into_iter().filter(|(_, value)| !value.is_null()));
            }
            "application/json" | "" => {}
            "application/x-www-form-urlencoded" => args.extend_form(body),
            _ => return Err("invalid_post_type".into()),
        }
        Ok(args)
    }

    fn extend_form(&mut self, form: &[u8]) {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(form).unwrap_or_default();
        self.0.extend(pairs.into_iter().map(|(key, value)| (key, Value::String(value))));
    }

    /// Removes an argument so that the call log does not record it.
    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Reads a string, which may be empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Reads a required, non-empty string.
    pub(crate) fn required(&self, name: &str) -> Result<&str, WebApiError> {
        self.text(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            WebApiError::with_message("invalid_arguments", format!("missing required field: {name}"))
        })
    }

    /// Reads an array or object, also from a string that contains JSON.
    pub(crate) fn json(&self, name: &str, error: &'static str) -> Result<Option<Value>, WebApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(|_| error.into()),
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// Reads a number, also from a string.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// `true`, `"true"` and `"1"` are true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value == true || value == "true" || value == "1" || value == 1)
    }

    /// Returns all arguments for the call log.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}
