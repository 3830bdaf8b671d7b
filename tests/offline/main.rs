//! What needs no trainer: tables, verdicts, reports, data files and documents.

#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/records.rs"]
mod records;
#[path = "../support/sandbox.rs"]
mod sandbox;

mod check_figures;
mod data;
mod documents;
mod elsewhere;
mod ending;
mod examples;
mod golden_metrics;
mod golden_stats;
mod help;
mod methods;
mod own;
mod own_table;
mod paper_table;
mod readings;
mod report;
mod screen;
mod tables;
mod time_left;
mod tutorials;
mod verdict_engine;
mod verify;
