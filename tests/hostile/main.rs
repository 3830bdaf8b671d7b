//! The program where things go wrong: processes that die, disks that are full, files from strangers.

#[path = "../support/records.rs"]
mod records;
#[path = "../support/sandbox.rs"]
mod sandbox;

mod chaos;
mod faults;
mod losing;
mod namespaces;
mod silence;
mod storage;
mod strangers;
mod trainers;
