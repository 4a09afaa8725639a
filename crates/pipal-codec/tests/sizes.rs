//! What typical chunks may cost. A part holds thousands of small columns, so bytes per column matter.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pipal_codec::{Column, Effort, Presence, encode_i64s, encode_i64s_keyed};
use pipal_model::ColumnType;

fn stream_bytes(values: &[i64], effort: Effort) -> usize {
    let mut out = Vec::new();
    encode_i64s(values, effort, &mut out);
    out.len()
}

/// A repeatable source of uniform numbers in 0..1.
fn uniform(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 11) as f64 / (1u64 << 53) as f64
}

fn log_normal(median: f64, sigma: f64, seed: &mut u64) -> i64 {
    let radius = (-2.0 * (1.0 - uniform(seed)).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * uniform(seed)).cos();
    (median * (sigma * normal).exp()).round() as i64
}

#[test]
fn columns_without_values_cost_one_byte() {
    for ty in [ColumnType::Int, ColumnType::Float, ColumnType::Str] {
        for presence in [Presence::Null, Presence::Absent] {
            let mut column = Column::new(ty);
            column.push_missing(presence, 30);
            assert_eq!(encode(&column, Effort::Fast).len(), 1);
        }
    }
}

#[test]
fn constant_columns_cost_their_value_and_little_more() {
    for effort in [Effort::Fast, Effort::Thorough] {
        assert!(encode(&ints_column(&[i64::MAX; 30]), effort).len() <= 12);
        assert!(encode(&ints_column(&[100; 30]), effort).len() <= 3);
        assert!(encode(&floats_column(&[0.1 + 0.2; 30]), effort).len() <= 12);
        assert!(encode(&floats_column(&[100.0; 30]), effort).len() <= 6);
        assert_eq!(encode(&texts_column(&["GENERAL"; 30]), effort).len(), 8);
    }
}

#[test]
fn regular_timestamps_cost_their_start_and_step() {
    let minutes: Vec<i64> = (0..30).map(|i| 1_763_000_040_000_000_000 + i * 60_000_000_000).collect();
    assert!(stream_bytes(&minutes, Effort::Fast) <= 16);
    let day: Vec<i64> = minutes.iter().copied().cycle().take(8190).collect();
    assert!(stream_bytes(&day, Effort::Fast) <= 24, "273 series of the same 30 minutes");
}

#[test]
fn log_normal_integers_come_near_their_entropy() {
    let mut seed = 1;
    let values: Vec<i64> = (0..8192).map(|_| log_normal(60.0, 1.0, &mut seed)).collect();
    // Differential entropy of a log-normal variable with median m: log2(m * sigma * sqrt(2 * pi * e)).
    let entropy_bits = (60.0 * (std::f64::consts::TAU * std::f64::consts::E).sqrt()).log2();
    let bits = stream_bytes(&values, Effort::Thorough) as f64 * 8.0 / values.len() as f64;
    assert!(bits <= entropy_bits * 1.25, "{bits:.2} bits per value, entropy {entropy_bits:.2}");
}

#[test]
fn few_distinct_texts_cost_the_texts_once() {
    let layers: Vec<&str> = (0..2000).map(|i| ["GENERAL", "MESH", "K8S_SERVICE"][i * i % 3]).collect();
    let bytes = encode(&texts_column(&layers), Effort::Fast).len();
    assert!(bytes <= 2000 * 2 / 8 + 40, "{bytes} bytes");
}

/// 300 series of 25 minutes; the client numbers the points of a minute in the order of series, with a clock.
#[test]
fn versions_that_follow_the_time_cost_little() {
    let series_and_minute = || (0..300).flat_map(|series| (0..25).map(move |minute| (series, minute)));
    let times: Vec<i64> = series_and_minute().map(|(_, minute)| minute * 60_000).collect();
    let versions: Vec<i64> = series_and_minute()
        .map(|(series, minute)| 1_763_000_000_000_000_000 + minute * minute * 7_919_123_457 + series)
        .collect();
    let mut bytes = Vec::new();
    encode_i64s_keyed(&versions, &times, Effort::Fast, &mut bytes);
    assert!(bytes.len() < versions.len() / 4, "{} bytes", bytes.len());
}

#[test]
fn times_of_series_with_gaps_cost_little() {
    let mut seed = 5;
    let mut times = Vec::new();
    for _ in 0..300 {
        times.extend((0..25).filter(|_| uniform(&mut seed) > 0.02).map(|minute| minute * 60_000_000_000i64));
    }
    let bytes = stream_bytes(&times, Effort::Fast);
    assert!(bytes * 8 < times.len() * 2, "{bytes} bytes for {} times", times.len());
}
