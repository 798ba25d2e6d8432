//! Reading a log: the last lines, from a time on, and along as it grows.

use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use proto::fleet::Logs;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};

use super::{files, parse_line};

/// How soon a follower sees a new line.
const POLL: Duration = Duration::from_millis(100);
/// Output is sent in pieces of about this size.
const PIECE: usize = 32 * 1024;
/// A line longer than this is cut by containerd; more is not a log line.
const MAX_LINE: u64 = 1 << 20;

/// Where the output goes; `false`: nobody listens any more.
pub trait Sink {
    /// Takes a piece.
    fn send(&mut self, piece: Bytes) -> impl Future<Output = bool> + Send;
}

/// Sends the log at `path` as `request` says; follows while `alive` says that the container runs.
///
/// # Errors
/// If the file cannot be read.
pub async fn stream(
    path: &Path,
    request: &Logs,
    alive: impl Fn() -> bool,
    sink: &mut impl Sink,
) -> std::io::Result<()> {
    let mut files = files(path);
    let mut offset = 0;
    if request.tail_lines >= 0 {
        let tail = u64::try_from(request.tail_lines).unwrap_or(0);
        (files, offset) = last_lines(files, tail).await?;
    }
    let mut filter = Filter::new(request);
    let last = files.len().saturating_sub(1);
    for (index, file) in files.iter().enumerate() {
        let follow = request.follow && index == last;
        let opened = match open(file, follow).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !follow => continue,
            Err(error) => return Err(error),
        };
        let mut reader =
            Reader { path, buffer: BufReader::with_capacity(PIECE, opened), pending: Vec::new(), aside: false };
        if offset > 0 {
            reader.buffer.seek(SeekFrom::Start(std::mem::take(&mut offset))).await?;
        }
        if !reader.pass(&mut filter, follow, &alive, sink).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Opens a log file; a follower waits for the one that is missing for a moment, between rotation and containerd's reopening.
async fn open(file: &Path, follow: bool) -> std::io::Result<File> {
    let mut patience = if follow { 20 } else { 0 };
    loop {
        match File::open(file).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && patience > 0 => patience -= 1,
            other => return other,
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The file that was begun after the one with inode `mine` was put aside; a slow follower may be several behind.
fn next_file(path: &Path, mine: u64) -> PathBuf {
    let all = files(path);
    let position = all.iter().position(|file| std::fs::metadata(file).is_ok_and(|m| m.ino() == mine));
    // Ours may be deleted by now: then the oldest that is left is next.
    let next = position.map_or(0, |at| at + 1);
    all.into_iter().nth(next).unwrap_or_else(|| path.to_owned())
}

struct Reader<'a> {
    path: &'a Path,
    buffer: BufReader<File>,
    /// The beginning of a line that is still being written.
    pending: Vec<u8>,
    /// The file has been put aside and is complete; it is read once more before the new one.
    aside: bool,
}

impl Reader<'_> {
    /// Passes the file on; false when the stream is over.
    async fn pass(
        &mut self,
        filter: &mut Filter,
        follow: bool,
        alive: &impl Fn() -> bool,
        sink: &mut impl Sink,
    ) -> std::io::Result<bool> {
        loop {
            // Asked before reading: what was written before the end is still read after it.
            let was_alive = alive();
            let mut out = Vec::with_capacity(PIECE);
            loop {
                let read = (&mut self.buffer).take(MAX_LINE).read_until(b'\n', &mut self.pending).await?;
                let complete = self.pending.ends_with(b"\n");
                if complete {
                    let goes_on = filter.pass(&self.pending, &mut out);
                    self.pending.clear();
                    if !goes_on {
                        sink.send(out.into()).await;
                        return Ok(false);
                    }
                }
                if out.len() >= PIECE && !sink.send(std::mem::take(&mut out).into()).await {
                    return Ok(false);
                }
                if read == 0 || !complete {
                    break;
                }
            }
            if !out.is_empty() && !sink.send(out.into()).await {
                return Ok(false);
            }
            if !follow {
                return Ok(true);
            }
            if self.follow_rotation().await? {
                continue;
            }
            if !was_alive {
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
            if !sink.send(Bytes::new()).await {
                return Ok(false);
            }
        }
    }

    /// Goes on with the next file if the one being read was rotated away.
    async fn follow_rotation(&mut self) -> std::io::Result<bool> {
        let Ok(now) = tokio::fs::metadata(self.path).await else { return Ok(false) };
        let mine = self.buffer.get_ref().metadata().await?;
        if mine.ino() == now.ino() {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.aside, true) {
            return Ok(true);
        }
        self.aside = false;
        let next = next_file(self.path, mine.ino());
        self.buffer = BufReader::with_capacity(PIECE, open(&next, true).await?);
        self.pending.clear();
        Ok(true)
    }
}

struct Filter {
    since: Option<jiff::Timestamp>,
    timestamps: bool,
    left: Option<usize>,
    /// The last entry was the beginning of a line.
    inside: bool,
}

impl Filter {
    fn new(request: &Logs) -> Self {
        let since = Some(request.since_ms).filter(|ms| *ms > 0);
        Self {
            since: since.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()),
            timestamps: request.timestamps,
            left: usize::try_from(request.limit_bytes).ok().filter(|l| *l > 0),
            inside: false,
        }
    }

    /// Adds a line's content to `out`; false when the limit is reached.
    fn pass(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(line) = parse_line(line) else { return true };
        if let Some(since) = self.since {
            match line.time.parse::<jiff::Timestamp>() {
                Ok(time) if time < since => return true,
                // Lines only get younger: no need to look at any more times.
                Ok(_) => self.since = None,
                Err(_) => {}
            }
        }
        let start = out.len();
        if self.timestamps && !self.inside {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.content);
        if !line.partial {
            out.push(b'\n');
        }
        self.inside = line.partial;
        if let Some(left) = &mut self.left {
            let added = out.len() - start;
            if added >= *left {
                out.truncate(start + *left);
                return false;
            }
            *left -= added;
        }
        true
    }
}

/// The files from the one with the `count`th last line on, and where in it that line begins.
async fn last_lines(files: Vec<PathBuf>, count: u64) -> std::io::Result<(Vec<PathBuf>, u64)> {
    let mut left = count;
    for (index, path) in files.iter().enumerate().rev() {
        let Ok(mut file) = File::open(path).await else { continue };
        let mut end = file.metadata().await?.len();
        if left == 0 {
            return Ok((files[index..].to_vec(), end));
        }
        let mut chunk = vec![0; 64 * 1024];
        let mut first = true;
        while end > 0 {
            let size = usize::try_from(end.min(chunk.len() as u64)).unwrap_or(chunk.len());
            let start = end - size as u64;
            file.seek(SeekFrom::Start(start)).await?;
            file.read_exact(&mut chunk[..size]).await?;
            for at in (0..size).rev() {
                // The end of the last line ends it; it does not begin another.
                if chunk[at] == b'\n' && !(first && at == size - 1) {
                    left -= 1;
                    if left == 0 {
                        return Ok((files[index..].to_vec(), start + at as u64 + 1));
                    }
                }
            }
            first = false;
            end = start;
        }
        if !first {
            left -= 1;
            if left == 0 {
                return Ok((files[index..].to_vec(), 0));
            }
        }
    }
    Ok((files, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Collect(Vec<u8>);

    impl Sink for Collect {
        async fn send(&mut self, piece: Bytes) -> bool {
            self.0.extend_from_slice(&piece);
            true
        }
    }

    async fn check(request: Logs, expected: &str) {
        let dir = std::env::temp_dir().join(format!("agent-logs-{}-{}", std::process::id(), expected.len()));
        std::fs::create_dir_all(&dir).unwrap();
        let line = |n: u32| format!("2026-01-01T00:00:0{n}.000000000Z stdout F line {n}\n");
        std::fs::write(dir.join("0.log.20260101-000002"), line(1) + &line(2)).unwrap();
        std::fs::write(
            dir.join("0.log"),
            line(3) + "2026-01-01T00:00:04.000000000Z stderr P li\n2026-01-01T00:00:04.1Z stderr F ne 4\n",
        )
        .unwrap();
        let mut out = Collect(Vec::new());
        stream(&dir.join("0.log"), &request, || false, &mut out).await.unwrap();
        assert_eq!(String::from_utf8(out.0).unwrap(), expected);
        std::fs::remove_dir_all(dir).unwrap();
    }

    fn all() -> Logs {
        Logs { tail_lines: -1, ..Default::default() }
    }

    #[tokio::test]
    async fn a_log_is_read_over_its_rotated_files() {
        check(all(), "line 1\nline 2\nline 3\nline 4\n").await;
        check(Logs { tail_lines: 3, ..all() }, "line 3\nline 4\n").await;
        check(Logs { tail_lines: 4, ..all() }, "line 2\nline 3\nline 4\n").await;
        check(Logs { tail_lines: 0, ..all() }, "").await;
        check(Logs { limit_bytes: 9, ..all() }, "line 1\nli").await;
        check(Logs { since_ms: 1_767_225_603_000, follow: true, ..all() }, "line 3\nline 4\n ".trim_end_matches(' '))
            .await;
        check(Logs { timestamps: true, tail_lines: 2, ..all() }, "2026-01-01T00:00:04.000000000Z line 4\n").await;
    }

    /// Takes a piece whenever it gets a permit, and says when it waits for one.
    struct Slow {
        out: Vec<u8>,
        permits: std::sync::Arc<tokio::sync::Semaphore>,
        asked: std::sync::Arc<tokio::sync::Notify>,
    }

    impl Sink for Slow {
        async fn send(&mut self, piece: Bytes) -> bool {
            self.asked.notify_one();
            self.permits.acquire().await.unwrap().forget();
            self.out.extend_from_slice(&piece);
            true
        }
    }

    #[tokio::test]
    async fn a_slow_follower_misses_no_file() {
        let dir = std::env::temp_dir().join(format!("agent-slow-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (current, line) = (dir.join("0.log"), |n: u32| format!("2026-01-01T00:00:0{n}.0Z stdout F line {n}\n"));
        std::fs::write(&current, line(1)).unwrap();
        let alive = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let mut slow = Slow {
            out: Vec::new(),
            permits: std::sync::Arc::new(tokio::sync::Semaphore::new(0)),
            asked: Default::default(),
        };
        let (permits, asked, lives, path) = (slow.permits.clone(), slow.asked.clone(), alive.clone(), current.clone());
        let follower = tokio::spawn(async move {
            let request = Logs { follow: true, ..all() };
            let alive = || lives.load(std::sync::atomic::Ordering::Relaxed);
            stream(&path, &request, alive, &mut slow).await.unwrap();
            slow.out
        });
        asked.notified().await;
        for n in [2, 3] {
            std::fs::rename(&current, dir.join(format!("0.log.2026010{n}"))).unwrap();
            std::fs::write(&current, line(n)).unwrap();
        }
        alive.store(false, std::sync::atomic::Ordering::Relaxed);
        permits.add_permits(100);
        assert_eq!(String::from_utf8(follower.await.unwrap()).unwrap(), "line 1\nline 2\nline 3\n");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
