//! What a person sees while a large root is packed: nothing for the first second, then a line on the terminal that goes away.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use vmm::rootfs::Packed;

/// Work that takes less shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const REDRAW: Duration = Duration::from_millis(100);

/// A line about the packing; dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Line {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    /// Shows what `packed` counts, when standard error is a terminal.
    pub(crate) fn start(packed: &Arc<Packed>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { done: None, thread: None };
        }
        let packed = Arc::clone(packed);
        let (done, ended) = mpsc::channel();
        // Without a thread there is no line, and the work goes on.
        let thread = thread::Builder::new().name("progress".into()).spawn(move || {
            if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::default_spinner());
            loop {
                let (files, bytes) = packed.so_far();
                bar.set_message(format!("packing the root: {files} files, {}", HumanBytes(bytes)));
                bar.tick();
                if ended.recv_timeout(REDRAW) != Err(RecvTimeoutError::Timeout) {
                    bar.finish_and_clear();
                    return;
                }
            }
        });
        Self { done: Some(done), thread: thread.ok() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            // It only draws.
            let _ = thread.join();
        }
    }
}
