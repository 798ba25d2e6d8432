//! Writes `cli/help/*.txt`, the help texts of `hako`; with `--check`, only says whether they are fresh.

use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("help");
    let check = std::env::args().any(|argument| argument == "--check");
    match if check { fresh(&directory) } else { write(&directory).map_err(|error| error.to_string()) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{}: {why}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn fresh(directory: &Path) -> Result<(), String> {
    let stale = |(name, text): &(String, String)| fs::read_to_string(directory.join(name)).ok().as_ref() != Some(text);
    match hako::help_texts().iter().find(|one| stale(one)) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} is stale: run cargo xtask gen")),
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    hako::help_texts().into_iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))
}
