//! Container logs: files that containerd writes in the CRI's format, one line each: time, stream, tag, content.

pub mod read;
pub mod rotate;

use std::path::{Path, PathBuf};

/// One line of a log file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// RFC 3339 with nanoseconds.
    pub time: &'a str,
    /// "stdout" or "stderr".
    pub stream: &'a str,
    /// The line goes on in the next entry of the same stream.
    pub partial: bool,
    /// Without the end of line.
    pub content: &'a [u8],
}

/// Takes a line apart; `None` if it is not in the CRI's format.
pub fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = std::str::from_utf8(parts.next()?).ok()?;
    let tags = std::str::from_utf8(parts.next()?).ok()?;
    let content = parts.next().unwrap_or_default();
    matches!(stream, "stdout" | "stderr").then(|| Line {
        time,
        stream,
        partial: tags.split(':').next() == Some("P"),
        content,
    })
}

/// All files of one log, oldest first: rotated ones, then the one being written.
pub fn files(current: &Path) -> Vec<PathBuf> {
    let name = current.file_name().map(|n| format!("{}.", n.to_string_lossy())).unwrap_or_default();
    let mut all: Vec<PathBuf> = current
        .parent()
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&name)))
        .collect();
    all.sort();
    all.push(current.to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = parse_line(b"2026-01-02T03:04:05.6Z stderr F hello world\n").unwrap();
        assert_eq!(
            line,
            Line { time: "2026-01-02T03:04:05.6Z", stream: "stderr", partial: false, content: b"hello world" }
        );
        assert!(parse_line(b"2026-01-02T03:04:05.6Z stdout P x").unwrap().partial);
        assert_eq!(parse_line(b"2026-01-02T03:04:05.6Z stdout F ").unwrap().content, b"");
        assert_eq!(parse_line(b"noise"), None);
    }
}
