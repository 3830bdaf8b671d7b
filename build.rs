//! Tells the crate which commit it is built from, and the trainer, which uses the crate, with which
//! version of tch.

use std::path::Path;
use std::process::Command;

/// What a binary is made of; a difference from the commit in any other file does not make it dirty.
const SOURCES: [&str; 6] = ["src", "train", "build.rs", "Cargo.toml", "Cargo.lock", ".cargo"];

fn main() {
    record_rustc();
    record_tch();
    record_commit();
}

/// Sets SEEDBED_RUSTC to what the compiler says of its version.
fn record_rustc() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).arg("--version").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("cargo::rustc-env=SEEDBED_RUSTC={}", text.trim());
}

/// Sets SEEDBED_TCH to the version of tch in Cargo.lock.
fn record_tch() {
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let entry = lock.split("[[package]]").find(|entry| entry.contains("name = \"tch\"\n"));
    let version = entry.and_then(|entry| entry.split('"').nth(3)).unwrap_or("unknown");
    println!("cargo::rustc-env=SEEDBED_TCH={version}");
}

/// Sets SEEDBED_COMMIT (empty where the sources are no repository of their own) and SEEDBED_DIRTY.
fn record_commit() {
    let here = std::env::current_dir().ok().and_then(|path| path.canonicalize().ok());
    // Unpacked inside another project's repository, that project's commit would say nothing.
    let root = git(&["rev-parse", "--show-toplevel"])
        .and_then(|root| Path::new(&root).canonicalize().ok());
    let commit = if root == here { git(&["rev-parse", "--verify", "HEAD"]) } else { None };
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat());
    let clean = commit.is_some() && changes.is_some_and(|changes| changes.is_empty());
    println!("cargo::rustc-env=SEEDBED_COMMIT={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=SEEDBED_DIRTY={}", !clean);

    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    // The index is not watched: every `git status` rewrites it. The log of HEAD grows with each
    // commit, checkout and reset.
    for name in ["HEAD", "logs/HEAD", "refs/heads", "packed-refs"] {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// What git prints; nothing where there is no git or it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
