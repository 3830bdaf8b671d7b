//! Fetching against a real server on the loopback interface: transfers that break off, wrong bytes,
//! refusals and silence; then loading and splitting the real files.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;
use flate2::{Compression, write::GzEncoder};
use seedbed::dataset::fetch::{Options, fetch, unpack};
use seedbed::dataset::{
    DataFile, Dataset, FileState, Split, SplitSpec, files, find, load, split, status,
};
use seedbed::error::Result;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// How the server answers one request; the last answer is given again and again.
#[derive(Clone, Copy)]
enum Answer {
    /// The whole file, whatever range is asked for.
    Whole,
    /// What is asked for.
    Rest,
    /// This many bytes of what is asked for, then the connection closes.
    Truncated(usize),
    /// This many bytes of what is asked for, then silence.
    Stalled(usize),
    /// This many bytes at once, and then one at a time, without an end.
    Dripping(usize),
    /// Reads the request and says nothing at all.
    Silent,
    Status(u16),
}

struct Server {
    base: String,
    /// The `Range` header of every request so far, empty where there was none.
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(body: Vec<u8>, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut answers) = (Arc::clone(&ranges), VecDeque::from(answers.to_vec()));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answer =
                    if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
                let (body, seen) = (body.clone(), Arc::clone(&seen));
                let stream = stream.expect("a connection");
                thread::spawn(move || serve(stream, &body, answer.expect("an answer"), &seen));
            }
        });
        Self { base, ranges }
    }

    fn options(&self) -> Options {
        Options { mirror: Some(self.base.clone()), timeout: Duration::from_millis(400) }
    }

    fn ranges(&self) -> Vec<String> {
        self.ranges.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, body: &[u8], answer: Answer, seen: &Mutex<Vec<String>>) {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone().expect("a second handle")).lines() {
        let line = line.unwrap_or_default();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: ") {
            range = value.to_string();
        }
    }
    let from =
        range.strip_prefix("bytes=").and_then(|text| text.trim_end_matches('-').parse().ok());
    seen.lock().expect("no panic").push(range);
    let from: usize = if matches!(answer, Answer::Whole) { 0 } else { from.unwrap_or(0) };
    let rest = body.get(from..).unwrap_or_default();
    let send = match answer {
        Answer::Whole | Answer::Rest => rest.len(),
        Answer::Truncated(bytes) | Answer::Stalled(bytes) | Answer::Dripping(bytes) => {
            bytes.min(rest.len())
        }
        Answer::Silent => return thread::sleep(Duration::from_secs(20)),
        Answer::Status(_) => 0,
    };
    let status = match answer {
        Answer::Status(status) => status,
        _ if from > 0 && rest.is_empty() => 416,
        _ if from > 0 => 206,
        _ => 200,
    };
    let last = body.len() - 1;
    let content = if status >= 400 { 0 } else { rest.len() };
    // a client that has hung up is no failure of the server's
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {content}\r\n\
         content-range: bytes {from}-{last}/{}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&rest[..send]);
    let _ = stream.flush();
    if matches!(answer, Answer::Stalled(_)) {
        thread::sleep(Duration::from_secs(20));
    }
    if matches!(answer, Answer::Dripping(_)) {
        for byte in &rest[send..] {
            thread::sleep(Duration::from_millis(20));
            if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}

/// 200,000 bytes that gzip cannot shrink much, and a data file that wants them.
fn toy() -> (Vec<u8>, DataFile) {
    let mut state = 1u32;
    let raw: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(200_000)
    .collect();
    let digest: String = Sha256::digest(&raw).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = DataFile {
        name: "toy.gz".into(),
        folder: None,
        dataset: "toy",
        raw_sha256: digest.into(),
        bytes: 200_000,
        raw_bytes: None,
        urls: &[],
        npm: None,
    };
    (pack(&raw), file)
}

fn pack(raw: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(raw).expect("memory");
    encoder.finish().expect("memory")
}

fn run(server: &Server, file: &DataFile, into: &Path) -> Result<std::path::PathBuf> {
    fetch(file, into, &server.options(), &|_, _| {})
}

/// The names in a directory, with the mark of the mirror in a part's name left out.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .map(|name| if name.ends_with(".part") { "part".into() } else { name })
        .collect();
    names.sort();
    names
}

#[test]
fn of_two_downloads_into_one_folder_the_second_waits_and_both_have_the_file() {
    let (body, file) = toy();
    let server = Server::start(body, &[Answer::Dripping(150_000), Answer::Rest]);
    let into = TempDir::new().expect("a directory");
    let paths = thread::scope(|scope| {
        let both = [(), ()].map(|()| scope.spawn(|| run(&server, &file, into.path())));
        both.map(|one| one.join().expect("no panic").expect("a file"))
    });
    assert_eq!(paths[0], paths[1]);
    assert_eq!(names(into.path()), ["toy.gz"]);
}

#[test]
fn a_server_that_drips_is_given_up_and_what_came_is_kept() {
    let (body, file) = toy();
    let server = Server::start(body, &[Answer::Dripping(1000)]);
    let into = TempDir::new().expect("a directory");
    let began = Instant::now();
    let why = run(&server, &file, into.path()).unwrap_err().to_string();
    assert!(why.contains("sends fewer than 256 bytes a second"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(names(into.path()), ["part"]);
}

#[test]
fn a_part_that_is_a_link_or_a_pipe_is_refused_and_what_it_names_stays() {
    let (body, file) = toy();
    let server = Server::start(body, &[Answer::Truncated(5), Answer::Status(500), Answer::Rest]);
    let into = TempDir::new().expect("a directory");
    run(&server, &file, into.path()).unwrap_err();
    let mut entries = fs::read_dir(into.path()).expect("a directory");
    let part = entries.next().expect("a part").expect("an entry").path();
    fs::remove_file(&part).expect("removed");
    let own = into.path().join("own.txt");
    fs::write(&own, "mine").expect("a file");
    std::os::unix::fs::symlink(&own, &part).expect("a link");
    let why = run(&server, &file, into.path()).unwrap_err();
    assert!(why.to_string().contains("is a symbolic link"), "{why}");
    assert_eq!((why.exit_code(), fs::read_to_string(&own).expect("text")), (1, "mine".to_owned()));
    fs::remove_file(&part).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&part).status().expect("mkfifo starts");
    assert!(made.success());
    let why = run(&server, &file, into.path()).unwrap_err();
    assert!(why.to_string().contains(".part"), "{why}");
    fs::remove_file(&part).expect("removed");
    run(&server, &file, into.path()).expect("a file");
}

#[test]
fn a_whole_file_takes_its_name_and_is_not_fetched_again() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let into = dir.path().join("made/on/the/way");
    let server = Server::start(body.clone(), &[Answer::Rest]);
    let reported = Mutex::new((0, None));
    let progress = |done, total| *reported.lock().expect("no panic") = (done, total);
    let path = fetch(&file, &into, &server.options(), &progress).expect("a file");
    assert_eq!(path, into.join("toy.gz"));
    assert_eq!(fs::read(&path).expect("a file"), body);
    assert_eq!(names(&into), ["toy.gz"]);
    let size = body.len() as u64;
    assert_eq!(*reported.lock().expect("no panic"), (size, Some(size)));
    run(&server, &file, &into).expect("the same file");
    assert_eq!(server.ranges(), [""]);
}

#[test]
fn a_truncated_body_is_resumed_where_it_broke_off() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(body.clone(), &[Answer::Truncated(70_000), Answer::Rest]);
    let path = run(&server, &file, dir.path()).expect("a file");
    assert_eq!(fs::read(path).expect("a file"), body);
    assert_eq!(server.ranges(), ["", "bytes=70000-"]);
}

#[test]
fn a_later_call_goes_on_from_the_part_that_an_earlier_one_left() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let answers = [Answer::Truncated(70_000), Answer::Status(503), Answer::Rest];
    let server = Server::start(body.clone(), &answers);
    let error = run(&server, &file, dir.path()).expect_err("no file").to_string();
    assert!(error.contains("/toy.gz: the server answered 503"), "{error}");
    assert_eq!(names(dir.path()), ["part"]);
    run(&server, &file, dir.path()).expect("a file");
    assert_eq!(server.ranges(), ["", "bytes=70000-", "bytes=70000-"]);
    assert_eq!(names(dir.path()), ["toy.gz"]);
}

#[test]
fn a_part_that_was_complete_is_used_as_it_is() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let server =
        Server::start(body.clone(), &[Answer::Truncated(10), Answer::Status(503), Answer::Rest]);
    run(&server, &file, dir.path()).expect_err("no file");
    let mut parts = fs::read_dir(dir.path()).expect("a directory");
    let part = parts.next().expect("a part").expect("an entry").path();
    fs::write(part, &body).expect("a part");
    run(&server, &file, dir.path()).expect("a file");
    assert_eq!(fs::read(dir.path().join("toy.gz")).expect("a file"), body);
}

#[test]
fn a_server_that_ignores_the_range_is_read_from_the_start() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(body.clone(), &[Answer::Truncated(70_000), Answer::Whole]);
    let path = run(&server, &file, dir.path()).expect("a file");
    assert_eq!(fs::read(path).expect("a file"), body);
    assert_eq!(server.ranges(), ["", "bytes=70000-"]);
}

#[test]
fn wrong_bytes_never_take_the_name_and_both_digests_are_told() {
    let (_, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(pack(b"something else"), &[Answer::Rest]);
    let error = run(&server, &file, dir.path()).expect_err("no file");
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    let digest: String =
        Sha256::digest("something else").iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(text.contains(&*file.raw_sha256) && text.contains(&digest), "{text}");
    assert!(text.contains("sha256 of the uncompressed 14 bytes is"), "{text}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert_eq!(server.ranges(), [""]);
}

#[test]
fn a_part_of_another_file_is_found_out_and_the_whole_file_is_fetched() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let other = Server::start(vec![7; 1000], &[Answer::Truncated(500), Answer::Status(503)]);
    run(&other, &file, dir.path()).expect_err("no file");
    // the same part, now from a server that has the right bytes
    let server = Server::start(body.clone(), &[Answer::Rest]);
    let mut parts = fs::read_dir(dir.path()).expect("a directory");
    let part = parts.next().expect("a part").expect("an entry").path();
    let url = format!("{}/toy.gz", server.base);
    let mark: String = Sha256::digest(url).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::rename(part, dir.path().join(format!("toy.gz.{}.part", &mark[..8]))).expect("a part");
    run(&server, &file, dir.path()).expect("a file");
    assert_eq!(server.ranges(), ["bytes=500-", ""]);
}

/// A server without an end must not fill the disk.
#[test]
fn more_bytes_than_a_file_can_have_are_not_kept() {
    let (_, file) = toy();
    let file = DataFile { raw_bytes: Some(200_000), ..file };
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(vec![7; 2_000_000], &[Answer::Rest]);
    let error = run(&server, &file, dir.path()).expect_err("no file").to_string();
    assert!(error.contains("it sends more than 265736 bytes, which is no such file"), "{error}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert_eq!(server.ranges(), [""]);
}

#[test]
fn an_error_lists_every_mirror_and_its_reason() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let missing = Server::start(body, &[Answer::Status(404)]);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = format!("http://{}/copy.gz", closed.local_addr().expect("an address"));
    drop(closed);
    let urls: &[&str] = vec![&*dead.clone().leak()].leak();
    let error = run(&missing, &DataFile { urls, ..file }, dir.path()).expect_err("no file");
    let text = error.to_string();
    assert!(text.contains(&format!("{}/toy.gz: the server answered 404", missing.base)), "{text}");
    assert!(text.contains(&format!("{dead}: ")), "{text}");
    assert!(text.contains("SEEDBED_MIRROR"), "{text}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn a_server_that_stalls_fails_within_a_bounded_time_and_the_next_mirror_serves() {
    let (body, file) = toy();
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(body.clone(), &[Answer::Rest]);
    let urls: &[&str] = vec![&*format!("{}/copy.gz", server.base).leak()].leak();
    for answer in [Answer::Silent, Answer::Stalled(50_000)] {
        let start = Instant::now();
        let stalled = Server::start(body.clone(), &[answer, Answer::Silent]);
        let into = dir.path().join(stalled.base.replace([':', '/'], "-"));
        run(&stalled, &DataFile { urls, ..file.clone() }, &into).expect("a file");
        // two requests at most, 0.4 s of silence each
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
        let error = run(&stalled, &file, &dir.path().join("none")).expect_err("no file");
        assert!(error.to_string().contains("timeout"), "{error}");
    }
}

#[test]
fn status_tells_missing_found_and_wrong_files_apart() {
    let dir = TempDir::new().expect("a directory");
    let search = [dir.path().join("none"), dir.path().to_path_buf()];
    let file = &files("kddcup").expect("a data set")[0];
    assert_eq!(status(&search, true)[0].state, FileState::Missing);
    let path = dir.path().join("kddcup.data_10_percent");
    fs::write(&path, "0,tcp\n").expect("a file");
    assert_eq!(find(file, &search), Some(path.clone()));
    assert_eq!(status(&search, false)[0].state, FileState::Found);
    let FileState::Wrong(why) = &status(&search, true)[0].state else { panic!("wrong bytes pass") };
    assert!(why.contains(&*file.raw_sha256) && why.contains("seedbed data fetch kddcup"), "{why}");
}

#[test]
fn an_unknown_data_set_is_refused_with_the_nearest_name() {
    let error = files("kdd-cup").expect_err("no data set").to_string();
    assert!(error.contains("did you mean 'kddcup'?"), "{error}");
}

#[test]
fn a_file_with_a_folder_is_kept_there_and_found_there_first_but_beside_it_too() {
    let (body, file) = toy();
    let file = DataFile { folder: Some("toys"), ..file };
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(body, &[Answer::Rest]);
    let path = run(&server, &file, dir.path()).expect("a file");
    assert_eq!(path, dir.path().join("toys/toy.gz"));
    run(&server, &file, dir.path()).expect("the same file");
    assert_eq!(server.ranges(), [""]);
    let search = [dir.path().to_path_buf()];
    fs::write(dir.path().join("toy"), "beside").expect("a file");
    assert_eq!(find(&file, &search), Some(path.clone()));
    fs::remove_file(path).expect("a file");
    assert_eq!(find(&file, &search), Some(dir.path().join("toy")));
}

/// A tar archive with these files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).expect("memory");
    }
    archive.into_inner().expect("memory")
}

#[test]
fn a_package_gives_its_files_of_the_data_set_unpacked_and_nothing_else() {
    let (body, file) = toy();
    let mut raw = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&body[..]), &mut raw).expect("memory");
    let other = DataFile { name: "other.gz".into(), ..file.clone() };
    let files = [other, file];
    let archive = tar(&[
        ("package/package.json", b"{}"),
        ("package/toy", b"not in the folder of the data"),
        ("package/data/toy", &raw),
        ("package/data/more", b"of another data set"),
    ]);
    let dir = TempDir::new().expect("a directory");
    let paths = unpack(&archive[..], &files, dir.path()).expect("a file");
    assert_eq!(paths, [dir.path().join("toy")]);
    assert_eq!(fs::read(&paths[0]).expect("a file"), raw);
    assert_eq!(names(dir.path()), ["toy"]);
    assert_eq!(find(&files[1], &[dir.path().to_path_buf()]), Some(paths[0].clone()));
}

#[test]
fn wrong_bytes_in_a_package_and_a_broken_package_leave_no_file() {
    let (_, file) = toy();
    let archive = tar(&[("package/data/toy", b"something else")]);
    let dir = TempDir::new().expect("a directory");
    let wanted = file.raw_sha256.to_string();
    let files = [file];
    let error = unpack(&archive[..], &files, dir.path()).expect_err("wrong bytes");
    assert!(error.starts_with("package/data/toy: sha256 of the uncompressed 14 bytes"), "{error}");
    assert!(error.contains(&wanted), "{error}");
    let error = unpack(&archive[..520], &files, dir.path()).expect_err("half an archive");
    assert!(error.contains("sha256") || error.contains("cannot be unpacked"), "{error}");
    let error = unpack(&[1; 2000][..], &files, dir.path()).expect_err("no archive");
    assert!(error.contains("the archive cannot be unpacked: "), "{error}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn the_files_of_an_idx_data_set_cannot_be_fetched_by_its_name() {
    let error = files("idx").expect_err("no files").to_string();
    assert!(error.contains("its experiment file names"), "{error}");
}

/// The data set of this `[dataset]` table, read from the real files; `None`, with a message, where
/// there are none and this is not CI.
fn real(text: &str) -> Option<Dataset> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let data = std::env::var_os("SEEDBED_DATA").map_or(beside.into(), PathBuf::from);
    let spec: seedbed::dataset::DatasetSpec = toml::from_str(text).expect("a data set");
    let files = spec.files();
    let search = [data];
    if let Some(missing) = files.iter().find(|file| find(file, &search).is_none()) {
        assert!(std::env::var_os("CI").is_none(), "CI needs {}", missing.name);
        let name = missing.dataset;
        eprintln!("skipped: no {}; get it with 'seedbed data fetch {name}'", missing.name);
        return None;
    }
    Some(load(&spec, &search).expect("the published files"))
}

fn split_of(dataset: &Dataset, spec: &str, seed: u64) -> Split {
    let spec: SplitSpec = toml::from_str(spec).expect("a split");
    split(dataset, &spec, 0.0, seed).expect("a split")
}

fn anomalies(dataset: &Dataset, rows: &[u32]) -> usize {
    rows.iter().filter(|&&row| dataset.labels()[row as usize]).count()
}

/// The results that this project publishes rest on these splits.
#[test]
fn the_splits_of_the_real_file_are_those_of_the_published_runs() {
    let Some(dataset) = real("name = 'kddcup'") else { return };
    for (experiment, spec) in [
        ("dagmm-kddcup", "kind = 'half-of-all'"),
        ("danieltan07-kddcup", "kind = 'half-of-normals'"),
    ] {
        let path = format!("{}/results/{experiment}/runs.csv", env!("CARGO_MANIFEST_DIR"));
        let mut reader = csv::Reader::from_path(path).expect("published runs");
        let headers = reader.headers().expect("a header").clone();
        let column = |name| headers.iter().position(|header| header == name).expect("a column");
        let (seed, digest) = (column("seed"), column("split_sha256"));
        let mut seen = Vec::new();
        for row in reader.records() {
            let row = row.expect("a row");
            let number: u64 = row[seed].parse().expect("a seed");
            if number <= 2 && !seen.contains(&number) {
                assert_eq!(split_of(&dataset, spec, number).sha256(), row[digest], "seed {number}");
                seen.push(number);
            }
        }
        assert_eq!(seen, [1, 2], "{experiment}");
    }
}

#[test]
fn each_family_of_the_real_file_is_tested_beside_the_same_normal_rows() {
    let Some(dataset) = real("name = 'kddcup'\nanomaly = 'attack'") else { return };
    let mut train = Vec::new();
    for (family, attacks) in [("dos", 391_458), ("r2l", 1_126), ("u2r", 52), ("probe", 4_107)] {
        let spec = format!("kind = 'attack-family'\nfamily = '{family}'");
        let split = split_of(&dataset, &spec, 1);
        assert_eq!((split.train.len(), anomalies(&dataset, &split.train)), (48_639, 0));
        assert_eq!(split.test.len(), 48_639 + attacks, "{family}");
        assert_eq!(anomalies(&dataset, &split.test), attacks, "{family}");
        if !train.is_empty() {
            assert_eq!(split.train, train, "{family}");
        }
        train = split.train;
    }
}

#[test]
fn the_real_digits_have_the_known_counts_and_mean_in_one_vs_rest_and_one_class() {
    let Some(dataset) = real("name = 'mnist'\nanomaly-digit = 0") else { return };
    assert_eq!((dataset.rows(), dataset.features()), (70_000, 784));
    assert_eq!((dataset.image(), dataset.official_train()), (Some((28, 28)), Some(60_000)));
    assert_eq!((&*dataset.columns()[0], &*dataset.columns()[783]), ("pixel 0,0", "pixel 27,27"));
    let split = split_of(&dataset, "kind = 'official'", 1);
    // 5,923 of the training digits are zeros, 980 of the test digits
    assert_eq!((split.train.len(), anomalies(&dataset, &split.train)), (54_077, 0));
    assert_eq!((split.test.len(), anomalies(&dataset, &split.test)), (10_000, 980));
    assert_ne!(split.test, split_of(&dataset, "kind = 'official'", 2).test);
    // the mean pixel of the training images, known as 0.1307 from everywhere
    let train: Vec<u32> = (0..60_000).collect();
    let encoded = dataset.encode(&train, &dataset.fit(&[]));
    let mean = encoded.iter().map(|&x| f64::from(x)).sum::<f64>() / encoded.len() as f64;
    assert!((mean - 0.130_660_476_2).abs() < 1e-8, "{mean}");

    let dataset = real("name = 'mnist'\nnormal-digit = 1\nrange = [-1.0, 1.0]").expect("the same");
    let split = split_of(&dataset, "kind = 'official'", 1);
    assert_eq!((split.train.len(), anomalies(&dataset, &split.test)), (6_742, 10_000 - 1_135));
    let encoded = dataset.encode(&split.train, &dataset.fit(&split.train));
    let ends = [f32::min, f32::max].map(|end| encoded.iter().copied().fold(0.0, end));
    assert_eq!(ends, [-1.0, 1.0]);
}

/// The same files by the names that an experiment gives them.
#[test]
fn an_idx_table_that_names_the_digits_files_gives_the_digits() {
    let Some(digits) = real("name = 'mnist'\nanomaly-digit = 3") else { return };
    let mut text = "name = 'idx'\nanomaly-class = 3\n".to_string();
    let keys = ["train-images", "train-labels", "test-images", "test-labels"];
    for (key, file) in keys.iter().zip(files("mnist").expect("a data set")) {
        let (name, digest) = (file.name, file.raw_sha256);
        text.push_str(&format!("{key} = {{ file = 'mnist/{name}', sha256 = '{digest}' }}\n"));
    }
    let named = real(&text).expect("the same files");
    assert_eq!(named.sha256(), digits.sha256());
    assert_eq!(named.labels(), digits.labels());
    let rows = [0, 59_999, 69_999];
    assert_eq!(named.encode(&rows, &named.fit(&[])), digits.encode(&rows, &digits.fit(&[])));
}

#[test]
fn a_table_with_other_line_ends_or_a_line_of_names_is_called_that_beside_its_digest() {
    let sandbox = Sandbox::new();
    let row = "0,tcp,http,SF,181,5450,normal.";
    for (text, said) in [
        (format!("{row}\r\n{row}\r\n"), "; line 1 ends in CR LF"),
        (format!("duration,protocol\n{row}\n"), "; line 1, column 1 is a name"),
    ] {
        sandbox.write("mine/kddcup.data_10_percent", &text);
        let found = sandbox.seedbed("data check --data mine").expect(3).stdout;
        assert!(found.contains("sha256 of the uncompressed") && found.contains(said), "{found}");
    }
    sandbox.write("mine/kddcup.data_10_percent", &format!("{row}\n"));
    let found = sandbox.seedbed("data check --data mine").expect(3).stdout;
    assert!(found.contains("sha256 of") && !found.contains("line 1"), "{found}");
}
