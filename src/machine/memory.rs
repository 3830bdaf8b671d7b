//! Memory: what a place has and what a job needs, in bytes. Reads what Linux tells of this machine;
//! what runs where is `schedule`'s business, and what a card has `gpu`'s.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a device has, for everyone who uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub total: u64,
    /// What can be had now.
    pub free: u64,
}

/// What a job takes at its largest; the more, the more seeds it trains together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Need {
    pub fixed: u64,
    pub per_seed: u64,
}

impl Need {
    /// Of a job of so many seeds.
    pub fn of(self, seeds: usize) -> u64 {
        self.fixed.saturating_add(self.per_seed.saturating_mul(seeds as u64))
    }

    /// How many seeds fit, at least one.
    pub fn width_within(self, bytes: u64) -> usize {
        let seeds = bytes.saturating_sub(self.fixed) / self.per_seed.max(1);
        usize::try_from(seeds).unwrap_or(usize::MAX).max(1)
    }
}

/// `640 MiB`, `23.6 GiB`.
pub fn text(bytes: u64) -> String {
    const MIB: f64 = (1u64 << 20) as f64;
    match bytes as f64 / MIB {
        mib if mib < 1000.0 => format!("{mib:.0} MiB"),
        mib => format!("{:.1} GiB", mib / 1024.0),
    }
}

/// This machine's, or what the control groups leave of it to this process; none where the system
/// does not say.
pub fn host() -> Option<Memory> {
    host_at(Path::new("/"))
}

fn host_at(root: &Path) -> Option<Memory> {
    let info = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let machine = Memory { total: field("MemTotal:")?, free: field("MemAvailable:")? };
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| limits(root, line));
    Some(limits.fold(machine, |one, other| Memory {
        total: one.total.min(other.total),
        free: one.free.min(other.free),
    }))
}

/// What a line of `/proc/self/cgroup` limits, `0::/path` (version 2) or `4:memory:/path` (version
/// 1), by the group itself and those above it.
fn limits(root: &Path, line: &str) -> Vec<Memory> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (top, limit, usage) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
        "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        _ => return Vec::new(),
    };
    let top = root.join(top);
    let group = top.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|folder| folder.starts_with(&top));
    let memory = |folder: &Path| {
        // "max" is no number and no limit
        let number =
            |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let total = number(limit)?;
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cache = |line: &str| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok();
        // the kernel gives up unused pages of files before it refuses memory
        let cache = statistics.lines().find_map(cache).unwrap_or(0);
        let used = number(usage)?.saturating_sub(cache);
        Some(Memory { total, free: total.saturating_sub(used) })
    };
    groups.filter_map(memory).collect()
}

/// How many processes of this one's control group the kernel has killed for want of memory, in it or in all
/// the machine; where no group counts, how many of the machine's. 0 where the system does not say.
pub fn kills() -> u64 {
    kills_at(Path::new("/"))
}

fn kills_at(root: &Path) -> u64 {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_group = |line: &str| {
        let (folder, events) = match line.split_once(':')?.1.split_once(':')? {
            ("", path) => {
                (root.join("sys/fs/cgroup").join(path.trim_start_matches('/')), "memory.events")
            }
            ("memory", path) => {
                let top = root.join("sys/fs/cgroup/memory");
                (top.join(path.trim_start_matches('/')), "memory.oom_control")
            }
            _ => return None,
        };
        count_of(&folder.join(events))
    };
    let own = groups.lines().find_map(of_group);
    own.or_else(|| count_of(&root.join("proc/vmstat"))).unwrap_or(0)
}

fn count_of(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn machine(files: &[(&str, &str)]) -> Option<Memory> {
        host_at(root(files).path())
    }

    const INFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:    16 kB\nMemFree:  2 kB\nMemAvailable:   8 kB\n");

    #[test]
    fn a_machine_without_limits_has_what_is_available() {
        assert_eq!(machine(&[INFO]), Some(Memory { total: 16384, free: 8192 }));
        assert_eq!(machine(&[("proc/meminfo", "MemTotal: 16 kB\n")]), None);
        assert_eq!(machine(&[]), None);
    }

    #[test]
    fn the_narrowest_control_group_counts_and_its_unused_cache_is_free() {
        let v2 = machine(&[
            INFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "3000\n"),
            ("sys/fs/cgroup/a/memory.max", "4000\n"),
            ("sys/fs/cgroup/a/memory.current", "3000\n"),
            ("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 500\n"),
        ]);
        assert_eq!(v2, Some(Memory { total: 4000, free: 1500 }));
        let v1 = machine(&[
            INFO,
            ("proc/self/cgroup", "5:devices:/a\n4:memory:/a\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9000\n"),
            ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000\n"),
            // as version 1 spells no limit
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "100\n"),
        ]);
        assert_eq!(v1, Some(Memory { total: 9000, free: 8000 }));
    }

    #[test]
    fn as_many_seeds_as_fit_and_at_least_one() {
        let need = Need { fixed: 100, per_seed: 10 };
        assert_eq!(need.of(3), 130);
        assert_eq!(need.width_within(130), 3);
        assert_eq!(need.width_within(139), 3);
        assert_eq!(need.width_within(50), 1);
        assert_eq!(Need { fixed: 0, per_seed: 0 }.width_within(u64::MAX), usize::MAX);
    }

    #[test]
    fn kills_for_memory_are_those_of_the_own_control_group_where_it_counts() {
        let kills = |files: &[(&str, &str)]| kills_at(root(files).path());
        let machine = ("proc/vmstat", "oom_kill_disable 1\noom_kill 7\n");
        assert_eq!(kills(&[]), 0);
        assert_eq!(kills(&[machine]), 7);
        // the root group has no such file
        assert_eq!(kills(&[machine, ("proc/self/cgroup", "0::/\n")]), 7);
        let v2 = ("sys/fs/cgroup/a/b/memory.events", "oom 3\noom_kill 2\noom_group_kill 9\n");
        assert_eq!(kills(&[machine, ("proc/self/cgroup", "0::/a/b\n"), v2]), 2);
        let groups = ("proc/self/cgroup", "5:devices:/a\n4:memory:/a\n0::/\n");
        let v1 = ("sys/fs/cgroup/memory/a/memory.oom_control", "under_oom 0\noom_kill 1\n");
        assert_eq!(kills(&[machine, groups, v1]), 1);
    }
}
