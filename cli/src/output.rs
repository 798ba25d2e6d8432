//! What goes to stdout.

use crate::{args::Format, error::Error};
use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::Write;

/// A column of a table: its title, and the JSON pointer of its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column(pub(crate) &'static str, pub(crate) &'static str);

/// Prints in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output(pub(crate) Format);

impl Output {
    /// Prints several objects.
    pub(crate) fn list(self, objects: &[Value], columns: &[Column]) -> Result<(), Error> {
        match self.0 {
            Format::Table => write(&table(objects, columns)),
            Format::Json | Format::Yaml => self.whole(&Value::Array(objects.to_vec())),
        }
    }

    /// Prints one object.
    pub(crate) fn one(self, object: &Value, columns: &[Column]) -> Result<(), Error> {
        match self.0 {
            Format::Table => write(&table(std::slice::from_ref(object), columns)),
            Format::Json | Format::Yaml => self.whole(object),
        }
    }

    /// Prints an object of no known form: as a table it would lose most of itself.
    pub(crate) fn raw(self, object: &Value) -> Result<(), Error> {
        self.whole(object)
    }

    fn whole(self, value: &Value) -> Result<(), Error> {
        let text = match self.0 {
            Format::Yaml => serde_yaml_ng::to_string(value).map_err(Error::io("print YAML"))?,
            _ => format!("{value:#}\n"),
        };
        write(&text)
    }
}

/// Writes to stdout; a reader that has gone away is no error.
pub(crate) fn write(text: &str) -> Result<(), Error> {
    write_bytes(text.as_bytes())
}

/// The same for what need not be text.
pub(crate) fn write_bytes(bytes: &[u8]) -> Result<(), Error> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("print")(error)),
        _ => Ok(()),
    }
}

fn table(objects: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(columns.iter().map(|column| column.0));
    for object in objects {
        table.add_row(columns.iter().map(|column| cell(object.pointer(column.1))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_show_what_there_is() {
        let objects = [json!({"name": "demo", "meta": {"size": 3}}), json!({"name": "other"})];
        let text = table(&objects, &[Column("NAME", "/name"), Column("SIZE", "/meta/size")]);
        assert_eq!(text, "NAME    SIZE\ndemo    3\nother   -\n");
    }
}
