//! What each layer of a network has to do at a size, for those who measure it.

use super::error::Error;
use super::layers::{Activation, Layers, Step};
use serde::{Deserialize, Serialize};

/// A layer at one size of its input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerShape {
    /// As the keys of `weights.safetensors` begin: `encoder.STAGE.CONV`, `upsample.N`, `decoder.N.CONV`, `head`. The layers of
    /// residual blocks are numbered as they run.
    pub name: String,
    /// Channels that it reads, of all its inputs.
    pub channels_in: usize,
    /// Channels that it gives.
    pub channels_out: usize,
    /// Kernel along z, y, x.
    pub kernel: [usize; 3],
    /// Stride along z, y, x; an upsampling layer enlarges its input by it.
    pub stride: [usize; 3],
    /// Voxels of its output along z, y, x.
    pub size_out: [usize; 3],
    /// Multiplications and additions of its convolution.
    pub flop: f64,
    /// Bytes of its inputs, weights and output in `f32`, each once.
    pub bytes: f64,
}

impl Layers {
    /// Every layer for a patch of `size` voxels `[z, y, x]`, in the order in which they run.
    ///
    /// # Errors
    /// [`Error::PatchSize`] where the strides do not divide `size`.
    pub fn shapes(&self, size: [usize; 3]) -> Result<Vec<LayerShape>, Error> {
        let multiple = self.total_stride();
        let fits = |axis: usize| size[axis] > 0 && size[axis].is_multiple_of(multiple[axis]);
        if ![0, 1, 2].into_iter().all(fits) {
            return Err(Error::PatchSize { size, multiple });
        }
        let mut sizes = vec![size];
        let mut names = Names::default();
        let shape = |(number, step): (usize, &Step)| {
            let size_in = sizes[step.inputs[0].0];
            let size_out = step.size_out(size_in);
            sizes.push(size_out);
            let shape = self.shape(number, step, [size_in, size_out]);
            let head = number + 1 == self.steps.len();
            LayerShape {
                name: names.next(step, head),
                ..shape
            }
        };
        Ok(self.steps.iter().enumerate().map(shape).collect())
    }

    fn shape(
        &self,
        number: usize,
        step: &Step,
        [size_in, size_out]: [[usize; 3]; 2],
    ) -> LayerShape {
        let conv = step.conv();
        let kernel = conv.map_or([1; 3], |conv| conv.params().kernel);
        let weights = conv.map_or(0, |conv| conv.params().weights.len());
        let voxels = |size: [usize; 3]| size.iter().product::<usize>();
        let channels = step.inputs.iter().map(|input| self.channels[input.0]);
        let channels_in: usize = channels.sum();
        let channels_out = self.channels[number + 1];
        let positions = voxels(if step.is_transposed() {
            size_in
        } else {
            size_out
        });
        let values = channels_in * voxels(size_in) + channels_out * voxels(size_out);
        LayerShape {
            name: String::new(),
            channels_in,
            channels_out,
            kernel,
            stride: step.stride(),
            size_out,
            flop: 2.0 * positions as f64 * weights as f64,
            bytes: (size_of::<f32>() * (values + weights)) as f64,
        }
    }

    /// What the size of a patch must be a multiple of.
    fn total_stride(&self) -> [usize; 3] {
        let mut strides = vec![[1; 3]];
        for step in &self.steps {
            let (before, own) = (strides[step.inputs[0].0], step.stride());
            strides.push([0, 1, 2].map(|axis| match step.is_transposed() {
                true => before[axis] / own[axis],
                false => before[axis] * own[axis],
            }));
        }
        [0, 1, 2].map(|axis| strides.iter().map(|s| s[axis]).max().unwrap_or(1))
    }
}

impl Step {
    fn size_out(&self, size: [usize; 3]) -> [usize; 3] {
        let stride = self.stride();
        [0, 1, 2].map(|axis| match self.is_transposed() {
            true => size[axis] * stride[axis],
            false => size[axis] / stride[axis],
        })
    }
}

/// Counts stages: a strided convolution begins one of the encoder, an upsampling layer one of the decoder.
#[derive(Default)]
struct Names {
    downs: usize,
    /// What the last strided convolution read: the branches of a residual block read the same.
    above: Option<Activation>,
    ups: usize,
    convs: usize,
}

impl Names {
    fn next(&mut self, step: &Step, head: bool) -> String {
        if head {
            return "head".into();
        }
        if step.is_transposed() {
            (self.ups, self.convs) = (self.ups + 1, 0);
            return format!("upsample.{}", self.ups - 1);
        }
        if step.stride() != [1; 3] && self.above != Some(step.inputs[0]) {
            self.above = Some(step.inputs[0]);
            (self.downs, self.convs) = (self.downs + 1, 0);
        }
        let conv = self.convs;
        self.convs += 1;
        match self.ups {
            0 => format!("encoder.{}.{conv}", self.downs),
            ups => format!("decoder.{}.{conv}", ups - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random;

    #[test]
    fn layers_are_named_and_counted_as_they_run() {
        let layers = random::unet(&[4, 6], 3);
        let shapes = layers.shapes([4, 8, 16]).expect("fits");
        let names: Vec<&str> = shapes.iter().map(|s| s.name.as_str()).collect();
        let encoder = ["encoder.0.0", "encoder.0.1", "encoder.1.0", "encoder.1.1"];
        let decoder = ["upsample.0", "decoder.0.0", "decoder.0.1", "head"];
        assert_eq!(names, [encoder, decoder].concat());
        let [down, up, joined] = [&shapes[2], &shapes[4], &shapes[5]];
        assert_eq!(down.size_out, [2, 4, 8]);
        assert_eq!(up.size_out, [4, 8, 16]);
        assert_eq!([joined.channels_in, joined.channels_out], [8, 4]);
        let voxels = 4.0 * 8.0 * 16.0;
        let flop = [down, up, joined].map(|shape| shape.flop / voxels);
        let by_hand = [4 * 6 * 27 * 2 / 8, 6 * 4 * 2, 8 * 4 * 27 * 2].map(f64::from);
        assert_eq!(flop.map(f64::to_bits), by_hand.map(f64::to_bits));
        let bytes = 4.0 * (8.0 * voxels + 4.0 * voxels + f64::from(8 * 4 * 27));
        assert_eq!(joined.bytes.to_bits(), bytes.to_bits());
    }

    #[test]
    fn a_patch_that_the_strides_do_not_divide_is_refused_with_what_would_do() {
        let layers = random::unet(&[2, 3, 4], 1);
        for size in [[8, 8, 6], [0, 8, 8]] {
            let refused = layers.shapes(size).expect_err("no multiple");
            assert_eq!(refused.code(), "patch-size");
            assert!(refused.to_string().contains("[4, 4, 4]"), "{refused}");
        }
    }
}
