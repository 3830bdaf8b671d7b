//! Fetching against a real server on the loopback interface: transfers that break off, wrong bytes,
//! refusals and silence.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use seedbed::dataset::fetch::{Options, fetch};
use seedbed::dataset::{DataFile, FileState, files, find, status};
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
        Answer::Truncated(bytes) | Answer::Stalled(bytes) => bytes.min(rest.len()),
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
        name: "toy.gz",
        dataset: "toy",
        raw_sha256: digest.leak(),
        bytes: 200_000,
        urls: &[],
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
    assert!(text.contains(file.raw_sha256) && text.contains(&digest), "{text}");
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
        run(&stalled, &DataFile { urls, ..file }, &into).expect("a file");
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
    assert!(why.contains(file.raw_sha256) && why.contains("seedbed data fetch kddcup"), "{why}");
}

#[test]
fn an_unknown_data_set_is_refused_with_the_nearest_name() {
    let error = files("kdd-cup").expect_err("no data set").to_string();
    assert!(error.contains("did you mean 'kddcup'?"), "{error}");
}
