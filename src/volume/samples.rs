//! The memory of stored samples.

use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};

/// Less than this is not worth memory of its own, bytes.
const LARGE_BYTES: usize = 4 << 20;

/// 16-bit samples as the files hold them, `[z, y, x]`.
///
/// Those of a series take hundreds of MiB, and the first touch of each page of 4 KiB costs more than filling it. So they
/// lie, where the system has that, in pages of 2 MiB.
#[derive(Debug)]
pub struct Samples(Memory);

#[derive(Debug)]
enum Memory {
    Heap(Vec<u16>),
    Mapped(MmapMut),
}

impl Samples {
    /// So many zeros, which take no memory until they are written; none where the system has not so much.
    pub fn try_zeroed(count: usize) -> Option<Self> {
        let bytes = count.checked_mul(size_of::<u16>())?;
        if bytes < LARGE_BYTES {
            let zeros = bytemuck::allocation::try_zeroed_slice_box(count).ok()?;
            return Some(Self::from(zeros.into_vec()));
        }
        let memory = MmapMut::map_anon(bytes).ok()?;
        // Advice that is not taken is no failure.
        #[cfg(target_os = "linux")]
        memory.advise(memmap2::Advice::HugePage).unwrap_or_default();
        Some(Self(Memory::Mapped(memory)))
    }
}

impl Deref for Samples {
    type Target = [u16];

    fn deref(&self) -> &[u16] {
        match &self.0 {
            Memory::Heap(samples) => samples,
            Memory::Mapped(memory) => bytemuck::cast_slice(memory),
        }
    }
}

impl DerefMut for Samples {
    fn deref_mut(&mut self) -> &mut [u16] {
        match &mut self.0 {
            Memory::Heap(samples) => samples,
            Memory::Mapped(memory) => bytemuck::cast_slice_mut(memory),
        }
    }
}

impl From<Vec<u16>> for Samples {
    fn from(samples: Vec<u16>) -> Self {
        Self(Memory::Heap(samples))
    }
}

impl FromIterator<u16> for Samples {
    fn from_iter<I: IntoIterator<Item = u16>>(samples: I) -> Self {
        Self::from(samples.into_iter().collect::<Vec<u16>>())
    }
}

impl Clone for Samples {
    fn clone(&self) -> Self {
        Self::from(self.to_vec())
    }
}

impl AsRef<[u16]> for Samples {
    fn as_ref(&self) -> &[u16] {
        self
    }
}

impl<T: AsRef<[u16]>> PartialEq<T> for Samples {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_zero_and_keep_what_is_written_wherever_they_lie() {
        for count in [0, 1, 1000, LARGE_BYTES / 2, LARGE_BYTES + 1] {
            let mut samples = Samples::try_zeroed(count).unwrap();
            assert_eq!(samples, vec![0; count]);
            samples.fill(7);
            assert_eq!(samples.clone(), vec![7; count]);
        }
    }

    #[test]
    fn more_than_any_machine_has_is_no_panic() {
        assert!(Samples::try_zeroed(usize::MAX / 4).is_none());
        assert!(Samples::try_zeroed(usize::MAX).is_none());
    }
}
