//! The report's lesions and structures: numbered, checked, and assigned to segments.

use super::codes::{self, Term};
use super::{Error, SeriesRun, Status, StudyReport};
use crate::dicom::{Instance, Series};
use crate::lesion::{Assessment, Kind, Lesion, LesionMask, Structure, Terms};
use crate::measure::{Measurement, NodeSize, PetMeasurement};

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

/// One structure of the report, known to fit its grid.
pub(super) struct FoundStructure<'a> {
    /// The run that found it.
    pub(super) run: &'a SeriesRun<'a>,
    /// What was found.
    pub(super) structure: &'a Structure,
    /// Index of its SEG in [`Findings::grids`].
    pub(super) grid: usize,
    /// Segment Number (0062,0004) in that SEG.
    pub(super) segment_number: u16,
}

/// What SEG says of a lesion or a structure.
pub(super) struct Segment<'a> {
    /// Segment Number (0062,0004).
    pub(super) number: u16,
    /// The run that found it.
    pub(super) run: &'a SeriesRun<'a>,
    /// Its voxels.
    pub(super) mask: &'a LesionMask,
    /// What it is.
    pub(super) terms: &'a Terms,
    /// The lesion that it is; `None` of a structure.
    pub(super) finding: Option<&'a Finding<'a>>,
    /// Segment Label (0062,0005).
    pub(super) label: String,
}

/// Every lesion and structure of the report, and the source grids that need a SEG.
pub(super) struct Findings<'a> {
    /// Lesions in the order of the report.
    pub(super) all: Vec<Finding<'a>>,
    /// Structures in the order of the report.
    pub(super) structures: Vec<FoundStructure<'a>>,
    /// One a SEG, in the order of their first segment.
    pub(super) grids: Vec<&'a Series>,
}

impl<'a> Findings<'a> {
    /// Numbers and checks the lesions of every run that is done.
    pub(super) fn new(report: &'a StudyReport<'a>) -> Result<Self, Error> {
        let mut findings = Self {
            all: Vec::new(),
            structures: Vec::new(),
            grids: Vec::new(),
        };
        for run in report.runs.iter().filter(|run| run.status == Status::Done) {
            for (lesion, measurement) in &run.lesions {
                findings.push(report, run, lesion, measurement)?;
            }
            for structure in &run.structures {
                findings.push_structure(run, structure)?;
            }
        }
        Ok(findings)
    }

    /// Lesions that are not normal.
    pub(super) fn abnormal(&self) -> impl Iterator<Item = &Finding<'a>> {
        self.all.iter().filter(|finding| !finding.is_normal())
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
        check_mask(id, run, &lesion.mask)?;
        check_numbers(id, run, lesion, measurement)?;
        check_assessment(id, run, lesion)?;
        let (grid, segment_number) = self.next_segment(run)?;
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

    fn push_structure(
        &mut self,
        run: &'a SeriesRun<'a>,
        structure: &'a Structure,
    ) -> Result<(), Error> {
        check_mask(self.structures.len() + 1, run, &structure.mask)?;
        let (grid, segment_number) = self.next_segment(run)?;
        self.structures.push(FoundStructure {
            run,
            structure,
            grid,
            segment_number,
        });
        Ok(())
    }

    /// Grid of a run, and the number that its next segment has.
    fn next_segment(&mut self, run: &'a SeriesRun<'a>) -> Result<(usize, u16), Error> {
        let grid = self.grid_of(run);
        let lesions = self.all.iter().filter(|f| f.grid == grid).count();
        let structures = self.structures.iter().filter(|s| s.grid == grid).count();
        let number = u16::try_from(lesions + structures + 1);
        let number = number.map_err(|_| Error::TooManySegments {
            series_instance_uid: run.series_instance_uid().into(),
        })?;
        Ok((grid, number))
    }

    /// Segments of a grid's SEG, by their numbers.
    pub(super) fn segments(&self, grid: usize) -> Vec<Segment<'_>> {
        let lesions = self.all.iter().filter(|f| f.grid == grid).map(|finding| {
            let terms = &finding.lesion.terms;
            Segment {
                number: finding.segment_number,
                run: finding.run,
                mask: &finding.lesion.mask,
                terms,
                finding: Some(finding),
                label: format!("{} {}", terms.property_type.meaning, finding.id),
            }
        });
        let structures = self.structures.iter().filter(|s| s.grid == grid);
        let structures = structures.map(|found| Segment {
            number: found.segment_number,
            run: found.run,
            mask: &found.structure.mask,
            terms: &found.structure.terms,
            finding: None,
            label: found.structure.name.clone(),
        });
        let mut segments: Vec<Segment> = lesions.chain(structures).collect();
        segments.sort_by_key(|segment| segment.number);
        segments
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
        match self.is_normal() {
            true => format!("physiologic-uptake-{}", self.id),
            false => format!("lesion-{}", self.id),
        }
    }

    /// Whether it is shown only so that nothing is dropped in silence.
    pub(super) fn is_normal(&self) -> bool {
        self.lesion.kind == Kind::PhysiologicUptake
    }

    /// What it is, as Finding category and Finding. Normal uptake is that, whatever organ its segment is.
    pub(super) fn finding(&self) -> [Term<'a>; 2] {
        match self.is_normal() {
            true => [codes::FUNCTION, codes::NORMAL],
            false => [
                &self.lesion.terms.category,
                &self.lesion.terms.property_type,
            ]
            .map(Term::from),
        }
    }

    /// Where it is, as far as that is known; of normal uptake the organ.
    pub(super) fn site(&self) -> Term<'a> {
        let organ = Term::from(&self.lesion.terms.property_type);
        let organ = (self.is_normal() && organ != codes::NORMAL).then_some(organ);
        let known = self.measurement.site.as_ref().map(Term::from);
        known.or(organ).unwrap_or(codes::site(self.lesion.kind))
    }

    /// Why a person must look, as codes.
    pub(super) fn review(&self) -> Vec<&'static str> {
        let assessment = self.lesion.assessment.iter();
        let of_model = assessment.flat_map(|a| a.review.iter().map(|reason| reason.code()));
        let drawn = self.measurement.pet.iter().flat_map(|pet| &pet.delineation);
        let of_rules = drawn.flat_map(|d| d.review.iter().map(|reason| reason.code()));
        of_model.chain(of_rules).collect()
    }

    /// Mean HU; none but of a CT, for the values of no other modality are HU.
    pub(super) fn mean_hu(&self) -> Option<f64> {
        let is_ct = self.run.modality() == "CT";
        self.measurement.mean_hu.filter(|_| is_ct)
    }

    /// What the short axis says, where the lesion is a lymph node.
    pub(super) fn node_size(&self) -> Option<NodeSize> {
        let is_node = self.lesion.kind == Kind::LymphNode;
        is_node.then(|| NodeSize::of(self.measurement.short_axis.length_mm))
    }

    /// Indices of the slices that hold some of the lesion, ascending.
    pub(super) fn slices(&self) -> Vec<usize> {
        slices(&self.lesion.mask)
    }

    /// The source instance of a slice.
    pub(super) fn instance(&self, slice: usize) -> &'a Instance {
        &self.run.series.instances[slice]
    }
}

/// Indices of the slices that hold some of a mask, ascending.
pub(super) fn slices(mask: &LesionMask) -> Vec<usize> {
    let [_, ny, nx] = mask.size;
    let planes = mask.inside.chunks_exact((ny * nx).max(1)).enumerate();
    let filled = planes.filter(|(_, plane)| plane.contains(&true));
    filled.map(|(z, _)| mask.origin[0] + z).collect()
}

fn check_mask(id: usize, run: &SeriesRun, mask: &LesionMask) -> Result<(), Error> {
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
        pet,
        on_pet,
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
        ("mean HU", mean_hu.is_none_or(f64::is_finite)),
        ("uptake", pet.as_ref().is_none_or(is_sound)),
        (
            "uptake on the PET",
            on_pet.is_none_or(|on| on.suv_max.is_finite() && on.suv_mean.is_finite()),
        ),
    ];
    sound(&checks, id, run)
}

fn is_sound(pet: &PetMeasurement) -> bool {
    let peak = pet.suv_peak.iter().map(|peak| peak.suv);
    let rules = pet.by_rule.iter();
    let rules = rules.flat_map(|v| [v.least_suv, v.mtv_ml, v.tlg_g]);
    let drawn = pet.delineation.iter();
    let drawn = drawn.flat_map(|d| [d.least_suv, d.background_suv]);
    let own = [pet.suv_max, pet.suv_mean, pet.mtv_ml, pet.tlg_g];
    let place = pet.suv_max_lps_mm.is_finite();
    place
        && own
            .into_iter()
            .chain(peak)
            .chain(rules)
            .chain(drawn)
            .all(f64::is_finite)
}

fn check_assessment(id: usize, run: &SeriesRun, lesion: &Lesion) -> Result<(), Error> {
    let Some(assessment) = &lesion.assessment else {
        return Ok(());
    };
    let Assessment {
        logit,
        spread,
        novelty,
        ..
    } = assessment;
    let same_confidence = lesion.confidence.to_bits() == assessment.confidence.to_bits();
    let probability = assessment.nodule_type.map_or(1.0, |t| t.probability);
    let checks = [
        ("assessed confidence", same_confidence),
        (
            "probability of the type",
            (0.0..=1.0).contains(&probability),
        ),
        ("logit", logit.is_finite()),
        ("spread", (0.0..f32::INFINITY).contains(spread)),
        ("novelty", (0.0..f32::INFINITY).contains(novelty)),
    ];
    sound(&checks, id, run)
}

/// The first of the numbers that is not sound, as an error.
fn sound(checks: &[(&'static str, bool)], id: usize, run: &SeriesRun) -> Result<(), Error> {
    match checks.iter().find(|(_, sound)| !sound) {
        None => Ok(()),
        Some((what, _)) => Err(Error::Measurement {
            what,
            id,
            series_instance_uid: run.series_instance_uid().into(),
        }),
    }
}
