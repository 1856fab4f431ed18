//! How much memory there is for this process, and how much is used.

use std::fs;
use std::path::{Path, PathBuf};

/// A limit of memory, and how to see what counts against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    limit: u64,
    usage: Usage,
}

/// What counts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Usage {
    /// What a cgroup has, without pages of files that the kernel takes back before it runs out.
    Cgroup(PathBuf, &'static Version),
    /// What this process has.
    Process,
}

/// Which files a cgroup has.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    limit: &'static str,
    usage: &'static str,
    /// The line of `memory.stat` with what can be taken back.
    inactive: &'static str,
}

impl Memory {
    /// The smallest limit of the cgroups that this process is in, or else all memory of the machine.
    pub fn find() -> Option<Self> {
        Self::find_below(Path::new("/"))
    }

    /// A limit of this process alone.
    pub fn of_process(limit: u64) -> Self {
        Self { limit, usage: Usage::Process }
    }

    fn find_below(root: &Path) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let limits = groups.lines().flat_map(|line| limits(root, line));
        let info = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        let total = field(&info, "MemTotal:").map(|kib| Self::of_process(kib * 1024));
        limits.chain(total).min_by_key(|memory| memory.limit)
    }

    /// How many bytes may be used.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How many are.
    pub fn used(&self) -> Option<u64> {
        match &self.usage {
            Usage::Cgroup(group, version) => {
                let used = number(&group.join(version.usage))?;
                let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
                Some(used.saturating_sub(field(&stat, version.inactive).unwrap_or_default()))
            }
            Usage::Process => {
                let statm = fs::read_to_string("/proc/self/statm").ok()?;
                let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
                Some(pages * rustix::param::page_size() as u64)
            }
        }
    }
}

/// The limits of a cgroup and of those above it. Within a container its path may be that of the host;
/// the limit is then at the root.
fn limits(root: &Path, line: &str) -> Vec<Memory> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mount, version) = match controllers {
        "" => ("sys/fs/cgroup", &V2),
        "memory" => ("sys/fs/cgroup/memory", &V1),
        _ => return Vec::new(),
    };
    let mount = root.join(mount);
    let all = Path::new(path.trim_start_matches('/')).ancestors().map(|path| mount.join(path));
    let limit = |group: PathBuf| {
        let limit = number(&group.join(version.limit))?;
        Some(Memory { limit, usage: Usage::Cgroup(group, version) })
    };
    all.filter_map(limit).collect()
}

/// `None` where it is `max`.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.split_whitespace().next()?.parse().ok()
}

const V2: Version =
    Version { limit: "memory.max", usage: "memory.current", inactive: "inactive_file" };
const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
};

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684092 kB\nMemFree:         5805720 kB\n";
    const TOTAL: u64 = 24_684_092 * 1024;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn the_smallest_limit_counts_wherever_it_is() {
        let v2 = "sys/fs/cgroup";
        let v1 = "sys/fs/cgroup/memory";
        for (cgroup, files, limit, used) in [
            ("0::/\n", vec![], TOTAL, None),
            ("0::/a/b\n", vec![(format!("{v2}/a/b/memory.max"), "max\n")], TOTAL, None),
            (
                "0::/a/b\n",
                vec![
                    (format!("{v2}/a/b/memory.max"), "max\n"),
                    (format!("{v2}/a/memory.max"), "1000\n"),
                    (format!("{v2}/a/memory.current"), "800\n"),
                    (format!("{v2}/a/memory.stat"), "anon 1\ninactive_file 300\n"),
                ],
                1000,
                Some(500),
            ),
            (
                "4:memory:/of/the/host\n0::/\n",
                vec![
                    (format!("{v1}/memory.limit_in_bytes"), "2000\n"),
                    (format!("{v1}/memory.usage_in_bytes"), "900\n"),
                ],
                2000,
                Some(900),
            ),
            (
                "4:memory:/\n",
                vec![(format!("{v1}/memory.limit_in_bytes"), "9223372036854771712\n")],
                TOTAL,
                None,
            ),
        ] {
            let mut all = vec![("proc/self/cgroup", cgroup), ("proc/meminfo", MEMINFO)];
            all.extend(files.iter().map(|(path, text)| (path.as_str(), *text)));
            let root = root(&all);
            let memory = Memory::find_below(root.path()).expect("a limit");
            assert_eq!(memory.limit(), limit, "{cgroup}");
            match used {
                Some(_) => assert_eq!(memory.used(), used, "{cgroup}"),
                None => assert!(memory.used().is_some_and(|used| used > 1024 * 1024)),
            }
        }
        assert_eq!(Memory::find_below(Path::new("/nonexistent")), None);
    }
}
