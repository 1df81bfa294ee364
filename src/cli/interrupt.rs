//! Ctrl-C: the first ends the work cleanly, the second ends the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of an interrupted program, by convention 128 + SIGINT.
pub(super) const EXIT_CODE: u8 = 130;

/// A flag that ctrl-C, SIGTERM and SIGHUP set.
pub(super) fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_CODE.into());
        }
    })?;
    Ok(interrupted)
}
