//! What every handler shares: bodies, query parameters, paging, etags, OCI's headers.

pub(crate) use crate::caller::Caller;
use crate::error::{Error, invalid, respond};
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::WorkRequestId;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use problem::oci;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};

/// Source: `limit` of OCI's list operations, 1 to 1000.
const MAX_LIMIT: u32 = 1000;
const DEFAULT_LIMIT: u32 = 100;
const NEXT_PAGE: HeaderName = HeaderName::from_static("opc-next-page");
/// Header that names the work request which was begun.
pub(crate) const WORK_REQUEST: HeaderName = HeaderName::from_static("opc-work-request-id");

/// Reads a JSON body: an object.
pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    use serde_json::error::Category;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let broken = |error: serde_json::Error| oci::Error::cannot_parse(format!("the body is not valid JSON: {error}"));
    let read: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data if !bytes.trim_ascii_start().starts_with(b"{") => invalid("the body must be a JSON object"),
            Category::Data => invalid(at(&path, without_position(&error.to_string()))),
            Category::Syntax | Category::Eof | Category::Io => broken(error).into(),
        }
    })?;
    reader.end().map_err(broken)?;
    refuse_nul(bytes)?;
    Ok(read)
}

/// A message with the field that it is about, unless that is said already.
fn at(path: &str, message: String) -> String {
    let field = path.rsplit('.').next().unwrap_or_default();
    if path == "." || message.contains(&format!("`{path}`")) {
        return message;
    }
    match message.strip_prefix(&format!("unknown field `{field}`")) {
        Some(rest) => format!("unknown field `{path}`{rest}"),
        None => format!("{path}: {message}"),
    }
}

/// Refuses NULs, which PostgreSQL can't keep. In JSON they are always escaped.
fn refuse_nul(bytes: &[u8]) -> Result<(), Error> {
    fn found(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(found),
            Value::Object(members) => members.iter().any(|(name, member)| name.contains('\0') || found(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    // Parsing twice is for those few bodies alone that may have one.
    let suspect = bytes.windows(6).any(|part| part == b"\\u0000");
    if suspect && serde_json::from_slice(bytes).is_ok_and(|value: Value| found(&value)) {
        return Err(invalid("the body has a NUL in one of its texts"));
    }
    Ok(())
}

fn without_position(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(text, _)| text).to_owned()
}

/// The query's parameters; some may be given more than once.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let query = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let refuse = |_| respond(&oci::Error::invalid_parameter("the query string is malformed"));
        query.map(|query| Self(query.0)).map_err(refuse)
    }
}

impl Params {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a parameter, as they are.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Error> {
        let missing = || oci::Error::missing_parameter(format!("query parameter {name} is required"));
        Ok(self.get(name).ok_or_else(missing)?)
    }

    /// All values of a parameter, each one a word of `T`; commas separate too.
    pub(crate) fn words<T: std::str::FromStr<Err = String>>(&self, name: &str) -> Result<Vec<T>, Error> {
        let values = self.0.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(','));
        let parse = |value: &str| value.parse().map_err(|why| invalid(format!("{name}: {value:?} {why}")));
        values.filter(|value| !value.is_empty()).map(parse).collect()
    }

    /// A parameter that is true or false; false if it is missing.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Error> {
        Ok(self.one_of(name, &[("true", true), ("false", false)])?.unwrap_or_default())
    }

    /// A parameter that is one of a few words, with what each means.
    pub(crate) fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Error> {
        let Some(given) = self.get(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(given)).map(|(_, meaning)| *meaning);
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(Some).ok_or_else(|| invalid(format!("{name} must be one of {}, not {given:?}", known())))
    }

    /// The page that is asked for. `sorts`: words of `sortBy` with their columns; the first is the default.
    pub(crate) fn page(&self, sorts: &[Sort], descending: bool) -> Result<Page, Error> {
        let limit = match self.get("limit").map(str::parse::<u32>) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
            Some(_) => return Err(invalid(format!("limit must be a number from 1 to {MAX_LIMIT}"))),
        };
        let sort = match self.get("sortBy") {
            None => sorts[0],
            Some(word) => *sorts.iter().find(|sort| sort.word == word).ok_or_else(|| {
                let words: Vec<_> = sorts.iter().map(|sort| sort.word).collect();
                invalid(format!("sortBy must be one of {}", words.join(", ")))
            })?,
        };
        let descending = match self.get("sortOrder").map(str::to_ascii_uppercase).as_deref() {
            None => descending,
            Some("ASC") => false,
            Some("DESC") => true,
            Some(_) => return Err(invalid("sortOrder must be ASC or DESC")),
        };
        let after = self.get("page").map(|page| Cursor::read(page, sort)).transpose()?;
        Ok(Page { limit, sort, descending, after })
    }
}

/// One way to sort a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sort {
    pub(crate) word: &'static str,
    pub(crate) column: &'static str,
}

/// Sort key of a list's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SortKey {
    Text(String),
    Number(i64),
}

#[derive(Debug)]
struct Cursor {
    key: SortKey,
    id: String,
}

impl Cursor {
    fn read(page: &str, sort: Sort) -> Result<Self, Error> {
        let bad = || invalid("page is not a token that this list gave");
        let json = URL_SAFE_NO_PAD.decode(page).map_err(|_| bad())?;
        let (column, key, id): (String, Value, String) = serde_json::from_slice(&json).map_err(|_| bad())?;
        if column != sort.column {
            return Err(invalid("page belongs to a list sorted in another way"));
        }
        let key = match key {
            Value::String(text) => SortKey::Text(text),
            Value::Number(number) => SortKey::Number(number.as_i64().ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        if matches!(key, SortKey::Number(_)) != sort.column.ends_with("_ms") {
            return Err(bad());
        }
        Ok(Self { key, id })
    }

    fn write(sort: Sort, key: SortKey, id: &str) -> String {
        let key = match key {
            SortKey::Text(text) => Value::from(text),
            SortKey::Number(number) => Value::from(number),
        };
        let json = serde_json::to_vec(&(sort.column, key, id)).expect("text and numbers serialise");
        URL_SAFE_NO_PAD.encode(json)
    }
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    limit: u32,
    sort: Sort,
    descending: bool,
    after: Option<Cursor>,
}

impl Page {
    /// Ends a query that has a `where`: from the cursor on, in order, one row more than is shown.
    pub(crate) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        let (column, order) = (self.sort.column, if self.descending { "desc" } else { "asc" });
        if let Some(cursor) = &self.after {
            let compare = if self.descending { "<" } else { ">" };
            query.push(format!(" and ({column}, id) {compare} ("));
            match &cursor.key {
                SortKey::Text(text) => query.push_bind(text.clone()),
                SortKey::Number(number) => query.push_bind(*number),
            };
            query.push(", ").push_bind(cursor.id.clone()).push(")");
        }
        query.push(format!(" order by {column} {order}, id {order} limit ")).push_bind(i64::from(self.limit) + 1);
    }

    /// The answer: the items, and a token if there are more.
    pub(crate) fn answer<T, W: Serialize>(
        &self,
        rows: Vec<T>,
        cursor: impl Fn(&T, &str) -> (SortKey, String),
        wire: impl Fn(T) -> W,
    ) -> Response {
        self.answer_as(rows, cursor, wire, Value::Array)
    }

    /// The same for lists that are objects.
    pub(crate) fn collection<T, W: Serialize>(
        &self,
        rows: Vec<T>,
        cursor: impl Fn(&T, &str) -> (SortKey, String),
        wire: impl Fn(T) -> W,
    ) -> Response {
        self.answer_as(rows, cursor, wire, |items| serde_json::json!({"items": items}))
    }

    fn answer_as<T, W: Serialize>(
        &self,
        mut rows: Vec<T>,
        cursor: impl Fn(&T, &str) -> (SortKey, String),
        wire: impl Fn(T) -> W,
        body: impl Fn(Vec<Value>) -> Value,
    ) -> Response {
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let next = rows.last().filter(|_| more).map(|last| {
            let (key, id) = cursor(last, self.sort.column);
            Cursor::write(self.sort, key, &id)
        });
        let items: Vec<Value> = rows.into_iter().map(|row| compact(wire(row))).collect();
        let mut response = axum::Json(body(items)).into_response();
        if let Some(value) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
            response.headers_mut().insert(NEXT_PAGE, value);
        }
        response
    }
}

/// JSON without the members that are null.
pub(crate) fn compact(value: impl Serialize) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|_, member| !member.is_null());
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(value).expect("wire types serialise");
    strip(&mut value);
    value
}

/// 200 with a resource and its etag.
pub(crate) fn resource(value: impl Serialize, etag: Option<&str>) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(etag) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
        headers.insert(header::ETAG, etag);
    }
    (StatusCode::OK, headers, axum::Json(compact(value))).into_response()
}

/// 202 for work that has begun. Source: OCI's asynchronous operations answer without a body.
pub(crate) fn accepted(work_request: &WorkRequestId) -> Response {
    let value = HeaderValue::try_from(work_request.as_str()).expect("an id is a header value");
    (StatusCode::ACCEPTED, [(WORK_REQUEST, value)]).into_response()
}

/// A resource's etag from its id and version.
pub(crate) fn etag(id: &str, version: i64) -> String {
    let unique = id.rsplit('.').next().unwrap_or_default();
    format!("{}-{version}", unique.get(..12).unwrap_or(unique))
}

/// RFC 3339 UTC with milliseconds.
pub(crate) fn time(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SORTS: &[Sort] =
        &[Sort { word: "TIME_CREATED", column: "created_ms" }, Sort { word: "NAME", column: "name" }];

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_page_token_round_trips_and_fits_its_sort_only() {
        let token = Cursor::write(SORTS[1], SortKey::Text("a".into()), "x");
        let page = params(&[("page", &token), ("sortBy", "NAME")]).page(SORTS, false).unwrap();
        assert_eq!(page.after.unwrap().id, "x");
        assert!(params(&[("page", &token)]).page(SORTS, false).is_err());
        assert!(params(&[("page", "!!")]).page(SORTS, false).is_err());
    }

    #[test]
    fn bad_limits_and_orders_are_refused() {
        for bad in [("limit", "0"), ("limit", "1001"), ("limit", "x"), ("sortOrder", "UP"), ("sortBy", "x")] {
            assert!(params(&[bad]).page(SORTS, false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nulls_are_left_out_at_every_depth() {
        assert_eq!(
            compact(json!({"a": null, "b": {"c": null, "d": 1}, "e": [{"f": null}]})),
            json!({"b": {"d": 1}, "e": [{}]})
        );
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn broken_json_differs_from_wrong_json() {
        let code = |text: &str| match body::<Vec<u32>>(text.as_bytes()).unwrap_err() {
            Error::Refused(error) => error.code,
            _ => "?",
        };
        assert_eq!((code("[1"), code("[\"a\"]")), ("CannotParseRequest", "InvalidParameter"));
        assert_eq!(code("[1] x"), "CannotParseRequest");
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        use crate::cluster::wire::CreateClusterDetails;
        let error = body::<CreateClusterDetails>(text.as_bytes()).unwrap_err();
        let message = error.for_caller().message;
        assert!(message.starts_with(expect), "{message}");
    }

    #[test]
    fn wrong_fields_are_named() {
        refused("{\"name\": 5}", "name: invalid type: integer `5`");
        refused("{\"type\": \"BIG\"}", "type: unknown variant `BIG`");
        refused("{\"nam\": 5}", "unknown field `nam`, expected");
        let nested = "{\"options\": {\"kubernetesNetworkConfig\": {\"podCidr\": \"\"}}}";
        refused(nested, "unknown field `options.kubernetesNetworkConfig.podCidr`, expected");
        refused("{}", "missing field `name`");
        refused("[]", "the body must be a JSON object");
        refused("null", "the body must be a JSON object");
    }

    #[test]
    fn a_nul_is_refused_and_its_name_is_not() {
        let with = |name: &str| format!("{{\"name\": \"{name}\", \"compartmentId\": \"c\"}}");
        refused(&with("a\\u0000"), "the body has a NUL");
        assert!(body::<Value>(with("a\\\\u0000").as_bytes()).is_ok());
    }
}
