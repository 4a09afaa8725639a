//! Speed of encoding and decoding typical columns of 8,192 rows, and their size (printed once).

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pipal_codec::{Column, Effort, column_encoding, decode_column, encode_column};
use pipal_model::{ColumnType, ValueRef};

const ROWS: usize = 8192;

/// A repeatable source of uniform numbers in 0..1.
fn uniform(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 11) as f64 / (1u64 << 53) as f64
}

fn log_normal(median: f64, sigma: f64, seed: &mut u64) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(seed)).ln()).sqrt();
    median * (sigma * radius * (std::f64::consts::TAU * uniform(seed)).cos()).exp()
}

fn column(ty: ColumnType, values: impl Iterator<Item = ValueRef<'static>>) -> Column {
    let mut column = Column::new(ty);
    values.for_each(|value| column.push(value));
    column
}

fn text(value: String) -> ValueRef<'static> {
    ValueRef::Str(value.into_bytes().leak())
}

fn columns() -> Vec<(&'static str, Column)> {
    let rows = 0..ROWS as i64;
    let mut seed = 7;
    let mut ints = |f: &mut dyn FnMut(i64, &mut u64) -> i64| {
        column(
            ColumnType::Int,
            rows.clone().map(|i| ValueRef::Int(f(i, &mut seed))).collect::<Vec<_>>().into_iter(),
        )
    };
    let mut list = vec![
        ("int constant", ints(&mut |_, _| 10_000)),
        ("int minutes of 273 series", ints(&mut |i, _| (i % 30) * 60_000_000_000)),
        ("int 10 bits", ints(&mut |_, s| (uniform(s) * 1000.0) as i64)),
        ("int log-normal", ints(&mut |_, s| log_normal(60.0, 1.0, s) as i64)),
        ("int wide log-normal", ints(&mut |_, s| log_normal(7200.0, 1.8, s) as i64)),
        ("int clock with jitter", ints(&mut |i, s| i * 1_000_000_007 + (uniform(s) * 1e6) as i64)),
        (
            "int 97 % equal",
            ints(&mut |_, s| if uniform(s) < 0.97 { 10_000 } else { 9000 + (uniform(s) * 999.0) as i64 }),
        ),
    ];
    let mut seed = 9;
    let mut floats = |f: &mut dyn FnMut(&mut u64) -> f64| {
        let values: Vec<_> = (0..ROWS).map(|_| ValueRef::Float(f(&mut seed))).collect();
        column(ColumnType::Float, values.into_iter())
    };
    list.push(("float two decimals", floats(&mut |s| (log_normal(60.0, 1.0, s) * 100.0).round() / 100.0)));
    list.push(("float full mantissa", floats(&mut |s| log_normal(60.0, 1.0, s))));
    let texts = |f: &dyn Fn(usize) -> String| column(ColumnType::Str, (0..ROWS).map(|i| text(f(i))));
    list.push(("text 300 services", texts(&|i| format!("YWdlbnQ6OnNlcnZpY2UtMDAwMDA{:03}.1", i / 28))));
    list.push((
        "text distinct ids",
        texts(&|i| {
            format!("{:032x}", (i as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
        }),
    ));
    list.push((
        "text log lines",
        texts(&|i| {
            format!(
                "2026-11-25 10:{:02}:{:02} INFO handler[{}] GET /orders/{}/items took {} ms",
                i / 60 % 60,
                i % 60,
                i * 7919 % 31,
                i * 104_729 % 100_003,
                i * 31 % 997
            )
        }),
    ));
    list
}

fn encode(column: &Column, effort: Effort) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_column(column, effort, &mut bytes);
    bytes
}

fn bench(criterion: &mut Criterion) {
    for (name, column) in columns() {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20).throughput(Throughput::Elements(ROWS as u64));
        group
            .warm_up_time(std::time::Duration::from_millis(200))
            .measurement_time(std::time::Duration::from_millis(600));
        for effort in [Effort::Fast, Effort::Thorough] {
            let bytes = encode(&column, effort);
            let bits = bytes.len() as f64 * 8.0 / ROWS as f64;
            println!("{name}, {effort:?}: {:?}, {bits:.2} bits per row", column_encoding(&bytes));
            group.bench_function(format!("encode {effort:?}"), |b| {
                b.iter(|| encode(black_box(&column), effort))
            });
        }
        let bytes = encode(&column, Effort::Thorough);
        let mut out = Column::new(column.column_type());
        for (what, range) in [("decode all", 0..ROWS), ("decode 30 of 8192", 4000..4030)] {
            group.throughput(Throughput::Elements(range.len() as u64));
            group.bench_function(what, |b| {
                b.iter(|| {
                    out.clear();
                    decode_column(column.column_type(), black_box(&bytes), ROWS, range.clone(), &mut out)
                        .ok();
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
