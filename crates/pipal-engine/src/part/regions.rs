//! How many bytes of the rows belong to which founding region (SE-015): `timestamps`, `fields`, `<family>.tf`
//! for values and `<family>.tfm` for what leads to them; and `companions`. Here they are totals; the columns lie side
//! by side.

use std::collections::HashMap;

/// Bytes of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Founding name.
    pub name: Box<str>,
    /// Bytes in the file.
    pub bytes: u64,
    /// Bytes of the values before encoding; 0 where that has no meaning.
    pub uncompressed_bytes: u64,
}

#[derive(Clone, Copy, Default)]
struct Total {
    values: u64,
    framing: u64,
    uncompressed: u64,
}

/// Counts bytes per region while a part is written.
#[derive(Default)]
pub(super) struct Regions {
    head: Total,
    numbers: HashMap<Box<str>, usize>,
    families: Vec<Total>,
}

impl Regions {
    /// The number of a family, which is made on first sight; fields are the empty family.
    pub(super) fn family(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.families.push(Total::default());
        self.numbers.insert(name.into(), self.families.len() - 1);
        self.families.len() - 1
    }

    /// Counts times and versions of a chunk.
    pub(super) fn add_head(&mut self, bytes: usize, rows: usize) {
        self.head.values += bytes as u64;
        self.head.uncompressed += 16 * rows as u64;
    }

    /// Counts bytes that only lead to values of a family.
    pub(super) fn add_framing(&mut self, family: usize, bytes: usize) {
        if let Some(total) = self.families.get_mut(family) {
            total.framing += bytes as u64;
        }
    }

    /// Counts an encoded column.
    pub(super) fn add_values(&mut self, family: usize, bytes: usize, uncompressed: usize) {
        if let Some(total) = self.families.get_mut(family) {
            total.values += bytes as u64;
            total.uncompressed += uncompressed as u64;
        }
    }

    /// Bytes of everything before encoding.
    pub(super) fn uncompressed_bytes(&self) -> u64 {
        self.head.uncompressed + self.families.iter().map(|total| total.uncompressed).sum::<u64>()
    }

    /// All regions, sorted by name behind `timestamps` and `fields`. A family always has both of its regions
    /// (SE-016).
    /// `companion_bytes`, which lie between the row groups, come last if there are any.
    pub(super) fn list(&self, companion_bytes: u64) -> Vec<Region> {
        let region =
            |name: String, bytes, uncompressed_bytes| Region { name: name.into(), bytes, uncompressed_bytes };
        let mut list = vec![region("timestamps".into(), self.head.values, self.head.uncompressed)];
        let mut families: Vec<(&str, Total)> =
            self.numbers.iter().map(|(name, &number)| (&**name, self.families[number])).collect();
        families.sort_unstable_by_key(|(name, _)| *name);
        for (name, total) in families {
            if name.is_empty() {
                list.push(region("fields".into(), total.values + total.framing, total.uncompressed));
                continue;
            }
            list.push(region(format!("{name}.tf"), total.values, total.uncompressed));
            list.push(region(format!("{name}.tfm"), total.framing, 0));
        }
        if companion_bytes > 0 {
            list.push(region("companions".into(), companion_bytes, 0));
        }
        list
    }
}
