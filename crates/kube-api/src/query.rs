//! Query strings.

use crate::path::decode;
use problem::kube::Status;

/// The decoded pairs of a query string, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a raw query string.
    ///
    /// # Errors
    /// 400 if an escape is broken.
    pub(crate) fn parse(raw: Option<&str>) -> Result<Self, Status> {
        let mut pairs = Vec::new();
        for part in raw.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((unescape(key)?, unescape(value)?));
        }
        Ok(Self(pairs))
    }

    /// The first value of a key; an empty one counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// All values of a key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A flag as Go's client and curl users write it: `1`, `true`, or the bare key.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.iter().find(|(k, _)| k == key).is_some_and(|(_, v)| !matches!(v.as_str(), "0" | "false" | "False"))
    }

    /// A number.
    ///
    /// # Errors
    /// 400 if it is none.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Status> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let why = || Status::bad_request(format!("invalid value {text:?} for query parameter {key:?}: not a number"));
        text.parse().map(Some).map_err(|_| why())
    }
}

fn unescape(text: &str) -> Result<String, Status> {
    let spaced = text.replace('+', " ");
    let decoded = decode(&spaced).map(std::borrow::Cow::into_owned);
    decoded.ok_or_else(|| Status::bad_request(format!("invalid URL escape in query: {text:?}")))
}

/// Escapes a value for a query string.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query =
            Query::parse(Some("watch=true&labelSelector=a%3Db,c+in+(d)&limit=5&command=ls&command=-l")).unwrap();
        assert!(query.flag("watch"));
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert_eq!(query.number::<u64>("limit").unwrap(), Some(5));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["ls", "-l"]);
        assert!(Query::parse(Some("limit=x")).unwrap().number::<u64>("limit").is_err());
    }
}
