//! Values of a JSON file with their place, so that a refusal names file, key and value.

use super::{Error, Feature, Unsupported};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file; `dataset.json` may list every training case.
const MAX_BYTES: u64 = 8 << 20;

/// Reads a JSON file.
///
/// # Errors
/// [`Error::Read`], [`Error::Limit`], [`Error::Invalid`].
pub(super) fn read(path: &Path) -> Result<Value, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::Limit {
            path: path.into(),
            what: "a JSON file of so many bytes",
            limit: MAX_BYTES,
        });
    }
    serde_json::from_slice(&bytes).map_err(|e| Error::Invalid {
        file: name(path),
        key: String::new(),
        message: e.to_string(),
    })
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Json<'a> {
    file: &'a str,
    key: String,
    value: &'a Value,
}

impl<'a> Json<'a> {
    pub(super) fn new(file: &'a str, value: &'a Value) -> Self {
        Self {
            file,
            key: String::new(),
            value,
        }
    }

    /// The value of a key, which must be there.
    pub(super) fn get(&self, key: &str) -> Result<Json<'a>, Error> {
        self.find(key).ok_or_else(|| {
            let missing = self.below(key, &Value::Null);
            missing.invalid("is missing")
        })
    }

    /// The value of a key, unless it is missing or null.
    pub(super) fn find(&self, key: &str) -> Option<Json<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.below(key, value))
    }

    /// Keys and values of an object.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Json<'a>)>, Error> {
        let object = self
            .value
            .as_object()
            .ok_or_else(|| self.wrong("an object"))?;
        let entries = object.iter();
        Ok(entries
            .map(|(key, value)| (key.as_str(), self.below(key, value)))
            .collect())
    }

    /// Elements of a list.
    pub(super) fn items(&self) -> Result<Vec<Json<'a>>, Error> {
        let list = self.value.as_array().ok_or_else(|| self.wrong("a list"))?;
        let items = list.iter().enumerate();
        Ok(items
            .map(|(i, value)| self.below(&i.to_string(), value))
            .collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, Error> {
        self.value.as_str().ok_or_else(|| self.wrong("a text"))
    }

    pub(super) fn number(&self) -> Result<f64, Error> {
        self.value.as_f64().ok_or_else(|| self.wrong("a number"))
    }

    pub(super) fn float(&self) -> Result<f32, Error> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the network computes with 32 bits"
        )]
        let value = self.number()? as f32;
        Ok(value)
    }

    pub(super) fn flag(&self) -> Result<bool, Error> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong("true or false"))
    }

    /// A whole number; one written as `3.0` counts.
    pub(super) fn count(&self) -> Result<usize, Error> {
        const MAX: f64 = 65_536.0;
        let wrong = || self.wrong("a whole number of at most 65536");
        let number = self
            .value
            .as_f64()
            .filter(|n| (0.0..=MAX).contains(n) && n.fract() == 0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole and small"
        )]
        number.map(|n| n as usize).ok_or_else(wrong)
    }

    /// A list of three, or one value for all three.
    pub(super) fn three<T: Copy>(
        &self,
        read: impl Fn(&Self) -> Result<T, Error>,
    ) -> Result<[T; 3], Error> {
        if !self.is_list() {
            return Ok([read(self)?; 3]);
        }
        let items: Vec<T> = self.items()?.iter().map(read).collect::<Result<_, _>>()?;
        items.try_into().map_err(|_| self.wrong("a list of three"))
    }

    /// A list of `length`, or one value for all.
    pub(super) fn each<T: Copy>(
        &self,
        length: usize,
        read: impl Fn(&Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        if !self.is_list() {
            return Ok(vec![read(self)?; length]);
        }
        let items: Vec<T> = self.items()?.iter().map(read).collect::<Result<_, _>>()?;
        if items.len() == length {
            return Ok(items);
        }
        Err(self.wrong(&format!("a list of {length}")))
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// A refusal of this value.
    pub(super) fn invalid(&self, message: &str) -> Error {
        Error::Invalid {
            file: self.file.to_owned(),
            key: format!("{} ", self.key),
            message: message.to_owned(),
        }
    }

    /// A refusal of this value, which is valid but not run here.
    pub(super) fn unsupported(&self, feature: Feature) -> Error {
        Error::Unsupported(Unsupported {
            feature,
            file: self.file.to_owned(),
            key: self.key.clone(),
            found: self.shown(),
        })
    }

    fn wrong(&self, wanted: &str) -> Error {
        self.invalid(&format!("is {}; {wanted} is needed", self.shown()))
    }

    fn shown(&self) -> String {
        const MAX_CHARS: usize = 120;
        self.value.to_string().chars().take(MAX_CHARS).collect()
    }

    fn below(&self, key: &str, value: &'a Value) -> Json<'a> {
        let dot = if self.key.is_empty() { "" } else { "." };
        Json {
            file: self.file,
            key: format!("{}{dot}{}", self.key, key.escape_debug()),
            value,
        }
    }
}
