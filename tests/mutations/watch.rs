//! What is running now: a watchdog for hangs, a record of panics, and the inputs that went wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// After this, by the clock, the input is kept and the program ended: nothing else would.
const HANG: Duration = Duration::from_secs(300);

struct Running {
    target: &'static str,
    data: Vec<u8>,
    since: Option<Instant>,
}

static RUNNING: Mutex<Running> = Mutex::new(Running {
    target: "",
    data: Vec::new(),
    since: None,
});

/// Panics by place, those that a guard caught among them.
static PANICS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the watchdog and records panics instead of printing those of the program itself; once.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if lock(&RUNNING).since.is_none() {
                return usual(info);
            }
            let place = info
                .location()
                .map_or(String::new(), |at| format!("{}:{}", at.file(), at.line()));
            *lock(&PANICS).entry(place.clone()).or_default() += 1;
            *lock(&LAST_PANIC) = place;
        }));
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let running = lock(&RUNNING);
                if running.since.is_some_and(|since| since.elapsed() > HANG) {
                    let path = keep(running.target, &running.data);
                    println!("DEFECT {}: hangs; see {}", running.target, path.display());
                    std::process::exit(1);
                }
            }
        });
    });
}

/// Time that the processor spent on this thread; where the system does not tell, time by the clock.
pub(crate) fn processor_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = schedstat.split(' ').next().and_then(|n| n.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// An input starts.
pub(crate) fn begin(target: &'static str, data: &[u8]) {
    let mut running = lock(&RUNNING);
    running.target = target;
    running.data.clear();
    running.data.extend_from_slice(data);
    running.since = Some(Instant::now());
}

/// The input ended, one way or another.
pub(crate) fn end() {
    lock(&RUNNING).since = None;
}

/// Where the last panic was.
pub(crate) fn last_panic() -> String {
    lock(&LAST_PANIC).clone()
}

/// Prints where panics were, of which most are a decoder's that the reader turns into a refusal.
pub(crate) fn print_caught() {
    for (place, count) in lock(&PANICS).iter() {
        println!("{count:>9} panics at {place}");
    }
}

/// Writes an input where a person can find it.
pub(crate) fn keep(target: &str, data: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join("hilum-mutations");
    let sum = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
    });
    let path = folder.join(format!("{target}-{sum:016x}"));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, data));
    written.map_or_else(|e| PathBuf::from(format!("nowhere ({e})")), |()| path)
}
