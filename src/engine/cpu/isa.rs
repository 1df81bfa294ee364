//! Which vector instructions the kernels run on, chosen once.

#[cfg(target_arch = "aarch64")]
use super::simd::Neon;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Job, Portable, Simd};
use crate::config::Instructions;
use crate::engine::Error;

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

    /// What the configuration asks for.
    ///
    /// # Errors
    /// [`Error::InstructionsMissing`] where this CPU lacks it.
    pub fn select(wanted: Instructions) -> Result<Self, Error> {
        let sets = Self::available();
        let chosen = match wanted {
            Instructions::Auto => sets.first(),
            _ => sets.iter().find(|set| set.key() == wanted),
        };
        let names = || sets.iter().map(|set| set.key().name());
        chosen.copied().ok_or_else(|| Error::InstructionsMissing {
            wanted: wanted.name(),
            available: names().collect::<Vec<_>>().join(", "),
        })
    }

    /// What the configuration calls it.
    fn key(self) -> Instructions {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => Instructions::Avx512,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => Instructions::Avx2,
            #[cfg(target_arch = "aarch64")]
            Set::Neon(_) => Instructions::Neon,
            Set::Portable(_) => Instructions::Portable,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_that_is_there_can_be_asked_for_by_the_configurations_name() {
        for set in InstructionSet::available() {
            let selected = InstructionSet::select(set.key()).expect("available");
            assert_eq!(selected.name(), set.name());
        }
        let auto = InstructionSet::select(Instructions::Auto).expect("always");
        assert_eq!(auto.name(), InstructionSet::detect().name());
    }

    #[test]
    fn a_set_of_another_cpu_is_refused_naming_those_that_there_are() {
        let foreign = match cfg!(target_arch = "x86_64") {
            true => Instructions::Neon,
            false => Instructions::Avx2,
        };
        let refused = InstructionSet::select(foreign).expect_err("another CPU's");
        assert_eq!(refused.code(), "instructions-missing");
        let text = refused.to_string();
        assert!(
            text.contains(foreign.name()) && text.ends_with("portable"),
            "{text}"
        );
    }
}
