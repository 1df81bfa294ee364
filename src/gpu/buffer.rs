//! Typed buffers on the GPU: upload, download, sizes checked against the device's limits.

use super::{Error, Gpu};
use bytemuck::Pod;
use std::marker::PhantomData;

/// `len` values of `T` on the GPU, padded to whole 32-bit words.
#[derive(Debug)]
pub struct Buffer<T> {
    raw: wgpu::Buffer,
    len: usize,
    element: PhantomData<T>,
}

/// A piece of GPU memory for a kernel to read or write.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    pub(super) buffer: &'a wgpu::Buffer,
    pub(super) offset_bytes: u64,
    pub(super) size_bytes: u64,
}

impl Binding<'_> {
    /// Its length.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

impl<T: Pod> Buffer<T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole buffer.
    pub fn binding(&self) -> Binding<'_> {
        Binding {
            buffer: &self.raw,
            offset_bytes: 0,
            size_bytes: self.raw.size(),
        }
    }

    /// `count` values from value `first` on; the dispatch refuses an offset that the device cannot bind.
    pub fn slice(&self, first: usize, count: usize) -> Binding<'_> {
        Binding {
            buffer: &self.raw,
            offset_bytes: (first * size_of::<T>()) as u64,
            size_bytes: padded_bytes::<T>(count),
        }
    }
}

const STORAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

impl Gpu {
    /// Copies values to the GPU. `what` names them in errors.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`], [`Error::OutOfMemory`].
    pub fn upload<T: Pod>(&self, what: &str, values: &[T]) -> Result<Buffer<T>, Error> {
        self.checked_bytes::<T>(what, values.len())?;
        let raw = self.filled(what, STORAGE, bytemuck::cast_slice(values))?;
        Ok(Buffer {
            raw,
            len: values.len(),
            element: PhantomData,
        })
    }

    /// A buffer of zeros.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`], [`Error::OutOfMemory`].
    pub fn zeroed<T: Pod>(&self, what: &str, len: usize) -> Result<Buffer<T>, Error> {
        let size = self.checked_bytes::<T>(what, len)?;
        let raw = self.scoped(what, |device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size,
                usage: STORAGE,
                mapped_at_creation: false,
            })
        })?;
        Ok(Buffer {
            raw,
            len,
            element: PhantomData,
        })
    }

    /// A buffer that a kernel is about to fill.
    ///
    /// Zeros, or all bits set (NaN as a float) after [`Gpu::with_poisoned_outputs`], so that tests see what a kernel left unwritten.
    ///
    /// # Errors
    /// [`Error::BufferTooLarge`], [`Error::OutOfMemory`].
    pub fn output<T: Pod>(&self, what: &str, len: usize) -> Result<Buffer<T>, Error> {
        if !self.poisons_outputs {
            return self.zeroed(what, len);
        }
        let size = self.checked_bytes::<u8>(what, size_of::<T>() * len)?;
        let bytes = vec![0xFF_u8; usize::try_from(size).unwrap_or(0)];
        let raw = self.filled(what, STORAGE, &bytes)?;
        Ok(Buffer {
            raw,
            len,
            element: PhantomData,
        })
    }

    /// Replaces a buffer's content, before everything submitted later.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] for the staging copy.
    ///
    /// # Panics
    /// Where `values` are not as many as the buffer holds.
    pub fn write<T: Pod>(&self, buffer: &Buffer<T>, values: &[T]) -> Result<(), Error> {
        assert_eq!(values.len(), buffer.len);
        self.scoped("writing", |_| {
            let bytes = bytemuck::cast_slice(values);
            self.shared.queue.write_buffer(&buffer.raw, 0, bytes);
        })
    }

    /// Copies a buffer back, after everything submitted before.
    ///
    /// # Errors
    /// As [`Gpu::wait`]; and [`Error::OutOfMemory`] for the staging copy.
    pub fn download<T: Pod>(&self, buffer: &Buffer<T>) -> Result<Vec<T>, Error> {
        let mut values = self.download_binding(buffer.binding())?;
        values.truncate(buffer.len);
        Ok(values)
    }

    /// Copies the memory behind a binding back, after everything submitted before.
    ///
    /// # Errors
    /// As [`Gpu::download`].
    pub fn download_binding<T: Pod>(&self, from: Binding<'_>) -> Result<Vec<T>, Error> {
        let what = "reading back";
        let (sender, receiver) = std::sync::mpsc::channel();
        let staging = self.scoped(what, |device| {
            let staging = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size: from.size_bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder =
                device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(
                from.buffer,
                from.offset_bytes,
                &staging,
                0,
                from.size_bytes,
            );
            self.shared.queue.submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., move |result| {
                // Fails only when an error below ended the wait for it.
                sender.send(result).ok();
            });
            staging
        })?;
        self.wait()?;
        let lost = |reason: String| Error::Lost { reason };
        let mapped = receiver.recv().map_err(|e| lost(e.to_string()))?;
        mapped.map_err(|e| lost(e.to_string()))?;
        let view = staging
            .get_mapped_range(..)
            .map_err(|e| lost(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..]))
    }

    /// Bytes of `len` values, padded; checked against what the device takes in one piece.
    pub(super) fn checked_bytes<T>(&self, what: &str, len: usize) -> Result<u64, Error> {
        let bytes = padded_bytes::<T>(len);
        let limit_bytes = self.binding_limit_bytes;
        if bytes > limit_bytes {
            return Err(Error::BufferTooLarge {
                what: what.to_string(),
                bytes,
                limit_bytes,
            });
        }
        Ok(bytes)
    }

    /// A buffer of `bytes`, padded with zeros.
    pub(super) fn filled(
        &self,
        what: &str,
        usage: wgpu::BufferUsages,
        bytes: &[u8],
    ) -> Result<wgpu::Buffer, Error> {
        let size = padded_bytes::<u8>(bytes.len());
        let written = self.scoped(what, |device| {
            let raw = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size,
                usage,
                mapped_at_creation: true,
            });
            let mut view = raw.get_mapped_range_mut(..)?;
            view.slice(..bytes.len()).copy_from_slice(bytes);
            drop(view);
            raw.unmap();
            Ok(raw)
        })?;
        written.map_err(|e: wgpu::MapRangeError| Error::Rejected {
            what: what.to_string(),
            reason: e.to_string(),
        })
    }
}

/// Bindings are whole 32-bit words and never empty.
fn padded_bytes<T>(len: usize) -> u64 {
    (len * size_of::<T>()).next_multiple_of(4).max(4) as u64
}
