//! Tables whose public home is known. They are told by their digest: what an experiment calls the file
//! does not matter.

use std::borrow::Cow;

use super::super::{DataFile, kddcup};

/// A file with a public home.
#[derive(Debug)]
pub(in super::super) struct Known {
    pub(in super::super) file: DataFile,
    pub(super) rows: usize,
    pub(super) features: usize,
}

/// Two tables of Outlier Detection DataSets (Rayana, 2016), as PyOD's repository has them.
pub(in super::super) static KNOWN: [Known; 2] = [
    Known {
        file: mat(
            "thyroid",
            "thyroid.mat",
            "49155d7861b977e90808faf68343ff67a67f63090c2744d514dbb67ac68e7e33",
            THYROID_BYTES,
            &[concat!(
                "https://raw.githubusercontent.com/yzhao062/pyod/",
                "2e9e5b2642d16930cac6b27cc0a8a5d6e3bb1bbc/notebooks/data/thyroid.mat"
            )],
        ),
        rows: 3772,
        features: 6,
    },
    Known {
        file: mat(
            "arrhythmia",
            "arrhythmia.mat",
            "e4d47e499591ae31e5d7f0cd983367092353eac240f48e14c9b36457edb3460d",
            ARRHYTHMIA_BYTES,
            &[concat!(
                "https://raw.githubusercontent.com/yzhao062/pyod/",
                "2e9e5b2642d16930cac6b27cc0a8a5d6e3bb1bbc/examples/data/arrhythmia.mat"
            )],
        ),
        rows: 452,
        features: 274,
    },
];

const THYROID_BYTES: u64 = 39_704;
const ARRHYTHMIA_BYTES: u64 = 105_540;

const fn mat(
    dataset: &'static str,
    name: &'static str,
    raw_sha256: &'static str,
    bytes: u64,
    urls: &'static [&'static str],
) -> DataFile {
    DataFile {
        name: Cow::Borrowed(name),
        folder: None,
        dataset,
        raw_sha256: Cow::Borrowed(raw_sha256),
        bytes,
        raw_bytes: Some(bytes),
        urls,
        npm: None,
    }
}

/// Returns the known table with this digest.
pub(super) fn of(sha256: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.file.raw_sha256 == sha256)
}

/// Returns the file with this digest that can be fetched, be it a table or not only that.
pub(super) fn file(sha256: &str) -> Option<&'static DataFile> {
    let tables = KNOWN.iter().map(|known| &known.file);
    tables.chain(&kddcup::FILES).find(|file| file.raw_sha256 == sha256)
}
