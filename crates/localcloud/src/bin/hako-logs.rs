//! `hako-logs FILE BYTES`: copies standard input to FILE; at BYTES the file becomes FILE.1 and a new one begins.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), Some(limit)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        eprintln!("usage: hako-logs FILE BYTES");
        return ExitCode::from(64);
    };
    let Some(limit) = limit.to_str().and_then(|l| l.parse::<u64>().ok()) else {
        eprintln!("hako-logs: BYTES must be a number");
        return ExitCode::from(64);
    };
    match copy(&path, limit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hako-logs: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn copy(path: &Path, limit: u64) -> std::io::Result<()> {
    let mut file = open(path)?;
    let mut size = file.metadata()?.len();
    let mut buffer = [0u8; 64 << 10];
    loop {
        let read = match std::io::stdin().read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if size + read as u64 > limit && size > 0 {
            std::fs::rename(path, path.with_extension("log.1"))?;
            file = open(path)?;
            size = 0;
        }
        // A full disk loses log lines, but must not stop the writer by a blocked pipe.
        if file.write_all(&buffer[..read]).is_ok() {
            size += read as u64;
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
