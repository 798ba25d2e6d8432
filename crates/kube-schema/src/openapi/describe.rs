//! Sentences about types and fields, unpacked only while a document is made.
//! They come from the k8s-openapi crate at build time, see build.rs.

use std::{collections::HashMap, io::Read as _};

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.gz"));

/// Descriptions by definition (`io.k8s.api.core.v1.Pod`) and field ("" for the type itself).
pub(super) struct Sentences(HashMap<(String, String), String>);

impl Sentences {
    /// What there is to say about a type (`field` "") or a field.
    pub(super) fn get(&self, definition: &str, field: &str) -> Option<&str> {
        self.0.get(&(definition.to_owned(), field.to_owned())).map(String::as_str).filter(|s| !s.is_empty())
    }
}

/// Unpacks all sentences.
pub(super) fn sentences() -> Sentences {
    let mut text = String::new();
    let read = flate2::read::GzDecoder::new(PACKED).read_to_string(&mut text);
    read.expect("build.rs wrote a gzip stream of UTF-8");
    let mut found = HashMap::new();
    let mut definition = "";
    for line in text.lines() {
        let Some((name, sentence)) = line.split_once('\t') else { continue };
        let field = match name.strip_prefix('=') {
            Some(name) => {
                definition = name;
                ""
            }
            None => name,
        };
        found.insert((definition.to_owned(), field.to_owned()), sentence.replace('\u{2028}', "\n"));
    }
    Sentences(found)
}
