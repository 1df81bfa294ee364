//! Label maps of lesions and structures, one a series that a model ran on: the voxels that SEG holds, for programs that read NIfTI.

use super::finding::Findings;
use super::{Error, OutputFile, Status, StudyReport};
use crate::dicom::Series;
use crate::volume_file::encode_label_map;

/// `labels.nii.gz`, or `labels-1.nii.gz` and on where models ran on several series; all zero where nothing was found.
pub(super) fn files(report: &StudyReport, findings: &Findings) -> Result<Vec<OutputFile>, Error> {
    let series = examined(report);
    let name = |index: usize| match series.len() {
        1 => "labels.nii.gz".to_owned(),
        _ => format!("labels-{}.nii.gz", index + 1),
    };
    let file = |(index, series): (usize, &&Series)| {
        let name = name(index);
        let bytes = label_map(series, findings).map_err(|source| Error::Encode {
            file: name.clone(),
            source: source.into(),
        })?;
        Ok(OutputFile { name, bytes })
    };
    series.iter().enumerate().map(file).collect()
}

/// Series that a model ran on to its end, each once.
fn examined<'a>(report: &'a StudyReport) -> Vec<&'a Series> {
    let mut examined: Vec<&Series> = Vec::new();
    for run in report.runs.iter().filter(|run| run.status == Status::Done) {
        if !examined.contains(&run.series) {
            examined.push(run.series);
        }
    }
    examined
}

/// The label of a voxel is the segment number of its lesion or structure; where several meet, the lowest.
fn label_map(series: &Series, findings: &Findings) -> std::io::Result<Vec<u8>> {
    let [_, _, columns] = series.geometry.size;
    let grid = findings.grids.iter().position(|grid| *grid == series);
    let segments = grid.map_or_else(Vec::new, |grid| findings.segments(grid));
    encode_label_map(&series.geometry, |slice, labels| {
        for segment in segments.iter().rev() {
            let mask = segment.mask;
            let [_, ny, nx] = mask.size;
            let Some(z) = slice
                .checked_sub(mask.origin[0])
                .filter(|z| *z < mask.size[0])
            else {
                continue;
            };
            let plane = mask.inside[z * ny * nx..][..ny * nx].iter().enumerate();
            for (i, _) in plane.filter(|(_, inside)| **inside) {
                let (y, x) = (mask.origin[1] + i / nx, mask.origin[2] + i % nx);
                labels[y * columns + x] = segment.number;
            }
        }
    })
}
