//! What the sources say of themselves: machine code is behind one door, and models hold nothing but
//! mathematics.

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder's entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Places of words in the sources below a folder that are not below another one: file, line and word.
fn places(folder: &Path, but: Option<&Path>, words: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for path in sources(folder) {
        if but.is_some_and(|but| path.starts_with(but)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source is text");
        for (number, line) in text.lines().enumerate() {
            let found = words.iter().filter(|word| line.contains(*word));
            places.extend(found.map(|word| format!("{}:{}: {word}", path.display(), number + 1)));
        }
    }
    places
}

#[test]
fn only_kernels_know_what_instructions_a_processor_has() {
    let train = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let harness = train.join("../../src");
    let kernels = train.join("kernels");
    // in two parts each, so that a search for the words does not find this file
    let words = [
        concat!("std", "::arch"),
        concat!("core", "::arch"),
        concat!("target_", "feature"),
        concat!("is_", "x86"),
    ];
    let none: [String; 0] = [];
    assert_eq!(places(&harness, None, &words), none);
    assert_eq!(places(&train, Some(&kernels), &words), none);
    assert!(!places(&kernels, None, &words).is_empty(), "the door is somewhere else");
}

#[test]
fn kernels_know_slices_alone() {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels");
    let others = ["device", "libtorch", "model", "native", "nn", "run", "training"];
    let words: Vec<String> = others.iter().map(|folder| format!("crate::{folder}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["seedbed::"]).collect();
    let none: [String; 0] = [];
    assert_eq!(places(&kernels, None, &words), none);
}

#[test]
fn models_hold_no_kernel_no_gradient_and_nothing_that_is_locked() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model");
    let words = ["Mutex", "RwLock", "crate::kernels", "crate::native", "backward", "run_backward"];
    let none: [String; 0] = [];
    assert_eq!(places(&models, None, &words), none);
}
