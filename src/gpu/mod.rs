//! To come.

use crate::error::Class;

/// Placeholder.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match *self {}
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match *self {}
    }
}
