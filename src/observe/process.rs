//! What the system knows of this process (proc(5)); the names are those of every Prometheus client.

use std::fs;

/// Figures of the process; absent where procfs is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_descriptors: u64,
    pub(super) max_descriptors: u64,
}

impl Process {
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // the name in field 2 may contain anything, so fields are counted from its end
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let field = |place: usize| fields.get(place)?.parse::<u64>().ok();
        let ticks = field(11)? + field(12)?;
        let pages = field(21)?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Some(Self {
            cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            resident_bytes: pages * rustix::param::page_size() as u64,
            open_descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
            max_descriptors: limit.unwrap_or(u64::MAX),
        })
    }
}
