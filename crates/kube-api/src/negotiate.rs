//! Which form of an answer a caller accepts.

use http::{HeaderMap, header::ACCEPT};
use problem::kube::Status;

/// How objects are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
}

/// What objects are turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Object,
    /// `Table` of `meta.k8s.io/v1` or `v1beta1`.
    Table(&'static str),
    /// `PartialObjectMetadata` (or its list) of `meta.k8s.io/v1` or `v1beta1`.
    Metadata(&'static str),
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) encoding: Encoding,
    pub(crate) form: Form,
}

impl Answer {
    /// Plain JSON.
    pub(crate) const JSON: Self = Self { encoding: Encoding::Json, form: Form::Object };
}

/// One element of an Accept header.
#[derive(Debug, Default)]
pub(crate) struct MediaType<'a> {
    /// `application/json`
    pub(crate) name: &'a str,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> MediaType<'a> {
    /// Reads one media type with parameters.
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let params = parts.filter_map(|part| part.trim().split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
        Self { name, params }
    }

    /// A parameter's value, empty if absent.
    pub(crate) fn param(&self, key: &str) -> &'a str {
        self.params.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v)
    }
}

/// All elements of the request's Accept headers.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<MediaType<'_>> {
    let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(MediaType::parse).filter(|media| !media.name.is_empty()).collect()
}

/// Chooses the answer's form. Protobuf is answered with JSON, as clients must be able to read it anyway.
///
/// # Errors
/// 406 if nothing that is accepted can be given.
pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Answer, Status> {
    let accepted = accepted(headers);
    if accepted.is_empty() {
        return Ok(Answer::JSON);
    }
    let mut protobuf = false;
    for media in &accepted {
        let encoding = match media.name {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" => Encoding::Yaml,
            "application/vnd.kubernetes.protobuf" => {
                protobuf = true;
                continue;
            }
            _ => continue,
        };
        let version = match media.param("v") {
            "v1beta1" => "v1beta1",
            _ => "v1",
        };
        let form = match (media.param("as"), media.param("g")) {
            ("", _) => Form::Object,
            ("Table", "meta.k8s.io") => Form::Table(version),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io") => Form::Metadata(version),
            _ => continue,
        };
        return Ok(Answer { encoding, form });
    }
    if protobuf {
        let form = accepted
            .iter()
            .find_map(|media| match media.param("as") {
                "Table" => Some(Form::Table("v1")),
                "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Form::Metadata("v1")),
                _ => None,
            })
            .filter(|_| accepted.iter().all(|media| !media.param("as").is_empty()));
        return Ok(Answer { encoding: Encoding::Json, form: form.unwrap_or(Form::Object) });
    }
    Err(Status::not_acceptable(
        "only the following media types are accepted: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf, application/json;stream=watch",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expect: Option<Answer>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        assert_eq!(negotiate(&headers).ok(), expect, "{accept}");
    }

    #[test]
    fn forms_are_chosen() {
        let table = Answer { encoding: Encoding::Json, form: Form::Table("v1") };
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(table));
        check("application/vnd.kubernetes.protobuf", Some(Answer::JSON));
        check("application/vnd.kubernetes.protobuf, */*", Some(Answer::JSON));
        check("application/json;as=Foo;v=v1;g=meta.k8s.io,application/json", Some(Answer::JSON));
        check("application/yaml", Some(Answer { encoding: Encoding::Yaml, form: Form::Object }));
        check("text/csv", None);
        let partial = Answer { encoding: Encoding::Json, form: Form::Metadata("v1") };
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            Some(partial),
        );
    }
}
