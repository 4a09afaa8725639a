//! Disasters of the reference that need more than a case file.
