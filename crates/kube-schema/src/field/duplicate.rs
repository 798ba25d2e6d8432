//! Finds repeated keys in a JSON text, which a parsed value no longer shows.

use std::{cell::RefCell, collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use super::FieldProblem;

/// Keys that come twice within one object of a JSON text; malformed text gives what was found before it breaks.
#[must_use]
pub fn duplicate_fields(body: &[u8]) -> Vec<FieldProblem> {
    duplicate_fields_of(&mut serde_json::Deserializer::from_slice(body))
}

/// As [`duplicate_fields`], of a text in whatever format the deserializer reads.
#[must_use]
pub fn duplicate_fields_of<'de>(deserializer: impl Deserializer<'de>) -> Vec<FieldProblem> {
    let found = RefCell::new(Vec::new());
    let walk = Walk { path: String::new(), found: &found };
    let _malformed = deserializer.deserialize_any(walk).is_err();
    found.into_inner()
}

struct Walk<'a> {
    path: String,
    found: &'a RefCell<Vec<FieldProblem>>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if !seen.insert(key) {
                let problem = FieldProblem::Duplicate(path.clone());
                let mut found = self.found.borrow_mut();
                if !found.contains(&problem) {
                    found.push(problem);
                }
            }
            map.next_value_seed(Walk { path, found: self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        let path = |index: usize| format!("{}[{index}]", self.path);
        while seq.next_element_seed(Walk { path: path(index), found: self.found })?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_named_once_with_their_path() {
        let body = br#"{"a":1,"spec":{"b":[{"c":1,"c":2,"c":3}],"b":1},"a":{"a":2}}"#;
        let texts: Vec<String> = duplicate_fields(body).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [r#"duplicate field "spec.b[0].c""#, r#"duplicate field "spec.b""#, r#"duplicate field "a""#]
        );
        assert!(duplicate_fields(br#"{"a":{"x":1},"b":{"x":1"#).is_empty());
    }
}
