//! The report's lesions in one list: numbered, checked, and assigned to segments.

use super::{Error, SeriesRun, Status, StudyReport};
use crate::dicom::{Instance, Series};
use crate::lesion::Lesion;
use crate::measure::Measurement;

/// One lesion of the report, known to fit its grid and to hold finite numbers.
pub(super) struct Finding<'a> {
    /// 1, 2, … in the order of the report.
    pub(super) id: usize,
    /// The same for the lesion in SR, SEG and JSON.
    pub(super) tracking_uid: String,
    /// The run that found it.
    pub(super) run: &'a SeriesRun<'a>,
    /// The candidate.
    pub(super) lesion: &'a Lesion,
    /// Its numbers.
    pub(super) measurement: &'a Measurement,
    /// Index of its SEG in [`Findings::grids`].
    pub(super) grid: usize,
    /// Segment Number (0062,0004) in that SEG.
    pub(super) segment_number: u16,
}

/// Every lesion of the report, and the source grids that need a SEG.
pub(super) struct Findings<'a> {
    /// In the order of the report.
    pub(super) all: Vec<Finding<'a>>,
    /// One a SEG, in the order of their first lesion.
    pub(super) grids: Vec<&'a Series>,
}

impl<'a> Findings<'a> {
    /// Numbers and checks the lesions of every run that is done.
    pub(super) fn new(report: &'a StudyReport<'a>) -> Result<Self, Error> {
        let mut findings = Self {
            all: Vec::new(),
            grids: Vec::new(),
        };
        for run in report.runs.iter().filter(|run| run.status == Status::Done) {
            for (lesion, measurement) in &run.lesions {
                findings.push(report, run, lesion, measurement)?;
            }
        }
        Ok(findings)
    }

    /// Name of the SEG file of a grid.
    pub(super) fn seg_name(&self, grid: usize) -> String {
        match self.grids.len() {
            1 => "seg.dcm".into(),
            _ => format!("seg-{}.dcm", grid + 1),
        }
    }

    fn push(
        &mut self,
        report: &StudyReport,
        run: &'a SeriesRun<'a>,
        lesion: &'a Lesion,
        measurement: &'a Measurement,
    ) -> Result<(), Error> {
        let id = self.all.len() + 1;
        check_mask(id, run, lesion)?;
        check_numbers(id, run, lesion, measurement)?;
        let grid = self.grid_of(run);
        let before = self.all.iter().filter(|f| f.grid == grid).count();
        let segment_number = u16::try_from(before + 1).map_err(|_| Error::TooManySegments {
            series_instance_uid: run.series_instance_uid().into(),
        })?;
        self.all.push(Finding {
            id,
            tracking_uid: report.uid_source.uid(&format!("lesion/{id}")),
            run,
            lesion,
            measurement,
            grid,
            segment_number,
        });
        Ok(())
    }

    fn grid_of(&mut self, run: &'a SeriesRun<'a>) -> usize {
        let same = |series: &&Series| std::ptr::eq(*series, run.series) || **series == *run.series;
        self.grids.iter().position(same).unwrap_or_else(|| {
            self.grids.push(run.series);
            self.grids.len() - 1
        })
    }
}

impl<'a> Finding<'a> {
    /// Tracking Identifier (112039, DCM).
    pub(super) fn tracking_id(&self) -> String {
        format!("lesion-{}", self.id)
    }

    /// Indices of the slices that hold some of the lesion, ascending.
    pub(super) fn slices(&self) -> Vec<usize> {
        let mut slices: Vec<usize> = self.lesion.mask.voxels().map(|[z, _, _]| z).collect();
        slices.dedup();
        slices
    }

    /// The source instance of a slice.
    pub(super) fn instance(&self, slice: usize) -> &'a Instance {
        &self.run.series.instances[slice]
    }
}

fn check_mask(id: usize, run: &SeriesRun, lesion: &Lesion) -> Result<(), Error> {
    let mask = &lesion.mask;
    let grid = run.series.geometry.size;
    let within = (0..3).all(|axis| {
        let end = mask.origin[axis].checked_add(mask.size[axis]);
        end.is_some_and(|end| end <= grid[axis])
    });
    let voxels: usize = mask.size.iter().product();
    if within
        && grid[0] == run.series.instances.len()
        && mask.inside.len() == voxels
        && mask.count() > 0
    {
        return Ok(());
    }
    Err(Error::LesionMask {
        id,
        series_instance_uid: run.series_instance_uid().into(),
    })
}

fn check_numbers(
    id: usize,
    run: &SeriesRun,
    lesion: &Lesion,
    measurement: &Measurement,
) -> Result<(), Error> {
    let Measurement {
        centroid_lps_mm,
        volume_mm3,
        axis_slice,
        long_axis,
        short_axis,
        mean_hu,
        ..
    } = measurement;
    let axis = |a: &crate::measure::Axis| {
        a.length_mm.is_finite() && a.ends_column_row.iter().flatten().all(|v| v.is_finite())
    };
    let checks = [
        ("confidence", (0.0..=1.0).contains(&lesion.confidence)),
        ("centroid", centroid_lps_mm.is_finite()),
        ("volume", volume_mm3.is_finite()),
        ("long axis", axis(long_axis)),
        ("short axis", axis(short_axis)),
        ("axis slice", *axis_slice < run.series.instances.len()),
        ("mean HU", mean_hu.is_finite()),
    ];
    match checks.into_iter().find(|(_, sound)| !sound) {
        None => Ok(()),
        Some((what, _)) => Err(Error::Measurement {
            what,
            id,
            series_instance_uid: run.series_instance_uid().into(),
        }),
    }
}
