//! Figures of the process itself, read from `/proc` when somebody asks for them.

use std::fmt::Write;
use std::fs;

/// Ticks a second in `/proc/self/stat`: the same on every Linux that we build for.
const TICKS: f64 = 100.0;

/// Appends `process_*` in the form of Prometheus. What the system does not tell is left out.
pub(crate) fn render(text: &mut String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; the fields behind it begin with the third.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<f64>().ok());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| number_after(&status, name).map(|kb| kb * 1024.0);
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
    let started = field(22).zip(boot_time()).map(|(ticks, boot)| boot + ticks / TICKS);
    let files = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    put(text, "process_cpu_seconds_total", "counter", "User and system time", cpu);
    put(text, "process_resident_memory_bytes", "gauge", "Memory in use", kilobytes("VmRSS:"));
    put(text, "process_virtual_memory_bytes", "gauge", "Memory asked for", kilobytes("VmSize:"));
    put(text, "process_threads", "gauge", "Threads", number_after(&status, "Threads:"));
    put(text, "process_open_fds", "gauge", "Open files and sockets", files);
    put(text, "process_max_fds", "gauge", "Limit of open files and sockets", max_files());
    put(text, "process_start_time_seconds", "gauge", "Start of the process since 1970", started);
}

fn put(text: &mut String, name: &str, kind: &str, meaning: &str, value: Option<f64>) {
    if let Some(value) = value {
        let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}");
    }
}

fn number_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn boot_time() -> Option<f64> {
    number_after(&fs::read_to_string("/proc/stat").ok()?, "btime")
}

fn max_files() -> Option<f64> {
    number_after(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files")
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_all_its_figures() {
        let mut text = String::new();
        super::render(&mut text);
        let values: Vec<f64> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(values.len(), 7, "{text}");
        assert!(values[1..].iter().all(|value| *value > 0.0), "{text}");
        assert!(values[6] > 1_700_000_000.0, "{text}");
    }
}
