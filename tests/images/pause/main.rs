//! `pause`: holds a pod's namespaces open and reaps orphans when the pod shares its process namespace.

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn pause() -> i32;
    fn _exit(code: i32) -> !;
}

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;
/// With SIGCHLD ignored the kernel reaps children by itself.
const SIG_IGN: usize = 1;

extern "C" fn on_signal(_: i32) {
    // SAFETY: `_exit` is async-signal-safe and never returns.
    unsafe { _exit(0) }
}

fn main() {
    // SAFETY: the handler only calls `_exit`; `pause` takes nothing.
    unsafe {
        signal(SIGINT, on_signal as extern "C" fn(i32) as usize);
        signal(SIGTERM, on_signal as extern "C" fn(i32) as usize);
        signal(SIGCHLD, SIG_IGN);
        loop {
            pause();
        }
    }
}
