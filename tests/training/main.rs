//! The whole program, training: plans, runs, sharing, publishing, verification.

#[path = "../support/sandbox.rs"]
mod sandbox;

mod bench_gpu;
mod cli;
mod decided;
mod determinism;
mod kept_scores;
mod memory;
mod protocol;
mod published;
mod readings;
mod sharing;
mod variational;
mod verify_training;
