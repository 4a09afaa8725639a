//! What a phase of a run costs the server, the generator and the disk.

use std::path::PathBuf;
use std::time::Duration;

use crate::process_meter::{ProcessUsage, disk_bytes, process_usage, settle};
use crate::report::{Report, Section, round3};

const MIB: f64 = 1024.0 * 1024.0;

/// What to look at besides the answers.
#[derive(Debug, Clone, clap::Args)]
pub struct MeterOptions {
    /// Process id of the server: adds its CPU time and memory to the report
    #[arg(long)]
    pub pid: Option<u32>,
    /// Data directory of the server: adds the bytes on disk per distinct point
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Wait after each phase until the server's CPU rests (needs --pid)
    #[arg(long, requires = "pid")]
    pub settle: bool,
    /// How long the server must have rested, seconds; longer than its age of flushes (Pipal: 20)
    #[arg(long, default_value_t = 25, value_name = "S")]
    pub rest_s: u64,
    /// Longest wait for the server to rest, seconds
    #[arg(long, default_value_t = 180, value_name = "S")]
    pub settle_limit_s: u64,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// The state before a phase.
#[derive(Debug)]
pub struct PhaseStart {
    server: Option<ProcessUsage>,
    own: ProcessUsage,
    disk_bytes: Option<u64>,
}

impl MeterOptions {
    fn server_usage(&self) -> Result<Option<ProcessUsage>, String> {
        self.pid.map(|pid| process_usage(&pid.to_string())).transpose()
    }

    /// Notes the state before a phase.
    pub fn start(&self) -> Result<PhaseStart, String> {
        Ok(PhaseStart {
            server: self.server_usage()?,
            own: process_usage("self")?,
            disk_bytes: self.data_dir.as_deref().map(disk_bytes),
        })
    }

    /// Adds the cost of the phase. `operations` names what was done, say `points` or `queries`; `distinct_points` is
    /// how many of the written points were new.
    pub async fn finish(
        &self,
        start: &PhaseStart,
        section: &mut Section,
        operations: (&str, u64),
        distinct_points: u64,
        report: &mut Report,
    ) -> Result<(), String> {
        let (what, count) = operations;
        let own_cpu_s = process_usage("self")?.cpu_s - start.own.cpu_s;
        section.figure("generator_cpu_s", round3(own_cpu_s));
        if let (Some(before), Some(now), Some(pid)) = (start.server, self.server_usage()?, self.pid) {
            let per_cpu_second = |cpu_s: f64| (count as f64 / cpu_s.max(0.01)).round();
            let cpu_s = now.cpu_s - before.cpu_s;
            section.figure("server_cpu_s", round3(cpu_s));
            section.figure(format!("{what}_per_server_cpu_second"), per_cpu_second(cpu_s));
            if self.settle {
                let (window, limit) =
                    (Duration::from_secs(self.rest_s), Duration::from_secs(self.settle_limit_s));
                let rested = settle(&pid.to_string(), window, limit).await?;
                let settled_s = process_usage(&pid.to_string())?.cpu_s - before.cpu_s;
                section.figure("server_cpu_settled_s", round3(settled_s));
                section.figure(format!("{what}_per_server_cpu_second_settled"), per_cpu_second(settled_s));
                if !rested {
                    report.fault(format!("the server did not come to rest within {} s", self.settle_limit_s));
                }
            }
            let memory = process_usage(&pid.to_string())?;
            section.figure("server_rss_mib", round3(memory.rss_bytes as f64 / MIB));
            section.figure("server_peak_mib", round3(memory.rss_peak_bytes as f64 / MIB));
        }
        if let (Some(before), Some(directory)) = (start.disk_bytes, self.data_dir.as_deref()) {
            let now = disk_bytes(directory);
            section.figure("disk_bytes", now);
            if distinct_points > 0 {
                let added = now as f64 - before as f64;
                section.figure("disk_bytes_per_distinct_point", round3(added / distinct_points as f64));
                section.figure("disk_bytes_per_written_point", round3(added / count.max(1) as f64));
            }
        }
        Ok(())
    }
}
