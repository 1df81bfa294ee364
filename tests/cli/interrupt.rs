//! Ctrl-C in the middle of a batch.

use super::{assert_whole, copy, names, set_study, study, write_study};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::tempdir;

/// Far longer than any step takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// Ends a child that a failed test leaves behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Polls until there is a value; the pause only spares the CPU.
fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_in_the_network_ends_soon_and_keeps_what_is_whole() {
    let folder = tempdir().expect("folder");
    let (small, out) = (folder.path().join("small"), folder.path().join("out"));
    // Studies run in the order of their UIDs: this one is done while the 27 patches of the other are not.
    copy(study(), &small, |file, number| {
        set_study(file, "1.2.3", number);
    });
    let large = write_study("cli-large-study", [128, 128, 128]);
    let mut hilum = Command::new(env!("CARGO_BIN_EXE_hilum"));
    hilum
        .arg("process")
        .args([&large, &small])
        .arg("--out")
        .arg(&out)
        .args(["--device", "cpu"]);
    hilum
        .env_remove("HILUM_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running(hilum.spawn().expect("started"));
    let first = out.join("1.2.3");
    wait_for("the first study", || first.exists().then_some(()));

    let pid = running.0.id().to_string();
    let killed = Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .expect("kill");
    assert!(killed.success());
    let interrupted = Instant::now();
    let status = wait_for("the end", || running.0.try_wait().expect("child"));

    assert_eq!(status.code(), Some(130));
    assert!(
        interrupted.elapsed() < Duration::from_secs(20),
        "{:?}",
        interrupted.elapsed()
    );
    assert_eq!(names(&out), ["1.2.3"]);
    assert_whole(&out, "1.2.3");
}
