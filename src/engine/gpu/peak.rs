//! What a GPU could do at most, for benches: multiply-adds in registers, and copying memory.

use super::narrow;
use crate::gpu::{Access, Buffer, Dispatch, Error, Extent, Gpu, Kernel, Pass, Variant, params};
use std::time::Instant;

params! {
    /// Mirrors `Params` in `shaders/peak.wgsl`.
    struct Params {
        rounds: u32,
        factor: f32,
        summand: f32,
        _pad0: u32,
    }
}

params! {
    /// Mirrors `Params` in `shaders/copy.wgsl`.
    struct CopyParams {
        quads: u32,
        _pad0: u32,
        _pad1: u32,
        _pad2: u32,
    }
}

/// `shaders/peak.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "peak",
    source: include_str!("../../../shaders/peak.wgsl"),
    constants: &[],
    unchecked: true,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[Access::ReadWrite],
};

/// `shaders/copy.wgsl`
pub(super) static COPY: Kernel = Kernel {
    label: "copy",
    source: concat!(
        include_str!("../../../shaders/shared/grid.wgsl"),
        include_str!("../../../shaders/copy.wgsl"),
    ),
    constants: &[],
    unchecked: true,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: CopyParams::LAYOUT,
    buffers: &[Access::Read, Access::ReadWrite],
};

/// Workgroups of a run: some for each multiprocessor of the largest GPUs.
const GROUPS: usize = 2048;
/// Multiply-adds of an invocation in one round: eight strands of four.
const PER_ROUND: usize = 8 * 4;
/// A run shorter than that would measure how it is started.
const LEAST_S: f64 = 0.02;
/// Bytes copied at once, where a binding may hold them: more than caches do.
const COPIED_BYTES: u64 = 256 << 20;

/// Floating-point operations a second in registers, two for each multiply-add.
///
/// # Errors
/// As [`Gpu::wait`].
pub fn multiply_adds_per_s(gpu: &Gpu) -> Result<f64, Error> {
    let output = gpu.output("peak", 256 * GROUPS)?;
    let mut rounds = 64;
    loop {
        let seconds = timed(gpu, &multiply_adds(gpu, &output, (rounds, 1.0, 1e-3))?)?;
        if seconds >= LEAST_S {
            return Ok((2 * PER_ROUND * 256 * GROUPS * rounds) as f64 / seconds);
        }
        rounds *= 4;
    }
}

fn multiply_adds(
    gpu: &Gpu,
    output: &Buffer<[f32; 4]>,
    (rounds, factor, summand): (usize, f32, f32),
) -> Result<Dispatch, Error> {
    let params = Params {
        rounds: narrow(rounds),
        factor,
        summand,
        _pad0: 0,
    };
    let extent = Extent::Groups([output.len() / 256, 1, 1]);
    let kernel = (&KERNEL, &Variant::default());
    Dispatch::new(gpu, kernel, &params, &[output.binding()], extent)
}

/// Bytes a second that copying memory reads and writes.
///
/// # Errors
/// As [`Gpu::wait`].
pub fn copied_bytes_per_s(gpu: &Gpu) -> Result<f64, Error> {
    let bytes = COPIED_BYTES.min(gpu.binding_limit_bytes());
    let quads = usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<[f32; 4]>();
    let source = gpu.zeroed::<[f32; 4]>("copied", quads)?;
    let output = gpu.zeroed::<[f32; 4]>("a copy", quads)?;
    let copy = copy(gpu, &source, &output)?;
    let moved = 2.0 * (quads * size_of::<[f32; 4]>()) as f64;
    Ok(moved / timed(gpu, &copy)?)
}

fn copy(gpu: &Gpu, from: &Buffer<[f32; 4]>, to: &Buffer<[f32; 4]>) -> Result<Dispatch, Error> {
    let params = CopyParams {
        quads: narrow(from.len().min(to.len())),
        _pad0: 0,
        _pad1: 0,
        _pad2: 0,
    };
    let buffers = [from.binding(), to.binding()];
    let extent = Extent::Linear(from.len());
    Dispatch::new(gpu, (&COPY, &Variant::default()), &params, &buffers, extent)
}

/// Seconds of the second of two runs, the first of which touches the memory.
fn timed(gpu: &Gpu, dispatch: &Dispatch) -> Result<f64, Error> {
    let run = || {
        gpu.wait()?;
        let start = Instant::now();
        let mut pass = Pass::new(gpu)?;
        pass.run(dispatch);
        pass.submit()?;
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64())
    };
    run()?;
    run()
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_gpu;
    use super::*;

    #[test]
    fn what_is_timed_is_really_computed() {
        on_gpu(|gpu| {
            let output = gpu.output("sums", 512).expect("allocates");
            let dispatch = multiply_adds(gpu, &output, (10, 2.0, 1.0)).expect("compiles");
            assert!(timed(gpu, &dispatch).expect("runs") > 0.0);
            // x → 2 x + 1 ten times is 1024 x + 1023, summed over the strands 0 to 7.
            let expected = [1024.0 * 28.0 + 8.0 * 1023.0; 4];
            assert_eq!(
                gpu.download(&output).expect("downloads"),
                vec![expected; 512]
            );
        });
    }

    #[test]
    fn a_copy_is_whole() {
        on_gpu(|gpu| {
            let values: Vec<[f32; 4]> = (0..300u16).map(|i| [f32::from(i); 4]).collect();
            let from = gpu.upload("from", &values).expect("uploads");
            let to = gpu.output("to", 300).expect("allocates");
            assert!(timed(gpu, &copy(gpu, &from, &to).expect("compiles")).expect("runs") > 0.0);
            assert_eq!(gpu.download(&to).expect("downloads"), values);
        });
    }
}
