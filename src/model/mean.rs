//! The mean of an ensemble's logits.

use crate::gpu::{self, Access, Binding, Dispatch, Extent, Kernel, Pass, Storage, Variant, params};

params! {
    /// Mirrors `Params` in `shaders/mean.wgsl`.
    struct Params {
        quads: u32,
        number: u32,
        _pad0: u32,
        _pad1: u32,
    }
}

/// `shaders/mean.wgsl`
pub(super) static KERNEL: Kernel = Kernel {
    label: "mean",
    source: concat!(
        include_str!("../../shaders/shared/grid.wgsl"),
        include_str!("../../shaders/mean.wgsl"),
    ),
    constants: &[],
    unchecked: false,
    entry_point: "main",
    workgroup_size: [256, 1, 1],
    params: Params::LAYOUT,
    buffers: &[Access::Read, Access::ReadWrite],
};

/// Channels of one quad.
const QUAD: usize = 4;

/// Records taking the logits of network `number`, counted from 1, into the mean of those before it.
///
/// # Errors
/// As [`Dispatch::new`].
pub(super) fn record(
    pass: &mut Pass<'_>,
    (logits, storage): (Binding<'_>, Storage),
    mean: Binding<'_>,
    number: usize,
) -> Result<(), gpu::Error> {
    let quad_bytes = (QUAD * storage.bytes()) as u64;
    let quads = usize::try_from(mean.size_bytes() / quad_bytes).unwrap_or(usize::MAX);
    let params = Params {
        // A binding holds fewer values than 32 bits number.
        quads: u32::try_from(quads).unwrap_or(u32::MAX),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        _pad0: 0,
        _pad1: 0,
    };
    let variant = Variant {
        storage,
        constants: Vec::new(),
    };
    let (gpu, extent) = (pass.gpu(), Extent::Linear(quads));
    let buffers = [logits, mean];
    pass.run(&Dispatch::new(
        gpu,
        (&KERNEL, &variant),
        &params,
        &buffers,
        extent,
    )?);
    Ok(())
}

/// The definition: each network in turn moves the mean by its share. The shader's division may differ in the last bits.
pub(super) fn reference(networks: impl IntoIterator<Item = Vec<f32>>) -> Vec<f32> {
    let mut networks = networks.into_iter();
    let mut mean = networks.next().unwrap_or_default();
    for (before, logits) in (1u16..).zip(networks) {
        let number = f32::from(before) + 1.0;
        let pairs = mean.iter_mut().zip(logits);
        pairs.for_each(|(mean, logit)| *mean += (logit - *mean) / number);
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::for_tests;
    use crate::model::largest_difference;

    #[test]
    fn every_network_counts_as_much_as_the_others() {
        let networks = [vec![1.0, 5.0], vec![2.0, -1.0], vec![6.0, 2.0]];
        assert_eq!(reference(networks), [3.0, 2.0]);
        assert_eq!(reference([vec![0.1]]), [0.1]);
    }

    #[test]
    fn the_shader_computes_what_the_reference_defines() {
        let Some(gpu) = for_tests() else { return };
        let networks = [0, 1, 2].map(|network| -> Vec<f32> {
            let value = |i: u16| f32::from((i * 7 + network * 5) % 31) * 0.37 - 4.0;
            (0..1200).map(value).collect()
        });
        let upload = |values: &Vec<f32>| gpu.upload("logits", values).expect("uploads");
        let buffers = networks.each_ref().map(upload);
        let mut pass = Pass::new(&gpu).expect("pass");
        for number in [2, 3] {
            let logits = (buffers[number - 1].binding(), Storage::F32);
            record(&mut pass, logits, buffers[0].binding(), number).expect("records");
        }
        pass.submit().expect("runs");
        let found = gpu.download(&buffers[0]).expect("downloads");
        assert!(largest_difference(&found, &reference(networks)) < 1e-5);
    }
}
