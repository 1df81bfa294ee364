//! Which vector instructions the kernels run on, chosen once.

#[cfg(target_arch = "aarch64")]
use super::simd::Neon;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Job, Portable, Simd};

/// Vector instructions that this CPU has.
#[derive(Debug, Clone, Copy)]
pub struct InstructionSet(Set);

#[derive(Debug, Clone, Copy)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

impl InstructionSet {
    /// Every set that this CPU has, the fastest first; the last is plain Rust.
    pub fn available() -> Vec<Self> {
        let sets = [
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Set::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Set::Avx2),
            #[cfg(target_arch = "aarch64")]
            Neon::detect().map(Set::Neon),
            Some(Set::Portable(Portable)),
        ];
        sets.into_iter().flatten().map(Self).collect()
    }

    /// The fastest set that this CPU has.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// As reports and `hilum devices` call it.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "AVX2+FMA",
            #[cfg(target_arch = "aarch64")]
            Set::Neon(_) => "NEON",
            Set::Portable(_) => "portable",
        }
    }

    /// Blocks that a kernel may sum at once.
    pub(super) fn accumulators(self) -> usize {
        fn of<S: Simd>(_: S) -> usize {
            S::ACCUMULATORS
        }
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(simd) => of(simd),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(simd) => of(simd),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(simd) => of(simd),
            Set::Portable(simd) => of(simd),
        }
    }

    pub(super) fn run<J: Job>(self, job: J) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(simd) => simd.run(job),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(simd) => simd.run(job),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(simd) => simd.run(job),
            Set::Portable(simd) => simd.run(job),
        }
    }
}
