//! What is wrong with an inventory file.

/// Most faults that are printed; a file with more has one cause for many of them.
const MAX_PRINTED: usize = 100;
/// Most faults that are kept: the first ones that were found. Further ones are counted.
pub(super) const MAX_KEPT: usize = 1_000;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Line in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// Where, what, and what is allowed.
    pub message: String,
}

/// Every fault of a file, by line. Prints one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    file: String,
    list: Vec<Fault>,
    /// How many more there are.
    more: usize,
}

impl Faults {
    pub(super) fn new(file: &str, mut list: Vec<Fault>, more: usize) -> Self {
        list.sort();
        Self { file: file.to_owned(), list, more }
    }

    pub(super) fn one(file: &str, message: String) -> Self {
        Self::new(file, vec![Fault { line: None, message }], 0)
    }

    /// The faults, by line.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, fault) in self.list.iter().take(MAX_PRINTED).enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if let Some(line) = fault.line {
                write!(f, ":{line}")?;
            }
            write!(f, ": {}", fault.message)?;
        }
        match self.list.len().saturating_add(self.more).saturating_sub(MAX_PRINTED) {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", self.file),
        }
    }
}

impl std::error::Error for Faults {}
