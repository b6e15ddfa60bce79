//! The memory and CPU limits of this process: those of its control groups, else those of the machine. Alerts
//! compare usage with them. Source: <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use std::fs;
use std::path::{Path, PathBuf};

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// The control groups that limit this process, and its limits without them.
#[derive(Clone, Debug)]
pub(crate) struct ResourceLimits {
    groups: Vec<PathBuf>,
    threads: f64,
}

impl ResourceLimits {
    /// Returns the limits of this process, which has `threads` runtime threads.
    pub(crate) fn new(threads: u32) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { groups: cgroup_ancestors(Path::new(CGROUP_ROOT), &own), threads: threads.into() }
    }

    /// Returns the memory limit in bytes. Reads it each time, since it may change while the process runs.
    pub(crate) fn memory_bytes(&self) -> f64 {
        self.min_limit("memory.max", parse_memory_max).unwrap_or(f64::INFINITY).min(machine_memory_bytes())
    }

    /// Returns the CPU limit in cores, at most one per runtime thread.
    pub(crate) fn cpu_cores(&self) -> f64 {
        // The standard library rounds a quota to whole cores, so `cpu.max` is read directly.
        let machine =
            || std::thread::available_parallelism().map_or(f64::INFINITY, |cores| cores.get() as f64);
        self.min_limit("cpu.max", parse_cpu_max).unwrap_or_else(machine).min(self.threads)
    }

    /// Returns the lowest limit of all groups. A group may allow less than its parent; the root has no such
    /// file.
    fn min_limit(&self, file: &str, parse: fn(&str) -> Option<f64>) -> Option<f64> {
        let texts = self.groups.iter().filter_map(|group| fs::read_to_string(group.join(file)).ok());
        texts.filter_map(|text| parse(&text)).reduce(f64::min)
    }
}

/// Returns the process's group and its ancestors. In a container the process's own group is the root.
fn cgroup_ancestors(root: &Path, own: &str) -> Vec<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).filter(|own| !own.contains(".."));
    let inner = root.join(own.unwrap_or_default());
    inner.ancestors().take_while(|group| group.starts_with(root)).map(Path::to_path_buf).collect()
}

fn parse_memory_max(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// Parses `cpu.max`: microseconds of CPU time, or `max`, per period in microseconds.
fn parse_cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    Some(quota / period)
}

#[cfg(target_os = "linux")]
fn machine_memory_bytes() -> f64 {
    let machine = rustix::system::sysinfo();
    machine.totalram as f64 * f64::from(machine.mem_unit)
}

#[cfg(not(target_os = "linux"))]
fn machine_memory_bytes() -> f64 {
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_includes_its_ancestors() {
        let root = Path::new(CGROUP_ROOT);
        let service = cgroup_ancestors(root, "0::/system.slice/api.service\n");
        let within = |path: &str| root.join(path);
        assert_eq!(service, [within("system.slice/api.service"), within("system.slice"), root.to_path_buf()]);
        for container in ["0::/\n", "0::/../../elsewhere\n", "4:memory:/old\n", ""] {
            assert_eq!(cgroup_ancestors(root, container), [root.to_path_buf()], "{container}");
        }
    }

    #[test]
    fn kernel_limit_formats_are_parsed() {
        assert_eq!((parse_memory_max("max\n"), parse_memory_max("268435456\n")), (None, Some(268_435_456.0)));
        assert_eq!((parse_cpu_max("max 100000\n"), parse_cpu_max("50000 100000\n")), (None, Some(0.5)));
    }

    #[test]
    fn limits_fall_back_to_machine() {
        let free = ResourceLimits { groups: Vec::new(), threads: 1024.0 };
        assert!(free.memory_bytes() > 64.0 * 1024.0 * 1024.0, "{}", free.memory_bytes());
        assert!(free.cpu_cores() >= 1.0 && free.cpu_cores() <= 1024.0);
        assert_eq!(ResourceLimits { threads: 1.0, ..free }.cpu_cores(), 1.0, "one thread uses one core");
    }
}
