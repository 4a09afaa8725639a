//! Requests that are encoded before the clock runs, with what their answers must look like.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use pipal_api::measure::v1::QueryRequest;
use prost::Message;

use crate::data_model::DataModel;
use crate::random::{Random, mix};

/// Compares an encoded answer with what was written.
pub type Comparison = Box<dyn Fn(Bytes) -> Result<(), String> + Send + Sync>;

/// The frequencies of the workload model: percent of all reads of an installation, times ten.
const MODEL_WEIGHTS: [(&str, u32); 17] = [
    ("Q1", 520),
    ("Q2", 90),
    ("Q3", 20),
    ("Q4", 60),
    ("Q5", 20),
    ("Q6", 5),
    ("Q7", 60),
    ("Q8", 30),
    ("Q9", 20),
    ("Q10", 20),
    ("Q11", 20),
    ("Q13", 15),
    ("Q14", 10),
    ("Q16", 15),
    ("Q17", 15),
    ("Q18", 8),
    ("Q25", 4),
];

/// One request, ready for the wire.
pub struct Prepared {
    pub shape: &'static str,
    /// Path of the call.
    pub path: &'static str,
    pub request: Bytes,
    /// How many rows the answer must have.
    pub rows: RangeInclusive<usize>,
    pub comparison: Option<Comparison>,
}

impl Prepared {
    /// Encodes a request for points.
    pub fn new(shape: &'static str, request: &QueryRequest, rows: RangeInclusive<usize>) -> Self {
        Self::call(shape, DataModel::Measure.query_path(), request, rows)
    }

    /// Encodes a request to `path`. Whatever the call, its answer holds its rows in field 1.
    pub fn call(
        shape: &'static str,
        path: &'static str,
        request: &impl Message,
        rows: RangeInclusive<usize>,
    ) -> Self {
        Prepared { shape, path, request: request.encode_to_vec().into(), rows, comparison: None }
    }

    /// Adds a comparison of the whole answer.
    pub fn comparing<Answer: Message + Default>(
        mut self,
        comparison: impl Fn(&Answer) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.comparison = Some(Box::new(move |answer| {
            let decoded = Answer::decode(answer).map_err(|error| format!("unreadable answer: {error}"))?;
            comparison(&decoded)
        }));
        self
    }
}

/// A data set that can be asked in some shapes.
pub trait QuerySource: Send + Sync {
    /// The shapes that fit the data.
    fn shapes(&self) -> &'static [&'static str];
    /// A random request of a shape; `None` for a shape that does not fit.
    fn prepare(&self, shape: &str, random: &mut Random) -> Option<Prepared>;
}

/// Shapes with weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    weights: Vec<(String, u32)>,
}

impl Mix {
    /// The frequencies of the model, for these shapes.
    pub fn of_model(shapes: &[&str]) -> Self {
        let fitting = MODEL_WEIGHTS.iter().filter(|(shape, _)| shapes.contains(shape));
        Mix { weights: fitting.map(|&(shape, weight)| (shape.to_owned(), weight)).collect() }
    }

    /// The shapes of the mix.
    pub fn shapes(&self) -> impl Iterator<Item = &str> {
        self.weights.iter().map(|(shape, _)| shape.as_str())
    }

    fn draw(&self, random: &mut Random) -> &str {
        let total: u32 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut left = random.below(u64::from(total)) as u32;
        for (shape, weight) in &self.weights {
            if left < *weight {
                return shape;
            }
            left -= weight;
        }
        ""
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (shape, weight) = part.split_once('=').unwrap_or((part, "1"));
            let weight = weight.parse().map_err(|_| format!("{weight:?} in {part:?} is no whole number"))?;
            Ok((shape.trim().to_uppercase(), weight))
        };
        let weights = text.split(',').map(part).collect::<Result<Vec<_>, String>>()?;
        match weights.iter().any(|(_, weight)| *weight > 0) {
            true => Ok(Mix { weights }),
            false => Err("every weight is 0".to_owned()),
        }
    }
}

/// Gives the queries of a run one by one.
pub trait Feed: Send + Sync {
    /// The query number `number`; `None` where there is none.
    fn query(&self, number: u64) -> Option<Arc<Prepared>>;
}

/// Requests that were encoded ahead, in turn: for data that rests.
pub struct InTurn(pub Vec<Arc<Prepared>>);

impl Feed for InTurn {
    fn query(&self, number: u64) -> Option<Arc<Prepared>> {
        self.0.get(number as usize % self.0.len().max(1)).cloned()
    }
}

/// Requests that are encoded when they are due, for data that grows: what an answer must hold depends on what was
/// acknowledged by then.
pub struct Live {
    sources: Vec<Arc<dyn QuerySource>>,
    mix: Mix,
    seed: u64,
}

impl Live {
    /// Queries of the mix; an error names a shape that no source has.
    pub fn new(sources: Vec<Arc<dyn QuerySource>>, mix: Mix, seed: u64) -> Result<Self, String> {
        let known: Vec<&str> = sources.iter().flat_map(|source| source.shapes()).copied().collect();
        if let Some(shape) = mix.shapes().find(|shape| !known.contains(shape)) {
            return Err(format!("{shape:?} does not fit the data; known: {known:?}"));
        }
        Ok(Live { sources, mix, seed })
    }
}

impl Feed for Live {
    fn query(&self, number: u64) -> Option<Arc<Prepared>> {
        let mut random = Random::new(mix(self.seed, number));
        let shape = self.mix.draw(&mut random);
        self.sources.iter().find_map(|source| source.prepare(shape, &mut random)).map(Arc::new)
    }
}

/// Prepares `count` requests of the mix.
pub fn prepare_all(
    source: &dyn QuerySource,
    mix: &Mix,
    count: usize,
    random: &mut Random,
) -> Result<InTurn, String> {
    let one = |_| {
        let shape = mix.draw(random).to_owned();
        let known = source.shapes();
        source
            .prepare(&shape, random)
            .map(Arc::new)
            .ok_or_else(|| format!("{shape:?} does not fit the data; known: {known:?}"))
    };
    (0..count.max(1)).map(one).collect::<Result<_, String>>().map(InTurn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_from_text_and_drawn_by_weight() {
        let mix: Mix = "q1=3, Q7=1".parse().unwrap();
        let mut random = Random::new(1);
        let q1 = (0..4_000).filter(|_| mix.draw(&mut random) == "Q1").count();
        assert!((2_900..3_100).contains(&q1), "{q1}");
        for wrong in ["Q1=x", "Q1=0", "Q1=-1"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
        assert_eq!("Q4".parse::<Mix>().unwrap().draw(&mut random), "Q4");
    }

    #[test]
    fn the_mix_of_the_model_leaves_out_what_does_not_fit() {
        let mix = Mix::of_model(&["Q1", "Q7"]);
        assert_eq!(mix.weights, [("Q1".to_owned(), 520), ("Q7".to_owned(), 60)]);
    }
}
