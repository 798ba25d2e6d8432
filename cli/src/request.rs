//! The bodies of requests, of flags and files.

use crate::{args::Extra, error::Error};
use serde_json::{Map, Value, json};
use std::{io::Read, path::Path};

/// A body in the making: what was said by flags.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body(Map<String, Value>);

impl Body {
    /// Sets a field, if there is a value for it.
    pub(crate) fn set(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        self.0.extend(value.map(|value| (name.to_owned(), value.into())));
        self
    }

    /// Sets a field to several values, if there are any.
    pub(crate) fn list<T: Into<Value>>(self, name: &str, values: Vec<T>) -> Self {
        let values = Some(values).filter(|values| !values.is_empty());
        self.set(name, values.map(|values| values.into_iter().map(Into::into).collect::<Vec<Value>>()))
    }

    /// The body, with what a file says beneath and the tags.
    pub(crate) fn with(mut self, extra: &Extra) -> Result<Self, Error> {
        if !extra.freeform_tags.is_empty() {
            let tags = extra.freeform_tags.iter().map(|tag| pair("--freeform-tag", tag));
            let tags: Map<String, Value> =
                tags.map(|tag| tag.map(|(key, value)| (key, json!(value)))).collect::<Result<_, _>>()?;
            self.0.insert("freeformTags".into(), tags.into());
        }
        if let Some(file) = &extra.from_file {
            let mut below = object(&read(file)?, &file.display().to_string())?;
            below.extend(self.0);
            self.0 = below;
        }
        Ok(self)
    }

    /// Sets a field that nobody has set.
    pub(crate) fn usual(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.entry(name).or_insert(value.into());
        self
    }

    /// A field, if it is set.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// True if nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it is sent.
    pub(crate) fn json(self) -> Value {
        self.0.into()
    }
}

/// `key=value` of a flag.
pub(crate) fn pair(flag: &str, text: &str) -> Result<(String, String), Error> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| Error::Misused(format!("{flag} {text:?}: write it as key=value")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The text of a file; `-`: of standard input.
pub(crate) fn read(file: &Path) -> Result<String, Error> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Error::io("read standard input"))?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| Error::Misused(format!("cannot read {}: {error}", file.display())))
}

/// JSON of a flag's value: itself, or `@file`, or `@-` for standard input.
pub(crate) fn json_or_file(flag: &str, text: &str) -> Result<Value, Error> {
    match text.strip_prefix('@') {
        Some(file) => parse(&read(Path::new(file))?, file),
        None => parse(text, flag),
    }
}

/// JSON or YAML, of which the first is a part.
fn parse(text: &str, from: &str) -> Result<Value, Error> {
    serde_yaml_ng::from_str(text).map_err(|error| Error::Misused(format!("{from} is neither JSON nor YAML: {error}")))
}

fn object(text: &str, from: &str) -> Result<Map<String, Value>, Error> {
    match parse(text, from)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::Misused(format!("{from}: write the request as an object"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_tags_are_read() {
        let file = std::env::temp_dir().join(format!("hako-request-{}", std::process::id()));
        std::fs::write(&file, "displayName: of file\nsize: 2\n").unwrap();
        let extra = Extra { from_file: Some(file.clone()), freeform_tags: vec!["a=b=c".into()] };
        let body = Body::default().set("displayName", Some("of flag")).with(&extra).unwrap().usual("size", 9);
        assert_eq!(body.json(), json!({"displayName": "of flag", "size": 2, "freeformTags": {"a": "b=c"}}));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        assert!(object("[1]", "x").unwrap_err().to_string().contains("object"));
        assert!(pair("--freeform-tag", "a").is_err());
        assert_eq!(json_or_file("--body", "{\"a\": 1}").unwrap(), json!({"a": 1}));
        assert!(json_or_file("--body", "{").unwrap_err().to_string().starts_with("--body is neither"));
    }
}
