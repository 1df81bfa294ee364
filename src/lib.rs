//! Hilum finds lung-nodule candidates in CT series and reports them as coded DICOM SR and SEG.
//!
//! ```text
//! bytes ─dicom→ Series ─dicom::stack→ StoredVolume ─preprocess→ Prepared (model grid) ─model→ ProbabilityMap
//!       ─lesion→ Vec<Lesion> ─measure→ Vec<Measurement> ─report→ SR + SEG + JSON
//! ```
//! Each arrow is one function of one module, each noun one type; [`pipeline`] is the only module that knows all arrows.
//!
//! Arrays are `[z, y, x]` (slice, row, column), x fastest. Patient coordinates are LPS millimetres (PS3.3 C.7.6.2.1.1)
//! and their names end in `_lps_mm`.
#![recursion_limit = "256"]

pub mod audit;
pub mod batch;
pub mod cli;
pub mod code;
pub mod config;
pub mod cpu;
pub mod deidentify;
pub mod dicom;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod gpu;
pub mod insertion;
pub mod lesion;
pub mod measure;
pub mod model;
pub mod node;
pub mod phantom;
pub mod pipeline;
pub mod plan;
pub mod preprocess;
pub mod provenance;
mod quote;
pub mod region;
pub mod report;
pub mod suv;
pub mod uid;
pub mod volume;
pub mod volume_file;
pub mod volume_study;
pub mod warning;

pub use error::{Class, Error};
