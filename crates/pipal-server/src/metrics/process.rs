//! Facts about the process and the machine, read from `/proc` at the moment of a scrape. Where there is no
//! `/proc`, the families are left out.

use super::family::{counter, gauge, header, sample};
use std::time::Instant;

/// Clock ticks per second of `/proc/self/stat`; fixed in the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

/// Appends the families `process_*` and `banyandb_system_*`.
pub fn render_process(out: &mut String, started: Instant) {
    gauge(out, "banyandb_system_up_time", started.elapsed().as_secs_f64());
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    gauge(out, "banyandb_system_cpu_num", cpus as f64);
    render_stat(out);
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        gauge(out, "process_open_fds", entries.count() as f64);
    }
    render_memory(out);
}

fn render_stat(out: &mut String) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The second field is the name in parentheses and may hold spaces; numbers start behind it, with field 3.
    let Some((_, numbers)) = stat.rsplit_once(')') else { return };
    let fields: Vec<&str> = numbers.split_ascii_whitespace().collect();
    let field =
        |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    counter(out, "process_cpu_seconds_total", (field(14) + field(15)) / TICKS_PER_SECOND);
    gauge(out, "process_threads", field(20));
    gauge(out, "process_virtual_memory_bytes", field(23));
    gauge(out, "process_resident_memory_bytes", field(24) * PAGE_BYTES);
    let Ok(boot) = std::fs::read_to_string("/proc/stat") else { return };
    let boot =
        boot.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|text| text.parse::<f64>().ok());
    if let Some(boot) = boot {
        gauge(out, "process_start_time_seconds", boot + field(22) / TICKS_PER_SECOND);
    }
}

fn render_memory(out: &mut String) {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return };
    let kibibytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_ascii_whitespace().next())
            .and_then(|number| number.parse::<f64>().ok())
    };
    let (Some(total), Some(available)) = (kibibytes("MemTotal:"), kibibytes("MemAvailable:")) else { return };
    let name = "banyandb_system_memory_state";
    header(out, name, "gauge");
    sample(out, name, &[("kind", "total")], total * 1024.0);
    sample(out, name, &[("kind", "used")], (total - available) * 1024.0);
    sample(out, name, &[("kind", "used_percent")], (total - available) / total.max(1.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_is_described() {
        let mut out = String::new();
        render_process(&mut out, Instant::now());
        for name in ["process_resident_memory_bytes ", "process_open_fds ", "banyandb_system_cpu_num "] {
            let line = out.lines().find(|line| line.starts_with(name));
            let value: f64 = line.and_then(|line| line.strip_prefix(name)).unwrap().parse().unwrap();
            assert!(value >= 1.0, "{name}{value}");
        }
    }
}
