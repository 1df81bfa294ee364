//! What an error or a warning may repeat of a file: never a name or an id that stands in the wrong field.
//!
//! In: the text of an attribute or a header field. Out: its defined terms and short numbers as they are, longer numbers
//! rounded, and anything else by its length and its kinds of characters.

/// Values that are shown; no attribute that is read has more.
const MAX_VALUES: usize = 6;

/// Numbers of more digits could be an id or a date of birth, so they are rounded.
const MAX_DIGITS: usize = 4;

/// Defined terms and usual words of the coded attributes that are read, and words that some writers put for numbers.
#[rustfmt::skip]
const TERMS: [&str; 88] = [
    // Modality, PS3.3 C.7.3.1.1.1
    "CT", "MR", "PT", "NM", "SEG", "SR", "OT", "SC", "DX", "CR", "XA", "RF", "MG", "KO", "PR", "REG", "SM", "DOC",
    "RTDOSE", "RTPLAN", "RTSTRUCT",
    // Rescale Type, PS3.3 C.11.1.1.2
    "HU", "US", "OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT",
    // Image Type, PS3.3 C.7.6.1.1.2, C.8.2.1.1.1 and C.8.16.1
    "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "MPR", "MIP", "MINIP", "VOLUME", "NONE", "OTHER",
    "AVERAGE", "REFORMATTED",
    // Body Part Examined, PS3.16 Annex L
    "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ARM", "BRAIN", "BREAST", "CHEST", "CSPINE", "ELBOW", "EXTREMITY", "FOOT", "HAND",
    "HEAD", "HEADNECK", "HEART", "HIP", "KNEE", "LEG", "LIVER", "LSPINE", "LUNG", "NECK", "PELVIS", "SHOULDER", "SKULL",
    "SPINE", "TSPINE", "WHOLEBODY", "WRIST",
    // Convolution Kernel
    "STANDARD", "STND", "SOFT", "BONE", "BONEPLUS", "DETAIL", "EDGE",
    // No finite numbers
    "NAN", "INF", "-INF",
    // ElementType of MetaImage
    "MET_LONG", "MET_LONG_LONG",
    // Flags and magic of volume files
    "TRUE", "FALSE", "NI1",
];

/// The text as a message may show it; values are parted by backslashes.
pub(crate) fn quoted(text: &str) -> String {
    let mut values = text.split('\\');
    let mut shown: Vec<String> = values.by_ref().take(MAX_VALUES).map(value).collect();
    if values.next().is_some() {
        shown.push("and more".into());
    }
    shown.join("\\")
}

fn value(text: &str) -> String {
    let text = text.trim();
    let known = TERMS.iter().any(|term| term.eq_ignore_ascii_case(text));
    if text.is_empty() || known || is_kernel(text) {
        return text.to_owned();
    }
    match number(text) {
        Some(_) if count(text, char::is_ascii_digit) <= MAX_DIGITS => text.to_owned(),
        Some(number) => format!("about {number:.1e}"),
        None => described(text),
    }
}

/// A finite decimal number.
fn number(text: &str) -> Option<f64> {
    let decimal = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let number = text.chars().all(decimal).then(|| text.parse().ok())?;
    number.filter(|number: &f64| number.is_finite())
}

/// One or two letters, two digits and perhaps a letter, as makers name kernels: `B70f`, `Br40d`, `FC08`.
fn is_kernel(text: &str) -> bool {
    let number = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let ending = number.trim_start_matches(|c: char| c.is_ascii_digit());
    let letters = text.len() - number.len();
    (1..=2).contains(&letters)
        && number.len() - ending.len() == 2
        && ending.len() <= 1
        && ending.chars().all(|c| c.is_ascii_alphabetic())
}

fn count(text: &str, kind: impl Fn(&char) -> bool) -> usize {
    text.chars().filter(kind).count()
}

/// Whether a character is of a kind.
type Kind = fn(&char) -> bool;

/// The length, and what to look for.
fn described(text: &str) -> String {
    let kinds: [(&str, Kind); 5] = [
        ("letters", char::is_ascii_alphabetic),
        ("digits", char::is_ascii_digit),
        ("signs", char::is_ascii_punctuation),
        ("spaces", |c| *c == ' '),
        ("others", |c| !c.is_ascii_graphic() && *c != ' '),
    ];
    let found = kinds.iter().filter(|(_, is)| count(text, is) > 0);
    let found: Vec<&str> = found.map(|(name, _)| *name).collect();
    format!("{} characters: {}", text.chars().count(), found.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terms_kernels_and_short_numbers_are_repeated() {
        for text in [
            "",
            "SEG",
            "ORIGINAL\\PRIMARY\\AXIAL",
            "0\\-0.75",
            "1e300",
            "NaN\\1",
            "Br40d\\3",
            "FC08",
            "Chest",
        ] {
            assert_eq!(quoted(text), text);
        }
    }

    #[test]
    fn what_could_be_a_name_or_an_id_is_described() {
        assert_eq!(quoted("DOE^JANE"), "8 characters: letters, signs");
        assert_eq!(
            quoted("Grün 7"),
            "6 characters: letters, digits, spaces, others"
        );
        assert_eq!(quoted("1234567"), "about 1.2e6");
        assert_eq!(quoted("19700131\\1"), "about 2.0e7\\1");
        assert_eq!(quoted("1234567A"), "8 characters: letters, digits");
        assert_eq!(quoted("1,5"), "3 characters: digits, signs");
        assert_eq!(quoted("1.2..840"), "8 characters: digits, signs");
        assert_eq!(quoted(&"1\\".repeat(9)), "1\\1\\1\\1\\1\\1\\and more");
    }

    proptest! {
        #[test]
        fn no_word_that_is_no_term_gets_through(word in "[A-Za-z]{3,12}", sign in "[\\^ ,=]", id in "[0-9]{5,10}") {
            let name = format!("{word}{sign}{word}");
            prop_assert!(!quoted(&name).contains(&name));
            prop_assert!(!quoted(&id).contains(&id));
            let both = format!("{name}\\{id}");
            prop_assert!(!quoted(&both).contains(&name) && !quoted(&both).contains(&id));
        }
    }
}
