//! What CPU this is, for provenance and `hilum devices`.

/// The processor's own name, or the architecture where the system does not tell.
pub fn model_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

/// Seconds that the threads of this process have computed so far, those that have ended left out; `None` where the system
/// does not tell.
pub fn busy_s() -> Option<f64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let ns = threads.map(|thread| {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    ns.sum::<Option<f64>>().map(|ns| ns * 1e-9)
}

/// Largest resident memory of this process so far, bytes; `None` where the system does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
