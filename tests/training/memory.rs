//! What a job is said to need of memory, against what real workers take with the real data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sandbox::{Sandbox, workers};

/// The folder with the real data; none, with a message, where there is none and this is not CI.
fn data() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let folder = std::env::var_os("SEEDBED_DATA").map_or(beside.into(), PathBuf::from);
    let checked = Sandbox::new().seedbed(&format!("data check --data {}", folder.display()));
    if checked.code == Some(0) {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "CI needs the data files:\n{}", checked.stdout);
    eprintln!(
        "skipped: get the data with 'seedbed data fetch kddcup' and 'seedbed data fetch mnist'"
    );
    None
}

/// The most that any child of a command took until it ended, in bytes.
fn peak(sandbox: &Sandbox, arguments: &str) -> u64 {
    let mut command = sandbox.command(arguments).spawn().expect("seedbed starts");
    let mut peak = 0;
    while command.try_wait().expect("seedbed can be asked").is_none() {
        let taken = workers(command.id()).into_iter().filter_map(high_water);
        peak = taken.max().unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = command.wait_with_output().expect("seedbed ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    peak
}

fn high_water(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[test]
fn a_worker_takes_no_more_than_its_job_is_said_to_need_and_not_much_less() {
    let Some(data) = data() else { return };
    let (sandbox, data) = (Sandbox::new(), data.display());
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    for (name, cell, width) in [
        ("dagmm-kddcup", "reconstruction=sum", 1),
        ("dagmm-kddcup", "reconstruction=sum", 4),
        ("vae-kddcup", "decoder=gaussian,score=reconstruction-error", 2),
        ("conv-vae-mnist", "anomaly-digit=0,score=reconstruction-error", 3),
    ] {
        let path = experiments.join(format!("{name}.toml")).display().to_string();
        let said = sandbox.seedbed(&format!(
            "plan {path} --device cpu --width {width} --cell {cell} --data {data} --json"
        ));
        let said: serde_json::Value = serde_json::from_str(&said.expect(0).stdout).expect("JSON");
        let said = said["experiments"][0]["cells"][0]["bytes-per-job"].as_u64().expect("a number");
        // an epoch of a single seed, whole; of several the steps and part of the scoring
        let taken = if width == 1 {
            let run = format!("run {path} --device cpu --slots 1 --runs 1 --cell {cell}");
            peak(&sandbox, &format!("{run} --set training.epochs=1 --data {data} --resamples 0"))
        } else {
            let steps = format!("bench-step {path} --cell {cell} --width {width} --steps 3");
            peak(&sandbox, &format!("{steps} --data {data}"))
        };
        println!("{name} {width}: said {} MiB, taken {} MiB", said >> 20, taken >> 20);
        assert!(taken <= said, "{name}, {width} seeds: {taken} taken, {said} said");
        assert!(said <= 2 * taken, "{name}, {width} seeds: {taken} taken, {said} said");
    }
}
