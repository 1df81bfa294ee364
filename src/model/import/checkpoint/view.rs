//! A tensor as a view of a storage: where its numbers lie, and in which order they stand.

use super::global::Dtype;
use super::pickle::{Storage, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Dtype as FileDtype, TensorInfo};

/// A tensor of a `.safetensors` file, as a view of its own bytes.
pub(super) fn contiguous(info: &TensorInfo) -> Tensor {
    let dtype = match info.dtype {
        FileDtype::F16 => Dtype::F16,
        FileDtype::BF16 => Dtype::BF16,
        FileDtype::F32 => Dtype::F32,
        FileDtype::F64 => Dtype::F64,
        _ => Dtype::Other,
    };
    let (start, end) = info.data_offsets;
    let shape: Vec<u64> = info.shape.iter().map(|n| *n as u64).collect();
    Tensor {
        storage: Storage {
            key: String::new(),
            dtype,
            elements: end as u64 / dtype.bytes(),
        },
        offset: start as u64 / dtype.bytes(),
        strides: row_major(&shape),
        shape,
    }
}

/// Strides of a tensor whose last axis is fastest, in elements.
fn row_major(shape: &[u64]) -> Vec<u64> {
    let below = |axis: usize| {
        shape[axis + 1..]
            .iter()
            .fold(1u64, |n, m| n.saturating_mul(*m))
    };
    (0..shape.len()).map(below).collect()
}

/// Elements from a view's first to its last; nothing where it leaves its storage or has a number twice.
pub(super) fn span(tensor: &Tensor) -> Option<u64> {
    let count = tensor
        .shape
        .iter()
        .try_fold(1u64, |n, m| n.checked_mul(*m))?;
    let mut axes = tensor.shape.iter().zip(&tensor.strides);
    let last = axes.try_fold(0u64, |last, (n, stride)| {
        last.checked_add(n.checked_sub(1)?.checked_mul(*stride)?)
    })?;
    let span = last.checked_add(1)?;
    let end = tensor.offset.checked_add(span)?;
    (count <= span && end <= tensor.storage.elements).then_some(span)
}

/// Numbers of 32 bits from bytes.
pub(super) fn append(numbers: &mut Vec<f32>, bytes: &[u8], dtype: Dtype) {
    match dtype {
        Dtype::F16 => numbers.extend(chunks(bytes).map(|b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => numbers.extend(chunks(bytes).map(|b| bf16::from_le_bytes(b).to_f32())),
        Dtype::F32 => numbers.extend(chunks(bytes).map(f32::from_le_bytes)),
        Dtype::F64 => numbers.extend(chunks(bytes).map(|b| narrow(f64::from_le_bytes(b)))),
        Dtype::Other => {}
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "PyTorch rounds so where it loads double weights into a network"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// The numbers of a view, the last axis fastest.
pub(super) fn in_order(numbers: Vec<f32>, tensor: &Tensor) -> Vec<f32> {
    let Tensor { shape, strides, .. } = tensor;
    let mut axes = shape.iter().zip(strides).zip(row_major(shape));
    if axes.all(|((n, stride), usual)| *n == 1 || *stride == usual) {
        return numbers;
    }
    let count: u64 = shape.iter().product();
    let place = |index: u64| {
        let axes = row_major(shape).into_iter().zip(shape).zip(strides);
        axes.map(|((step, n), stride)| index / step % n * stride)
            .sum::<u64>()
    };
    let number = |index| {
        usize::try_from(place(index))
            .ok()
            .and_then(|at: usize| numbers.get(at))
    };
    (0..count)
        .map(|index| number(index).copied().unwrap_or(f32::NAN))
        .collect()
}
