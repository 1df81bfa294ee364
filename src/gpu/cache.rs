//! Compiled kernels kept from one start to the next, in the user's cache folder.

#![expect(unsafe_code, reason = "the driver takes the file's bytes")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A larger file is none of ours.
const MAX_BYTES: u64 = 256 << 20;

/// The driver's cache, and the file that it came from and goes to when the GPU is closed.
#[derive(Debug)]
pub(super) struct Cache {
    driver: wgpu::PipelineCache,
    file: PathBuf,
    /// Whether something was compiled since it was read.
    grew: AtomicBool,
}

impl Cache {
    /// `None` where the adapter keeps nothing, or the user has no cache folder.
    pub(super) fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let name = wgpu::util::pipeline_cache_key(info)?;
        let file = dirs::cache_dir()?.join("hilum").join(name);
        let data = read(&file);
        // SAFETY: the file lies in the user's own folder and is written by `drop` below alone; wgpu and the driver
        // check its header and refuse what another device, driver or version wrote.
        let driver = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some("kernels"),
                data: data.as_deref(),
                fallback: true,
            })
        };
        Some(Self {
            driver,
            file,
            grew: AtomicBool::new(false),
        })
    }

    /// What a pipeline is compiled with, from now on kept.
    pub(super) fn driver(&self) -> &wgpu::PipelineCache {
        self.grew.store(true, Ordering::Relaxed);
        &self.driver
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if !self.grew.load(Ordering::Relaxed) {
            return;
        }
        let saved = self.driver.get_data().map(|data| write(&self.file, &data));
        if let Some(Err(error)) = saved {
            tracing::debug!(%error, "Compiled kernels could not be kept.");
        }
    }
}

fn read(file: &Path) -> Option<Vec<u8>> {
    let size = std::fs::metadata(file).ok()?.len();
    let data = (size <= MAX_BYTES).then(|| std::fs::read(file));
    data?.ok()
}

/// Under its name only when whole, so that two processes may end at once.
fn write(file: &Path, data: &[u8]) -> std::io::Result<()> {
    if std::fs::read(file).is_ok_and(|kept| kept == data) {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut whole = tempfile::NamedTempFile::new_in(folder)?;
    whole.write_all(data)?;
    whole.as_file().sync_all()?;
    whole.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_replaces_what_was_there() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("below").join("kernels");
        assert_eq!(read(&file), None);
        for data in [&b"first"[..], b"second", b"second"] {
            write(&file, data).expect("writes");
            assert_eq!(read(&file).as_deref(), Some(data));
        }
        let left = std::fs::read_dir(folder.path().join("below")).expect("lists");
        assert_eq!(left.count(), 1, "no temporary file stays");
    }
}
