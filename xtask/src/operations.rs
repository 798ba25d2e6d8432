//! The table of OCI's operations in docs/, made from the file that the cloud API itself answers from.

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::config;

const FROM: &str = "crates/cloud/src/offered/operations.json";
const TO: &str = "docs/oci-operations.md";

#[derive(Deserialize)]
struct Operation {
    service: String,
    operation: String,
    method: String,
    path: String,
    refused: Option<String>,
    empty: Option<String>,
}

/// Writes the table, or only says whether it is up to date.
pub(crate) fn write(check: bool) -> anyhow::Result<()> {
    let workspace = config::workspace();
    let text = std::fs::read_to_string(workspace.join(FROM)).with_context(|| format!("can't read {FROM}"))?;
    let operations: Vec<Operation> = serde_json::from_str(&text).with_context(|| format!("{FROM} is damaged"))?;
    let (page, path) = (page(&operations), workspace.join(TO));
    if check {
        ensure!(std::fs::read_to_string(&path).is_ok_and(|old| old == page), "{TO} is old: cargo xtask gen");
        return Ok(());
    }
    std::fs::write(path, page).with_context(|| format!("can't write {TO}"))
}

fn page(operations: &[Operation]) -> String {
    // Of these two services all operations are listed; of the others those that work.
    let whole = || operations.iter().filter(|operation| operation.service.starts_with("container_"));
    let works = whole().filter(|operation| operation.refused.is_none() && operation.empty.is_none()).count();
    let mut page = format!(
        "# OCI's operations\n\n<!-- Written by `cargo xtask gen` from {FROM}. -->\n\n\
         Of the {} operations of Container Engine and Container Instances {works} work; of other services what works is \
         listed.\nEach line is checked by `tests/it/oci.rs` with OCI's own SDK: what works is driven with typed models, what \
         does not is\nrefused with status 501, code `MethodNotImplemented`, and the reason below. Lists of what is not \
         offered are empty.\n",
        whole().count()
    );
    let mut service = "";
    for operation in operations {
        if operation.service != service {
            service = &operation.service;
            page += &format!("\n## {service}\n\n| operation | request | |\n| --- | --- | --- |\n");
        }
        let state = match (&operation.refused, &operation.empty) {
            (Some(why), _) => format!("refused: {why}"),
            (None, Some(why)) => format!("an empty list: {why}"),
            (None, None) => "works".to_owned(),
        };
        page += &format!("| `{}` | `{} {}` | {state} |\n", operation.operation, operation.method, operation.path);
    }
    page
}
