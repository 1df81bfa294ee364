//! What this CPU could do at most, to compare with.

use super::isa::InstructionSet;
use super::lanes::{LANES, Lanes};
use super::simd::{Job, Simd};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};
use std::hint::black_box;

/// Long enough that the system has given every thread a core of its own.
const STEPS: usize = 1 << 23;
/// Sums of one turn.
const SUMS: usize = 12;
/// Values that a thread copies at a time.
const COPIED: usize = 1 << 18;

/// Keeps every thread at multiply-adds in registers; returns how many floating-point operations that were.
pub fn multiply_adds(set: InstructionSet) -> f64 {
    // Each thread once: one that wakes late would find its share done by another.
    let threads = rayon::broadcast(|_| set.run(InRegisters)).len();
    (2 * threads * STEPS * SUMS * LANES) as f64
}

/// Copies `from` to `to` on every thread; returns how many bytes were read and written, together.
///
/// # Panics
/// Where the lengths differ.
pub fn copy(from: &[f32], to: &mut [f32]) -> f64 {
    assert_eq!(from.len(), to.len());
    let parts = from.par_chunks(COPIED).zip(to.par_chunks_mut(COPIED));
    parts.for_each(|(from, to)| to.copy_from_slice(from));
    (2 * size_of_val(from)) as f64
}

struct InRegisters;

impl Job for InRegisters {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let factor = simd.splat(black_box(0.999));
        let mut sums = [simd.splat(1.0); SUMS];
        // As many at once as the kernels keep in registers.
        for sums in sums.chunks_mut(S::ACCUMULATORS.min(SUMS)) {
            match sums.first_chunk_mut::<SUMS>() {
                Some(sums) => kept_busy(simd, factor, sums),
                None => match sums.first_chunk_mut::<6>() {
                    Some(sums) => kept_busy(simd, factor, sums),
                    None => {
                        let (pairs, _) = sums.as_chunks_mut::<2>();
                        for pair in pairs {
                            kept_busy(simd, factor, pair);
                        }
                    }
                },
            }
        }
        let mut all = Lanes::ZERO;
        for sum in sums {
            simd.store(&mut all, sum);
            black_box(&all);
        }
    }
}

#[inline(always)]
fn kept_busy<S: Simd, const SUMS: usize>(simd: S, factor: S::Block, sums: &mut [S::Block; SUMS]) {
    let mut own = *sums;
    for _ in 0..STEPS {
        for sum in &mut own {
            *sum = simd.mul_add(*sum, factor, factor);
        }
    }
    *sums = own;
}
