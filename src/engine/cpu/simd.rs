//! Sixteen lanes of arithmetic on each instruction set.
//!
//! A value of a set's type exists only where the CPU was seen to have that set, so its methods are safe. They are
//! inlined into [`Simd::run`], whose body the compiler translates for the set.

#![expect(unsafe_code, reason = "intrinsics")]

use super::lanes::{LANES, Lanes};

/// Arithmetic on one block of channels.
pub(super) trait Simd: Copy {
    /// Sixteen lanes in registers.
    type Block: Copy;
    /// Blocks that may be summed at once without running out of registers.
    const ACCUMULATORS: usize;

    /// Runs a job that is translated for this instruction set.
    fn run<J: Job>(self, job: J);
    fn load(self, from: &Lanes) -> Self::Block;
    fn store(self, to: &mut Lanes, value: Self::Block);
    fn splat(self, value: f32) -> Self::Block;
    /// `a * b + c`.
    fn mul_add(self, a: Self::Block, b: Self::Block, c: Self::Block) -> Self::Block;
    fn add(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn sub(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn mul(self, a: Self::Block, b: Self::Block) -> Self::Block;
    /// The larger; NaN where both are.
    fn max(self, a: Self::Block, b: Self::Block) -> Self::Block;
}

/// Work that is the same on every instruction set.
pub(super) trait Job {
    /// Does it; to be marked `#[inline(always)]`.
    fn call<S: Simd>(self, simd: S);
}

/// Implements [`Simd`] for a type whose block is an array of registers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! registers {
    (
        $(#[$meta:meta])* $name:ident($feature:literal, $check:expr),
        [$register:ty; $count:literal], $accumulators:literal,
        $load:path, $store:path, $splat:path, $add:path, $sub:path, $mul:path, $max:path,
        |$a:ident, $b:ident, $c:ident| $mul_add:expr
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name(());

        impl $name {
            /// Proof that this CPU has the set.
            pub(super) fn detect() -> Option<Self> {
                $check.then_some(Self(()))
            }
        }

        impl Simd for $name {
            type Block = [$register; $count];
            const ACCUMULATORS: usize = $accumulators;

            #[inline]
            fn run<J: Job>(self, job: J) {
                #[target_feature(enable = $feature)]
                fn translated<J: Job>(simd: $name, job: J) {
                    job.call(simd);
                }
                // SAFETY: `self` exists only where the CPU has the set.
                unsafe { translated(self, job) }
            }
            #[inline(always)]
            fn load(self, from: &Lanes) -> Self::Block {
                // SAFETY: `self` proves the set; the registers together read the 16 lanes behind the reference.
                std::array::from_fn(|i| unsafe { $load(from.0.as_ptr().add(i * LANES / $count)) })
            }
            #[inline(always)]
            fn store(self, to: &mut Lanes, value: Self::Block) {
                for (i, register) in value.into_iter().enumerate() {
                    // SAFETY: `self` proves the set; the registers together write the 16 lanes behind the reference.
                    unsafe { $store(to.0.as_mut_ptr().add(i * LANES / $count), register) };
                }
            }
            #[inline(always)]
            fn splat(self, value: f32) -> Self::Block {
                // SAFETY: `self` proves the set.
                [unsafe { $splat(value) }; $count]
            }
            #[inline(always)]
            fn mul_add(self, a: Self::Block, b: Self::Block, c: Self::Block) -> Self::Block {
                std::array::from_fn(|i| {
                    let ($a, $b, $c) = (a[i], b[i], c[i]);
                    // SAFETY: `self` proves the set.
                    unsafe { $mul_add }
                })
            }
            #[inline(always)]
            fn add(self, a: Self::Block, b: Self::Block) -> Self::Block {
                // SAFETY: `self` proves the set.
                std::array::from_fn(|i| unsafe { $add(a[i], b[i]) })
            }
            #[inline(always)]
            fn sub(self, a: Self::Block, b: Self::Block) -> Self::Block {
                // SAFETY: `self` proves the set.
                std::array::from_fn(|i| unsafe { $sub(a[i], b[i]) })
            }
            #[inline(always)]
            fn mul(self, a: Self::Block, b: Self::Block) -> Self::Block {
                // SAFETY: `self` proves the set.
                std::array::from_fn(|i| unsafe { $mul(a[i], b[i]) })
            }
            #[inline(always)]
            fn max(self, a: Self::Block, b: Self::Block) -> Self::Block {
                // SAFETY: `self` proves the set.
                std::array::from_fn(|i| unsafe { $max(a[i], b[i]) })
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as x86;

#[cfg(target_arch = "x86_64")]
registers!(
    /// AVX-512F: one register a block, 32 registers.
    Avx512("avx512f", std::is_x86_feature_detected!("avx512f")),
    [x86::__m512; 1], 24,
    x86::_mm512_loadu_ps, x86::_mm512_storeu_ps, x86::_mm512_set1_ps,
    x86::_mm512_add_ps, x86::_mm512_sub_ps, x86::_mm512_mul_ps, x86::_mm512_max_ps,
    |a, b, c| x86::_mm512_fmadd_ps(a, b, c)
);

#[cfg(target_arch = "x86_64")]
registers!(
    /// AVX2 with FMA: two registers a block, 16 registers.
    Avx2(
        "avx2,fma",
        std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
    ),
    [x86::__m256; 2], 6,
    x86::_mm256_loadu_ps, x86::_mm256_storeu_ps, x86::_mm256_set1_ps,
    x86::_mm256_add_ps, x86::_mm256_sub_ps, x86::_mm256_mul_ps, x86::_mm256_max_ps,
    |a, b, c| x86::_mm256_fmadd_ps(a, b, c)
);

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64 as arm;

#[cfg(target_arch = "aarch64")]
registers!(
    /// NEON: four registers a block, 32 registers. Tested under emulation, not yet run on such a CPU.
    Neon("neon", std::arch::is_aarch64_feature_detected!("neon")),
    [arm::float32x4_t; 4], 6,
    arm::vld1q_f32, arm::vst1q_f32, arm::vdupq_n_f32,
    arm::vaddq_f32, arm::vsubq_f32, arm::vmulq_f32, arm::vmaxq_f32,
    |a, b, c| arm::vfmaq_f32(c, a, b)
);

/// Asks for lanes that will be read soon; any address will do. Where stable Rust has no such instruction, nothing.
#[inline(always)]
pub(super) fn prefetch(from: *const Lanes) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that every x86-64 CPU knows; it reads nothing.
    unsafe {
        x86::_mm_prefetch::<{ x86::_MM_HINT_T0 }>(from.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Plain Rust, for every other CPU; multiplies and adds in two roundings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {
    type Block = [f32; LANES];
    const ACCUMULATORS: usize = 2;

    fn run<J: Job>(self, job: J) {
        job.call(self);
    }
    #[inline(always)]
    fn load(self, from: &Lanes) -> Self::Block {
        from.0
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes, value: Self::Block) {
        to.0 = value;
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::Block {
        [value; LANES]
    }
    #[inline(always)]
    fn mul_add(self, a: Self::Block, b: Self::Block, c: Self::Block) -> Self::Block {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn add(self, a: Self::Block, b: Self::Block) -> Self::Block {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::Block, b: Self::Block) -> Self::Block {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::Block, b: Self::Block) -> Self::Block {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn max(self, a: Self::Block, b: Self::Block) -> Self::Block {
        std::array::from_fn(|i| a[i].max(b[i]))
    }
}
