//! Which service a row belongs to: a drawn pattern that repeats, so that the rows of a service can be counted back
//! without looking at all others.

/// A repeating pattern of choices.
#[derive(Debug)]
pub struct Wheel {
    choices: Vec<u32>,
    /// Places of each choice, ascending.
    places: Vec<Vec<u32>>,
}

impl Wheel {
    /// A wheel of these choices, all below `count`. An empty one always gives choice 0.
    pub fn new(choices: Vec<u32>, count: usize) -> Self {
        let mut places = vec![Vec::new(); count];
        for (place, &choice) in choices.iter().enumerate() {
            if let Some(list) = places.get_mut(choice as usize) {
                list.push(place as u32);
            }
        }
        Wheel { choices, places }
    }

    /// Rows of one turn, at least 1.
    pub fn turn(&self) -> u64 {
        self.choices.len().max(1) as u64
    }

    /// The choice of a row.
    pub fn choice(&self, row: u64) -> usize {
        self.choices.get((row % self.turn()) as usize).copied().unwrap_or(0) as usize
    }

    /// The rows of a choice in `rows`, from the last to the first.
    pub fn rows_back(&self, choice: usize, rows: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        let turn = self.turn();
        let places = self.places.get(choice).map_or(&[][..], Vec::as_slice);
        let turns = rows.start / turn..rows.end.div_ceil(turn);
        turns
            .rev()
            .flat_map(move |number| places.iter().rev().map(move |&place| number * turn + u64::from(place)))
            .skip_while(move |&row| row >= rows.end)
            .take_while(move |&row| row >= rows.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_of_a_choice_are_those_that_a_scan_finds(
            choices in prop::collection::vec(0u32..4, 1..20),
            start in 0u64..100,
            length in 0u64..100,
        ) {
            let wheel = Wheel::new(choices, 4);
            for choice in 0..4 {
                let rows = start..start + length;
                let scanned: Vec<u64> = rows.clone().rev().filter(|&row| wheel.choice(row) == choice).collect();
                prop_assert_eq!(wheel.rows_back(choice, rows).collect::<Vec<_>>(), scanned);
            }
        }
    }

    #[test]
    fn an_empty_wheel_turns_without_end() {
        let wheel = Wheel::new(Vec::new(), 0);
        assert_eq!((wheel.choice(7), wheel.rows_back(0, 0..5).count()), (0, 0));
    }
}
