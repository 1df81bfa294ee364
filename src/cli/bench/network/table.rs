//! The figures as a person reads them.

use super::{Layer, Report};
use std::fmt::{Display, Formatter, Result};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (network, peak) = (&self.network, &self.peak);
        let [z, y, x] = network.size;
        writeln!(
            f,
            "hilum {}: {} on a patch of {z} × {y} × {x} voxels, median of {} run(s)",
            self.version, network.name, network.runs
        )?;
        writeln!(
            f,
            "on {}, {} thread(s), {}",
            self.device, self.threads, self.instructions
        )?;
        writeln!(
            f,
            "at most {:.0} GFLOP/s of multiply-adds in registers, {:.1} GB/s copied (read and written)\n",
            peak.fma_gflop_per_s, peak.copy_gb_per_s
        )?;
        writeln!(
            f,
            "{:<13}{:>11}{:>8}{:>16}{:>9}{:>10}{:>9}{:>8}{:>9}",
            "layer", "channels", "kernel", "output", "ms", "GFLOP/s", "of peak", "GB/s", "of copy"
        )?;
        self.layers.iter().try_for_each(|layer| line(f, layer))?;
        writeln!(
            f,
            "{:<48}{:>9.2}{:>10.1}{:>8.1}%",
            format!("all, {:.1} GFLOP", network.gflop),
            network.median_ms,
            network.gflop_per_s,
            network.share_of_peak * 100.0
        )?;
        if let Some(ms) = network.median_cpu_ms {
            writeln!(f, "\nCPU time of all threads {ms:.1} ms a run")?;
        }
        if let Some(mib) = self.peak_memory_mib {
            writeln!(f, "peak memory {mib} MiB (this process)")?;
        }
        Ok(())
    }
}

fn line(f: &mut Formatter<'_>, layer: &Layer) -> Result {
    let shape = &layer.shape;
    let [z, y, x] = shape.size_out;
    let [kz, ky, kx] = shape.kernel;
    writeln!(
        f,
        "{:<13}{:>11}{:>8}{:>16}{:>9.2}{:>10.1}{:>8.1}%{:>8.1}{:>8.1}%",
        shape.name,
        format!("{} → {}", shape.channels_in, shape.channels_out),
        format!("{kz}×{ky}×{kx}"),
        format!("{z} × {y} × {x}"),
        layer.ms,
        layer.gflop_per_s,
        layer.share_of_peak * 100.0,
        layer.gb_per_s,
        layer.share_of_copy * 100.0
    )
}
