//! The time left that a display shows, held against sessions that were recorded while they ran
//! (`seedbed run … --record-schedule FILE`).

use std::path::{Path, PathBuf};

use seedbed::schedule::recording::Recording;

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schedules");
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn after_a_tenth_of_a_session_the_time_left_is_told_within_thirty_percent() {
    assert!(!recordings().is_empty());
    for path in recordings() {
        let said = Recording::read(&path).expect("a recording").replay();
        let end = said.last().expect("a moment").0;
        let mut checked = 0;
        for (at, left) in said.iter().filter(|(at, _)| *at >= 0.1 * end) {
            let left =
                left.unwrap_or_else(|| panic!("{}: nothing is told at {at} s", path.display()));
            let truth = end - at;
            let error = (left - truth).abs();
            // of what is left at a tenth; towards the end a second is a large share of what is left
            let bound = 0.3 * (0.9 * end).min(truth.max(0.25 * end));
            assert!(error <= bound, "{}: {left} s at {at} s of {end} s", path.display());
            checked += 1;
        }
        assert!(checked > 20, "{}: {checked}", path.display());
    }
}

#[test]
fn the_error_of_the_time_left_falls_as_a_session_goes_on() {
    for path in recordings() {
        let said = Recording::read(&path).expect("a recording").replay();
        let end = said.last().expect("a moment").0;
        let mean = |from: f64, to: f64| {
            let part = said.iter().filter(|(at, _)| (from * end..to * end).contains(at));
            let errors: Vec<f64> =
                part.filter_map(|(at, left)| Some((left.as_ref()? - (end - at)).abs())).collect();
            errors.iter().sum::<f64>() / errors.len().max(1) as f64
        };
        let (first, last) = (mean(0.1, 0.4), mean(0.7, 1.0));
        assert!(last < first, "{}: {first} s, then {last} s", path.display());
    }
}
