//! Writes `docs/openapi.json` from the handlers of the cloud API; with `--check`, only says whether it is fresh.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let document = cloud::openapi_json() + "\n";
    let check = std::env::args().any(|argument| argument == "--check");
    let done = if check {
        match std::fs::read_to_string(&path) {
            Ok(stored) if stored == document => Ok(()),
            _ => Err("docs/openapi.json is stale: run cargo xtask gen".to_owned()),
        }
    } else {
        std::fs::write(&path, document).map_err(|error| format!("can't write {}: {error}", path.display()))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
