//! How much may be sent: windows of the session and of each stream.
//!
//! Go's `spdystream`, on the other side of kubectl and of containerd, neither sends nor obeys windows: it relies on
//! TCP. So windows bind only once the peer has shown that it keeps them, by a setting or an update.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Every window at the start. Source: SPDY/3.1, section 2.6.8.
const DEFAULT: i64 = 64 * 1024;

#[derive(Debug)]
struct Windows {
    kept_by_peer: bool,
    initial: i64,
    session: i64,
    streams: HashMap<u32, i64>,
}

/// The sending windows of one connection.
#[derive(Debug)]
pub(super) struct Flow {
    windows: Mutex<Windows>,
    changed: Notify,
}

impl Default for Flow {
    fn default() -> Self {
        let windows = Windows { kept_by_peer: false, initial: DEFAULT, session: DEFAULT, streams: HashMap::new() };
        Self { windows: Mutex::new(windows), changed: Notify::new() }
    }
}

impl Flow {
    /// A stream begins.
    pub(super) fn open(&self, id: u32) {
        let mut windows = self.windows.lock();
        let initial = windows.initial;
        windows.streams.insert(id, initial);
    }

    /// A stream is over; who waits to send on it, learns it.
    pub(super) fn forget(&self, id: u32) {
        self.windows.lock().streams.remove(&id);
        self.changed.notify_waiters();
    }

    /// The peer changed the initial window: open streams change by the difference.
    pub(super) fn settle(&self, initial: u32) {
        let mut windows = self.windows.lock();
        let difference = i64::from(initial) - windows.initial;
        windows.initial = i64::from(initial);
        windows.streams.values_mut().for_each(|window| *window += difference);
        windows.kept_by_peer = true;
        drop(windows);
        self.changed.notify_waiters();
    }

    /// The peer takes more; stream 0 is the session.
    pub(super) fn grow(&self, id: u32, delta: u32) {
        let mut windows = self.windows.lock();
        windows.kept_by_peer = true;
        if id == 0 {
            windows.session += i64::from(delta);
        } else if let Some(window) = windows.streams.get_mut(&id) {
            *window += i64::from(delta);
        }
        drop(windows);
        self.changed.notify_waiters();
    }

    /// Waits until something may be sent on `id`, and takes up to `want` bytes; `None` if the stream is over.
    pub(super) async fn take(&self, id: u32, want: usize) -> Option<usize> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(taken) = self.try_take(id, want)? {
                return Some(taken);
            }
            changed.await;
        }
    }

    fn try_take(&self, id: u32, want: usize) -> Option<Option<usize>> {
        let mut windows = self.windows.lock();
        let (session, kept) = (windows.session, windows.kept_by_peer);
        let window = windows.streams.get_mut(&id)?;
        let room = if kept { session.min(*window).max(0) } else { i64::MAX };
        let taken = room.min(want as i64);
        if taken == 0 && want > 0 {
            return Some(None);
        }
        *window -= taken;
        windows.session -= taken;
        Some(Some(taken as usize))
    }
}
