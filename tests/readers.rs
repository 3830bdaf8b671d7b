//! Readers of files that anybody may have written, under thousands of made-up and damaged ones each:
//! experiments and papers in TOML, records, `runs.csv`, `losses.csv`, idx files, KDD Cup 99, gzip, files of
//! scores, and tables as csv, arff, npz, mat and parquet. None panics or asks for more memory than its input accounts
//! for, and what one accepts is what its module promises. The cases follow from fixed seeds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Cursor, Read, Write};
use std::path::{Component, Path};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use npyz::WriterBuilder;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use seedbed::dataset::{self, DatasetSpec};
use seedbed::experiment::{Experiment, Scale, Selection};
use seedbed::method::score_file;
use seedbed::paper;
use seedbed::report::csv;
use seedbed::store::record::{Job, Record};
use seedbed::store::{Store, Stored, Wanted};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const CASES: u32 = 10_000;
const MEBIBYTE: usize = 1 << 20;

/// Counts the bytes that each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // a thread that is ending counts no more
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps what the trait asks for, and this hands it on
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps what the trait asks for, and this hands it on
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps what the trait asks for, and this hands it on
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // for a moment there may be both
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps what the trait asks for, and this hands it on
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `read` gives, and the most bytes it held beside what there was.
fn measured<T>(read: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let given = read();
    (given, (MOST.get() - before) as usize)
}

/// Writes a file anew: some file systems flush to the disk whatever is written over a file.
fn put(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
    // there may be none
    drop(std::fs::remove_file(&path));
    std::fs::write(path, bytes)
}

/// Runs `test` on as many cases as promised, the same ones every time.
#[track_caller]
fn each<S: Strategy>(cases: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config =
        ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    if let Err(error) = runner.run(&cases, test) {
        panic!("{error}");
    }
}

/// One change of a file: what, where (as a share of its length), over how much, and with what.
type Change = (u8, u32, u8, Vec<u8>);

/// A few changes, whose pieces are words of the file's own language or any bytes.
fn changes(words: &'static [&'static str]) -> impl Strategy<Value = Vec<Change>> {
    let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
    let piece = prop_oneof![3 => word, 1 => prop::collection::vec(any::<u8>(), 0..6)];
    prop::collection::vec((0u8..6, any::<u32>(), any::<u8>(), piece), 0..6)
}

fn changed(text: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for (what, place, length, piece) in changes {
        let at = (bytes.len() as u64 * u64::from(*place) / (1 << 32)) as usize;
        let end = (at + usize::from(*length)).min(bytes.len());
        // the word that begins at or after the place: whole values are worth changing
        let word = |bytes: &[u8]| {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
            let start = bytes[at..].iter().position(plain).map_or(bytes.len(), |skip| at + skip);
            let length = bytes[start..].iter().position(|b| !plain(b));
            start..length.map_or(bytes.len(), |length| start + length)
        };
        match what {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, piece.iter().copied())),
            2 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            3 if *length < 16 => bytes.truncate(at),
            _ => drop(bytes.splice(word(&bytes), piece.iter().copied())),
        }
    }
    bytes
}

/// Pieces of a language in any order.
fn soup(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let words = prop::collection::vec(prop::sample::select(words), 0..60);
    prop_oneof![
        2 => words.prop_map(|words| words.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..600),
    ]
}

/// The files of a folder of the project, sorted by name, with their names.
fn shipped(folder: &str, end: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file"));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?.strip_suffix(end)?.to_owned();
            Some((name, std::fs::read(entry.path()).ok()?))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

const TOML: &[&str] = &[
    "name",
    "title",
    "paper",
    "runs",
    "[dataset]\n",
    "[protocol]\n",
    "[model]\n",
    "[training]\n",
    "[axes]\n",
    "[quick]\n",
    "[controls]\n",
    "[[figures]]\n",
    "[margins.f1]\n",
    "\"model.latent\"",
    "\"protocol.split./tmp/x\"",
    "= ",
    "= [",
    "]",
    ", ",
    "{ ",
    " }",
    "\n",
    "\"",
    "'",
    "\"\"\"",
    ".",
    "#",
    "kind",
    "untrained",
    "true",
    "0",
    "-1",
    "1e400",
    "nan",
    "inf",
    "9223372036854775807",
    "18446744073709551616",
    "1000000000000000000",
    "0.5",
    "\"../../x\"",
    "\"/etc/passwd\"",
    "\"\\u0000\"",
    "\"\\u001b[2J\"",
    "\"<script>\"",
    "\"$(id)\"",
    "1979-05-27T07:32:00Z",
    "\u{202e}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
];

/// Parses an experiment: what is accepted can be run, and stays in its folder.
fn experiment(name: &str, text: &str, selection: &Selection) -> Result<(), TestCaseError> {
    let path = format!("experiments/{name}.toml");
    let (parsed, held) = measured(|| Experiment::parse(Path::new(&path), text, selection));
    let cells = parsed.as_ref().map_or(0, |parsed| parsed.cells.len());
    prop_assert!(held < 400 * text.len() + 20_000 * cells + MEBIBYTE, "held {held} bytes");
    let Ok(parsed) = parsed else { return Ok(()) };
    prop_assert!(parsed.seeds.len() <= 100_000 && cells <= 20_000);
    prop_assert_eq!(&parsed.name, name);
    for cell in &parsed.cells {
        let mut parts = Path::new(cell.label.as_str()).components();
        let one = matches!(parts.next(), Some(Component::Normal(part)) if part == &*cell.label);
        let label = &cell.label;
        prop_assert!(one && parts.next().is_none() && label.len() < 250, "{label}");
        prop_assert!(!label.contains(|c: char| c.is_control() || "'\"<>&".contains(c)), "{label}");
    }
    Ok(())
}

#[test]
fn any_text_is_an_experiment_or_is_refused() {
    each(soup(TOML), |bytes| {
        experiment("x", &String::from_utf8_lossy(&bytes), &Selection::default())
    });
}

#[test]
fn a_damaged_experiment_is_one_that_can_be_run_or_is_refused() {
    let files = shipped("experiments", ".toml");
    each(
        (any::<prop::sample::Index>(), any::<bool>(), changes(TOML)),
        |(which, quick, changes)| {
            let (name, text) = which.get(&files);
            let text = changed(text, &changes);
            let selection = Selection { quick, ..Selection::default() };
            experiment(name, &String::from_utf8_lossy(&text), &selection)
        },
    );
}

#[test]
fn any_setting_from_the_command_line_is_taken_or_refused() {
    let files = shipped("experiments", ".toml");
    let key =
        prop::sample::select(vec!["model.latent", "training.epochs", "dataset", "runs", "", "a.b"]);
    let key = prop_oneof![key.prop_map(str::to_owned), ".*"];
    let value = prop_oneof![prop::sample::select(TOML).prop_map(str::to_owned), ".*"];
    each((any::<prop::sample::Index>(), key, value), |(which, key, value)| {
        let (name, text) = which.get(&files);
        let selection = Selection { set: vec![format!("{key}={value}")], ..Selection::default() };
        experiment(name, &String::from_utf8_lossy(text), &selection)
    });
}

#[test]
fn a_damaged_paper_keeps_its_promises_or_is_refused() {
    let files = shipped("experiments/papers", ".toml");
    let folder = TempDir::new().expect("a folder");
    let changes = prop_oneof![
        3 => (any::<prop::sample::Index>(), changes(TOML)).prop_map(|(which, c)| (which, c, None)),
        1 => (any::<prop::sample::Index>(), soup(TOML)).prop_map(|(which, s)| (which, vec![], Some(s))),
    ];
    each(changes, |(which, changes, soup)| {
        let (name, text) = which.get(&files);
        let text = soup.unwrap_or_else(|| changed(text, &changes));
        put(folder.path().join(format!("{name}.toml")), &text)?;
        let (read, held) = measured(|| paper::load(folder.path(), name));
        prop_assert!(held < 400 * text.len() + MEBIBYTE, "held {held} bytes");
        for figure in read.iter().flat_map(|paper| &paper.figures) {
            prop_assert!((0.0..=1.0).contains(&figure.value) && figure.decimals <= 17);
        }
        Ok(())
    });
}

fn record() -> Record {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/synthetic.toml");
    let experiment = Experiment::load(&path.to_string_lossy(), &Selection::default());
    let cell = experiment.expect("a shipped experiment").cells.remove(0);
    let job = Job::of("synthetic", Scale::Full, Vec::new(), vec![1]);
    Record {
        threshold: Some(0.25),
        diagnostics: [("x".to_owned(), 1e-300)].into(),
        epochs: 3,
        loss_curve: vec![vec![1.0 / 3.0], vec![f64::MAX]],
        loss_terms: vec!["loss".to_owned()],
        wall_seconds: 1.5,
        ..Record::of(&job, &cell, 1, "d")
    }
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "1e-999",
    "18446744073709551616",
    "\"../../x\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"sha256\"",
    "\"seed\"",
    "\"label\"",
    "\"ok\"",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// Looks for the run of `record` in a store whose file holds `text`.
fn looked_up(store: &Store, record: &Record, text: &[u8]) -> Result<Stored, TestCaseError> {
    put(store.path(&record.cell.label, 1), text)?;
    let wanted = Wanted {
        cell: &record.cell,
        seed: 1,
        scale: Scale::Full,
        data_sha256: "d",
        device_kind: Some("cpu"),
    };
    let (stored, held) = measured(|| store.get(&wanted));
    prop_assert!(held < 400 * text.len() + MEBIBYTE, "held {held} bytes");
    stored.map_err(|error| TestCaseError::fail(error.to_string()))
}

fn stored() -> (TempDir, Store, Record, String) {
    let (folder, record) = (TempDir::new().expect("a folder"), record());
    let store = Store::open(folder.path(), "synthetic");
    store.put(&record).expect("a record");
    let text = std::fs::read_to_string(store.path(&record.cell.label, 1)).expect("its file");
    (folder, store, record, text)
}

#[test]
fn a_damaged_record_is_read_as_it_was_written_or_not_at_all() {
    let (_folder, store, record, text) = stored();
    let damaged = prop_oneof![
        3 => changes(JSON).prop_map(|changes| (changes, None)),
        1 => soup(JSON).prop_map(|soup| (vec![], Some(soup))),
    ];
    each(damaged, |(changes, soup)| {
        let bytes = soup.unwrap_or_else(|| changed(text.as_bytes(), &changes));
        match looked_up(&store, &record, &bytes)? {
            Stored::Same(read) => prop_assert_eq!(*read, record.clone()),
            Stored::Different(..) | Stored::Missing => prop_assert!(false, "it was believed"),
            Stored::Unreadable(why) => prop_assert!(!why.is_empty()),
        }
        Ok(())
    });
}

/// Every place of a JSON value, as pointers.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, inner)| pointers(inner, &format!("{at}/{key}"), found));
        }
        Value::Array(list) => {
            let places = list.iter().enumerate();
            places.for_each(|(place, inner)| pointers(inner, &format!("{at}/{place}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_record_with_a_right_checksum_and_any_content_is_in_its_place_or_is_none() {
    let (_folder, store, record, text) = stored();
    let mut whole: Value = serde_json::from_str(&text).expect("JSON");
    whole.as_object_mut().expect("an object").shift_remove("sha256");
    let mut places = Vec::new();
    pointers(&whole, "", &mut places);
    places.remove(0);
    let values = [
        "null",
        "-1",
        "1e300",
        "18446744073709551615",
        "\"\"",
        "\"../../../x\"",
        "[]",
        "{}",
        "\"/tmp/x\"",
        "\"base/.\"",
        "\"a\\u0000b\"",
        "[[1, 2], [3]]",
        "\"ok\"",
        "\"full\"",
        "true",
    ];
    let change =
        (any::<prop::sample::Index>(), prop::sample::select(values.to_vec()), any::<bool>());
    each(prop::collection::vec(change, 0..4), |changes| {
        let mut value = whole.clone();
        for (place, new, add) in &changes {
            let new: Value = serde_json::from_str(new).expect("JSON");
            match (value.pointer_mut(&places[place.index(places.len())]), add) {
                (Some(Value::Object(object)), true) => drop(object.insert("other".into(), new)),
                (Some(old), _) => *old = new,
                (None, _) => {}
            }
        }
        value.sort_all_objects();
        let digest = Sha256::digest(value.to_string());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        value["sha256"] = Value::String(digest);
        match looked_up(&store, &record, value.to_string().as_bytes())? {
            Stored::Same(read) | Stored::Different(read, _) => {
                prop_assert_eq!((&*read.experiment, read.seed), ("synthetic", 1));
                let place = store.path(&read.cell.label, 1);
                prop_assert_eq!(place, store.path(&record.cell.label, 1));
            }
            Stored::Unreadable(why) => prop_assert!(!why.is_empty()),
            Stored::Missing => prop_assert!(false, "there is a file"),
        }
        Ok(())
    });
}

const CSV: &[&str] = &[
    ",",
    "\n",
    "\"",
    "\"\"",
    "\r\n",
    "experiment",
    "cell",
    "seed",
    "scale",
    "state",
    "f1",
    "model.latent",
    "ok",
    "full",
    "quick",
    "diverged",
    "0",
    "-1",
    "0.5",
    "1e400",
    "NaN",
    "inf",
    "18446744073709551616",
    "=cmd|' /C calc'!A0",
    "<script>",
    "../../x",
    "\u{1b}[2J",
    "\u{0}",
    "a.",
    ".",
];

/// The first lines of a file of the results.
fn lines(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(file);
    let text = std::fs::read_to_string(path).expect("a table of the results");
    text.lines().take(8).map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

fn any_csv(file: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let text = lines(file);
    prop_oneof![
        3 => changes(CSV).prop_map(move |changes| changed(&text, &changes)),
        1 => soup(CSV),
        1 => soup(CSV).prop_map(|soup| [b"experiment,cell,seed,scale,state,f1\n".to_vec(), soup].concat()),
    ]
}

#[test]
fn a_damaged_runs_csv_holds_runs_that_can_be_summarised_or_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("runs.csv");
    each(any_csv("vae-kddcup/runs.csv"), |bytes| {
        put(&path, &bytes)?;
        let (read, held) = measured(|| csv::read_runs(&path));
        // a row has many columns, of which a file needs few
        prop_assert!(held < 400 * bytes.len() + MEBIBYTE, "held {held} bytes");
        let Ok(rows) = read else { return Ok(()) };
        for row in &rows {
            let metrics = seedbed::metrics::Metric::ALL.map(|metric| row.metrics[metric]);
            prop_assert!(metrics.iter().flatten().all(|value| (0.0..=1.0).contains(value)));
            prop_assert!(!row.experiment.is_empty() && !row.cell.is_empty());
        }
        // refused or not, it is no panic
        if let Ok(summaries) = seedbed::summary::summarise(&rows) {
            prop_assert!(summaries.iter().all(|one| one.mean.is_none_or(f64::is_finite)));
            seedbed::summary::pairs(&rows);
        }
        Ok(())
    });
}

#[test]
fn a_damaged_losses_csv_is_read_or_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("losses.csv");
    each(any_csv("vae-kddcup/losses.csv"), |bytes| {
        put(&path, &bytes)?;
        let (_, held) = measured(|| csv::read_losses(&path));
        prop_assert!(held < 400 * bytes.len() + MEBIBYTE, "held {held} bytes");
        Ok(())
    });
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// An idx file: a header that may lie, and values; or any bytes.
fn idx(rank: usize) -> impl Strategy<Value = Vec<u8>> {
    let size =
        prop_oneof![8 => 0u32..5, 1 => Just(u32::MAX), 1 => Just(1 << 20), 1 => any::<u32>()];
    let kind = prop_oneof![12 => Just(8u8), 1 => any::<u8>()];
    let ranks = prop_oneof![12 => Just(rank), 1 => 0usize..5];
    let header = (kind, ranks).prop_flat_map(move |(kind, rank)| {
        let sizes = prop::collection::vec(size.clone(), rank);
        (Just(kind), sizes, -2i64..3, any::<u8>())
    });
    let made = header.prop_map(|(kind, sizes, more, value)| {
        let mut bytes = vec![0, 0, kind, sizes.len() as u8];
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        let claimed =
            sizes.iter().fold(1i64, |product, size| product.saturating_mul(i64::from(*size)));
        let there = claimed.saturating_add(more).clamp(0, 200);
        bytes.extend((0..there).map(|place| value.wrapping_mul(place as u8) % 4));
        bytes
    });
    prop_oneof![9 => made, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

#[test]
fn any_four_idx_files_are_a_data_set_or_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let search = [folder.path().to_path_buf()];
    let keys = ["train-images", "train-labels", "test-images", "test-labels"];
    // the digests are right: the files' author also wrote the experiment
    each(((idx(3), idx(1), idx(3), idx(1)), 0u8..16), |((a, b, c, d), pack)| {
        let mut text = "name = 'idx'\nanomaly-class = 1\n".to_owned();
        let mut length = 0;
        for (place, (key, bytes)) in keys.iter().zip([a, b, c, d]).enumerate() {
            let file = if pack >> place & 1 == 1 { packed(&bytes) } else { bytes.clone() };
            put(folder.path().join(key), file)?;
            let digest: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("{key} = {{ file = '{key}', sha256 = '{digest}' }}\n");
            length += bytes.len();
        }
        let spec: DatasetSpec = toml::from_str(&text).expect("a spec");
        let (read, held) = measured(|| dataset::load(&spec, &search));
        prop_assert!(held < 200 * length + MEBIBYTE, "held {held} bytes");
        if let Ok(data) = read {
            let rows: Vec<u32> = (0..data.rows() as u32).collect();
            let values = data.encode(&rows, &data.fit(&rows));
            prop_assert_eq!(values.len(), data.rows() * data.features());
        }
        Ok(())
    });
}

/// A connection of KDD Cup 99.
const CONNECTION: &str = "0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0.00,0.00,0.00,0.00,\
                          1.00,0.00,0.00,9,9,1.00,0.00,0.11,0.00,0.00,0.00,0.00,0.00,normal.\n";

const KDD: &[&str] = &[
    ",",
    "\n",
    "tcp",
    "http",
    "SF",
    "normal.",
    "smurf.",
    "0",
    "1",
    "-1",
    "4294967296",
    "1.00",
    "0.5",
    "0.005",
    "1.01",
    "\r\n",
    "\u{0}",
    "99999999999999999999999",
];

/// Room for the rows of the published file is made beforehand, and used as rows come.
const ROOM: usize = 100 * MEBIBYTE;

/// What loading KDD Cup 99 says of a file with these bytes, which are not the published ones.
fn kddcup(folder: &TempDir, bytes: &[u8], most: usize) -> Result<String, TestCaseError> {
    put(folder.path().join("kddcup.data_10_percent.gz"), bytes)?;
    let spec: DatasetSpec = toml::from_str("name = 'kddcup'").expect("a spec");
    let (read, held) = measured(|| dataset::load(&spec, &[folder.path().to_path_buf()]));
    prop_assert!(held < most, "held {held} bytes");
    prop_assert!(read.is_err(), "other bytes were taken for the published file");
    Ok(read.err().map(|error| error.to_string()).unwrap_or_default())
}

#[test]
fn a_damaged_kddcup_file_is_refused_and_says_where() {
    let folder = TempDir::new().expect("a folder");
    let text = CONNECTION.repeat(4);
    let cases = prop_oneof![
        4 => changes(KDD).prop_map(move |changes| changed(text.as_bytes(), &changes)),
        1 => soup(KDD),
    ];
    each((cases, any::<bool>()), |(bytes, pack)| {
        let gzip = bytes.starts_with(&[0x1f, 0x8b]);
        let said = kddcup(&folder, &if pack { packed(&bytes) } else { bytes }, ROOM)?;
        let place = said.contains("column") || said.contains("rows can be read");
        prop_assert!(place || gzip, "{said}");
        Ok(())
    });
}

#[test]
fn damaged_gzip_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let whole = packed(CONNECTION.repeat(40).as_bytes());
    each(changes(&["\u{1f}\u{8b}", "\u{0}", "\u{0}\u{0}\u{0}\u{0}", "\u{7f}"]), |changes| {
        kddcup(&folder, &changed(&whole, &changes), ROOM).map(drop)
    });
}

#[test]
fn a_gzip_bomb_is_refused_where_the_right_file_would_end() {
    let folder = TempDir::new().expect("a folder");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let million = CONNECTION.repeat(1 + (1 << 20) / CONNECTION.len());
    // more than the 75 MB of the published file, and more rows than it has
    (0..90).for_each(|_| encoder.write_all(million.as_bytes()).expect("memory"));
    let said = kddcup(&folder, &encoder.finish().expect("memory"), 3 * ROOM).expect("refused");
    assert!(
        said.contains("more than the 75877791 uncompressed bytes that the right file can have"),
        "{said}"
    );
}

/// Reads a table of one's own whose author also wrote the experiment: the digest is right.
fn table(folder: &TempDir, name: &str, bytes: &[u8], more: &str) -> Result<bool, TestCaseError> {
    put(folder.path().join(name), bytes)?;
    let mut raw = Vec::new();
    let packed = bytes.starts_with(&[0x1f, 0x8b]);
    let unpacked = packed && MultiGzDecoder::new(bytes).read_to_end(&mut raw).is_ok();
    let raw = if unpacked { &raw } else { bytes };
    let digest: String = Sha256::digest(raw).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("name = 'table'\nfile = '{name}'\nsha256 = '{digest}'\n{more}");
    let spec: DatasetSpec = toml::from_str(&text).expect("a spec");
    let (read, held) = measured(|| dataset::load(&spec, &[folder.path().to_path_buf()]));
    prop_assert!(held < 400 * raw.len() + MEBIBYTE, "held {held} bytes for {}", raw.len());
    let data = match read {
        Ok(data) => data,
        Err(error) => {
            prop_assert!(error.to_string().contains(name), "{error}");
            return Ok(false);
        }
    };
    let rows: Vec<u32> = (0..data.rows() as u32).collect();
    let values = data.encode(&rows, &data.fit(&rows));
    prop_assert_eq!(values.len(), data.rows() * data.features());
    prop_assert!(values.iter().all(|value| value.is_finite()));
    let both = data.labels().contains(&true) && data.labels().contains(&false);
    prop_assert!(both && data.features() > 0);
    Ok(true)
}

const TABLE: &[&str] = &[
    ",",
    ";",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\"",
    "\"\"",
    "'",
    "\\",
    "%",
    "{",
    "}",
    "?",
    "NaN",
    "inf",
    "1e999",
    "-",
    ".",
    "-1.5e3",
    "0.1",
    "123456789012345678901234567890",
    "x",
    "\u{feff}",
    "\u{0}",
    "@data\n",
    "@attribute a {0,1}\n",
    "@attribute",
    "@relation",
    "1",
    "0",
    "kind",
    "a",
    "tcp",
];

const CELLS: &str = "label = 'y'\nanomaly = [1]\ncategorical = ['kind']";

#[test]
fn a_damaged_csv_table_is_a_data_set_or_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let text = "a,kind,y\n1,\"t,c\"\"p\",0\n-2.5,udp,1\n3e2,'u',0\n.5,?,0\n".to_owned();
    let cases = prop_oneof![
        4 => changes(TABLE).prop_map(move |changes| changed(text.as_bytes(), &changes)),
        1 => soup(TABLE),
    ];
    let more =
        prop::sample::select(vec!["", "header = false", "missing = 'drop-row'", "separator = ';'"]);
    each((cases, more, any::<bool>()), |(bytes, more, pack)| {
        let bytes = if pack { packed(&bytes) } else { bytes };
        table(&folder, "t.csv", &bytes, &format!("{CELLS}\n{more}")).map(drop)
    });
}

#[test]
fn a_damaged_arff_table_is_a_data_set_or_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let text = "% one\n@relation r\n@attribute a numeric\n@attribute kind {tcp, 'u d'}\n\
                @attribute y {0,1}\n@data\n1,tcp,0\n2.5,'u d',1\n% two\n3,'u\\'d',0\n";
    let cases = prop_oneof![
        4 => changes(TABLE).prop_map(move |changes| changed(text.as_bytes(), &changes)),
        1 => soup(TABLE),
    ];
    each(cases, |bytes| table(&folder, "t.arff", &bytes, CELLS).map(drop));
}

fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(&mut bytes).begin_nd().expect("a header");
    writer.extend(values).expect("memory");
    writer.finish().expect("memory");
    bytes
}

fn npz(arrays: [(&str, Vec<u8>); 2], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{name}.npy"), options).expect("memory");
        writer.write_all(&bytes).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

const NPZ: &[&str] = &[
    "(",
    ")",
    "[",
    "{",
    ",",
    "'",
    ":",
    "shape",
    "descr",
    "'|O'",
    "'<f8'",
    "'<U9'",
    "'|S0'",
    "'>i2'",
    "True",
    "False",
    "1000000000000",
    "18446744073709551615",
    "18446744073709551616",
    "0",
    "-1",
    "2",
    "L",
    "PK\u{3}\u{4}",
    "\u{0}",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
    "X.npy",
    "y.npy",
];

#[test]
fn a_damaged_npz_table_is_a_data_set_or_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let (x, y) =
        (npy(&[4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]), npy(&[4], &[0i64, 1, 0, 0]));
    let whole = |method| npz([("X", x.clone()), ("y", y.clone())], method);
    let (stored, deflated) = (whole(CompressionMethod::Stored), whole(CompressionMethod::Deflated));
    // the archive's own bytes, or those of an array inside a sound archive, whose sums are right then
    each((0u8..4, changes(NPZ)), |(which, changes)| {
        let bytes = match which {
            0 => changed(&stored, &changes),
            1 => changed(&deflated, &changes),
            2 => npz([("X", changed(&x, &changes)), ("y", y.clone())], CompressionMethod::Deflated),
            _ => npz([("X", x.clone()), ("y", changed(&y, &changes))], CompressionMethod::Stored),
        };
        table(&folder, "t.npz", &bytes, "label = 'y'\nanomaly = [1]").map(drop)
    });
}

#[test]
fn an_npz_that_claims_a_million_million_rows_is_refused_at_once() {
    let folder = TempDir::new().expect("a folder");
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 6), }\n";
    let mut x = b"\x93NUMPY\x01\x00".to_vec();
    x.extend((header.len() as u16).to_le_bytes());
    x.extend(header.as_bytes());
    let bytes = npz([("X", x), ("y", npy(&[1], &[1i64]))], CompressionMethod::Stored);
    let read = table(&folder, "t.npz", &bytes, "label = 'y'\nanomaly = [1]");
    assert!(!read.expect("no panic"));
}

/// An element of a .mat file.
fn element(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut all = [kind.to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
    all.extend(bytes);
    if kind != 15 {
        all.resize(all.len().next_multiple_of(8), 0);
    }
    all
}

fn variable(name: &str, sides: [i32; 2], data: &[u8]) -> Vec<u8> {
    let sides: Vec<u8> = sides.iter().flat_map(|side| side.to_le_bytes()).collect();
    let flags = element(6, &[6, 0, 0, 0, 0, 0, 0, 0]);
    let parts = [flags, element(5, &sides), element(1, name.as_bytes()), element(2, data)];
    element(14, &parts.concat())
}

fn zlib(raw: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(raw).expect("memory");
    element(15, &encoder.finish().expect("memory"))
}

const MAT: &[&str] = &[
    "\u{0}",
    "\u{0}\u{0}\u{0}\u{0}",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
    "\u{e}\u{0}\u{0}\u{0}",
    "\u{f}\u{0}\u{0}\u{0}",
    "\u{9}\u{0}\u{0}\u{0}",
    "\u{2}\u{0}\u{3}\u{0}",
    "\u{1}",
    "X",
    "y",
    "IM",
    "MI",
];

#[test]
fn a_damaged_mat_table_is_a_data_set_or_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let mut head = b"MATLAB 5.0 MAT-file".to_vec();
    head.resize(124, b' ');
    head.extend([0, 1, b'I', b'M']);
    let (x, y) =
        (variable("X", [4, 2], &[1, 2, 3, 4, 5, 6, 7, 8]), variable("y", [4, 1], &[0, 1, 0, 0]));
    let plain = [head.clone(), x.clone(), y.clone()].concat();
    let packed = [head.clone(), zlib(&x), zlib(&y)].concat();
    each((0u8..3, changes(MAT)), |(which, changes)| {
        let bytes = match which {
            0 => changed(&plain, &changes),
            1 => changed(&packed, &changes),
            _ => [head.clone(), zlib(&changed(&x, &changes)), zlib(&y)].concat(),
        };
        table(&folder, "t.mat", &bytes, "label = 'y'\nanomaly = [1]").map(drop)
    });
}

const PARQUET: &[&str] = &[
    "\u{0}",
    "\u{15}",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
    "PAR1",
    "double",
    "word",
    "label",
    "\u{1}",
    "\u{4}",
    "\u{18}",
];

#[test]
fn a_damaged_parquet_table_is_a_data_set_or_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/table.parquet");
    let whole = std::fs::read(path).expect("a file");
    let more = "label = 'label'\nanomaly = [true]\ncategorical = ['word']\nmissing = 'drop-row'\n\
                drop = ['when', '__index_level_0__']";
    assert!(table(&folder, "t.parquet", &whole, more).expect("a table"));
    each(changes(PARQUET), |changes| {
        table(&folder, "t.parquet", &changed(&whole, &changes), more).map(drop)
    });
}

#[test]
fn nesting_of_any_depth_is_refused_without_overflowing_the_stack() {
    let (_folder, store, record, _) = stored();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = open.repeat(100_000) + "1" + &close.repeat(100_000);
        let read = looked_up(&store, &record, text.as_bytes()).expect("no panic");
        assert!(matches!(read, Stored::Unreadable(_)));
    }
    for (open, close) in [("[", "]"), ("{ a = ", " }")] {
        let value = open.repeat(20_000) + "1" + &close.repeat(20_000);
        let tower = vec!["a"; 50_000].join(".");
        for text in [format!("x = {value}"), format!("{tower} = 1"), format!("[{tower}]\nx = 1")] {
            let error = Experiment::parse(Path::new("x.toml"), &text, &Selection::default());
            assert!(error.is_err());
            let set = vec![format!("model.latent={value}"), format!("{tower}=1")];
            let selection = Selection { set, ..Selection::default() };
            let (name, text) = shipped("experiments", ".toml").remove(0);
            let path = format!("{name}.toml");
            let text = String::from_utf8(text).expect("text");
            assert!(Experiment::parse(Path::new(&path), &text, &selection).is_err());
        }
    }
}

/// The word that an array's header is made of, and what could stand there.
const ARRAY: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "'descr'",
    "'<f8'",
    "'>f4'",
    "'|O'",
    "'<f16'",
    "'fortran_order'",
    "True",
    "'shape'",
    "7",
    "(7,)",
    "(18446744073709551615,)",
    "(4294967296, 4294967296)",
    "-1",
    ",",
    ":",
    "\n",
    "\u{93}NUMPY",
    "nan",
    "1e308",
];

#[test]
fn files_of_scores_hold_as_many_numbers_as_asked_for_or_say_what_is_wrong() {
    const ROWS: usize = 7;
    let scores: Vec<f64> = (0..ROWS).map(|row| (row as f64).exp()).collect();
    let folder = TempDir::new().unwrap();
    let array = folder.path().join("whole.npy");
    score_file::write(&array, &scores).unwrap();
    let array = std::fs::read(array).unwrap();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("scores.npy", options).unwrap();
    archive.write_all(&array).unwrap();
    let archive = archive.finish().unwrap().into_inner();
    let lines: String = scores.iter().map(|score| format!("{score:?}\n")).collect();
    let kinds =
        prop::sample::select(vec![("npy", array), ("npz", archive), ("csv", lines.into_bytes())]);
    each((kinds, changes(ARRAY)), |((kind, whole), changes)| {
        let path = folder.path().join(format!("scores.{kind}"));
        put(&path, changed(&whole, &changes)).unwrap();
        let (read, most) = measured(|| score_file::ScoreFile::read(&path, ROWS));
        prop_assert!(most < 2 * MEBIBYTE, "{most} bytes");
        if let Ok(file) = read {
            prop_assert_eq!(file.scores.len(), ROWS);
            prop_assert!(file.scores.iter().all(|score| !score.is_nan()));
        }
        Ok(())
    });
}
