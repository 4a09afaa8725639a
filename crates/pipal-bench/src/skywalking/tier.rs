//! Sizes of the observed installation (workload model, section 5.2).

/// How large an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tier {
    /// 10 services, 40 instances, 100 endpoints
    Smoke,
    /// 426 services, 2,820 instances, 4,500 endpoints: half of the published benchmark
    Small,
    /// 852 services, 5,640 instances, 9,000 endpoints: the published benchmark
    Standard,
    /// 4,000 services, 28,000 instances, 60,000 endpoints
    Large,
}

/// Numbers of entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub services: usize,
    pub instances: usize,
    pub endpoints: usize,
}

/// What an installation of a tier does besides writing metrics (workload model, sections 5.2 and 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    pub logs_per_second: u32,
    pub segments_per_second: u32,
    pub queries_per_second: u32,
}

/// The tier on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct TierOptions {
    /// Size of the observed installation
    #[arg(long, value_enum, default_value = "smoke")]
    pub tier: Tier,
}

impl Tier {
    /// Numbers of entities of the tier.
    pub fn sizes(self) -> Sizes {
        let (services, instances, endpoints) = match self {
            Tier::Smoke => (10, 40, 100),
            Tier::Small => (426, 2_820, 4_500),
            Tier::Standard => (852, 5_640, 9_000),
            Tier::Large => (4_000, 28_000, 60_000),
        };
        Sizes { services, instances, endpoints }
    }

    /// Rates of logs, segments and queries.
    pub fn rates(self) -> Rates {
        let (logs_per_second, segments_per_second, queries_per_second) = match self {
            Tier::Smoke => (20, 20, 20),
            Tier::Small => (360, 444, 20),
            Tier::Standard => (2_517, 2_220, 100),
            Tier::Large => (10_000, 10_000, 500),
        };
        Rates { logs_per_second, segments_per_second, queries_per_second }
    }
}
