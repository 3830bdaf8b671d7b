//! Downloads data files from their public mirrors and checks digests. A file takes its name only
//! when its uncompressed bytes are the right ones; until then it is a `.part` file, from which a
//! broken transfer goes on. Shows nothing: progress goes to a function of the caller's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::DataFile;
use crate::error::{Error, Result};

/// Requests to one mirror at most; every one after the first must continue a transfer that had
/// brought new bytes.
const REQUESTS: usize = 5;

/// How to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A base URL tried before the public mirrors, as `<mirror>/<file name>`.
    pub mirror: Option<String>,
    /// How long a server may take to connect, to answer, and between two pieces of the file.
    pub timeout: Duration,
}

impl Options {
    /// From the environment: `SEEDBED_MIRROR`, and `SEEDBED_TIMEOUT` in seconds (default 30).
    pub fn from_env() -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let seconds = variable("SEEDBED_TIMEOUT").unwrap_or_else(|| "30".into());
        let timeout =
            seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match timeout.filter(|timeout| !timeout.is_zero()) {
            Some(timeout) => Ok(Self { mirror: variable("SEEDBED_MIRROR"), timeout }),
            None => Err(Error::Usage(format!(
                "SEEDBED_TIMEOUT is '{seconds}'; it must be a number of seconds above 0"
            ))),
        }
    }
}

/// Downloads `file` into the directory `into`, which is made if need be, and gives its path. Does
/// nothing where the right file already lies there, packed or unpacked. `progress` is called with
/// the bytes there are and, where known, the bytes there will be. [`Error::Data`] lists everything
/// that was tried; what was received stays for the next call to go on from.
pub fn fetch(
    file: &DataFile,
    into: &Path,
    options: &Options,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<PathBuf> {
    let there = super::find(file, &[into.to_path_buf()]);
    if let Some(path) = there.filter(|path| check(file, path).is_ok()) {
        return Ok(path);
    }
    fs::create_dir_all(into).map_err(|error| local("make the directory", into, &error))?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(options.timeout))
        .timeout_connect(Some(options.timeout))
        .timeout_recv_response(Some(options.timeout))
        .timeout_per_read(Some(options.timeout))
        .user_agent(concat!("seedbed/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let own =
        options.mirror.iter().map(|base| format!("{}/{}", base.trim_end_matches('/'), file.name));
    let mut tried = Vec::new();
    for url in own.chain(file.urls.iter().map(|&url| url.to_string())) {
        // mirrors pack the same bytes differently, so a part belongs to one of them
        let mark = super::hex(Sha256::new_with_prefix(&url));
        let part = into.join(format!("{}.{}.part", file.name, &mark[..8]));
        match transfer(&agent, &url, file, &part, progress)? {
            None => {
                let path = into.join(file.name);
                fs::rename(&part, &path).map_err(|error| local("write", &path, &error))?;
                return Ok(path);
            }
            Some(reason) => tried.push(format!("\n  {url}: {reason}")),
        }
    }
    Err(Error::Data(format!(
        "cannot fetch {}; tried{}\ndownload it by other means into {} and run 'seedbed data check', \
         or name another mirror in SEEDBED_MIRROR",
        file.name,
        tried.concat(),
        into.display()
    )))
}

/// Compares the digest of the file at `path`, packed or unpacked; [`Error::Data`] if it differs.
pub fn check(file: &DataFile, path: &Path) -> Result<()> {
    let problem = match raw_sha256(path) {
        Ok((digest, _)) if digest == file.raw_sha256 => return Ok(()),
        Ok((digest, bytes)) => {
            format!("sha256 of the uncompressed {bytes} bytes is {digest}, not {}", file.raw_sha256)
        }
        Err(error) => format!("cannot be read: {error}"),
    };
    Err(Error::Data(format!(
        "{}: {problem}; delete it and run 'seedbed data fetch {}'",
        path.display(),
        file.dataset
    )))
}

/// SHA-256 and number of the uncompressed bytes of a file, packed or not.
fn raw_sha256(path: &Path) -> io::Result<(String, u64)> {
    let mut input = super::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok((super::hex(hasher), bytes)),
            got => {
                hasher.update(&buffer[..got]);
                bytes += got as u64;
            }
        }
    }
}

/// How one request ended, short of an error of this machine's.
enum Request {
    /// The part is as long as the server says the file is.
    Complete,
    /// Another request to this server will not help.
    Refused(String),
    /// The transfer broke off, or the server was silent for too long.
    Broken(String),
}

/// Brings `part` to the right bytes; or says why this server could not.
fn transfer(
    agent: &ureq::Agent,
    url: &str,
    file: &DataFile,
    part: &Path,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<Option<String>> {
    let mut reason = String::new();
    for _ in 0..REQUESTS {
        let before = length(part);
        match request(agent, url, part, before, progress)? {
            Request::Complete => {
                reason = match raw_sha256(part) {
                    Ok((digest, _)) if digest == file.raw_sha256 => return Ok(None),
                    Ok((digest, bytes)) => format!(
                        "sha256 of the uncompressed {bytes} bytes is {digest}, not {}",
                        file.raw_sha256
                    ),
                    Err(error) => format!("what it sent cannot be unpacked: {error}"),
                };
                fs::remove_file(part).map_err(|error| local("remove", part, &error))?;
                // the file may have changed between two parts of it: once more, from its start
                if before == 0 {
                    break;
                }
            }
            Request::Refused(why) => return Ok(Some(why)),
            Request::Broken(why) => {
                reason = why;
                if length(part) <= before {
                    break;
                }
            }
        }
    }
    Ok(Some(reason))
}

/// One request for the bytes from `from` on, appended to `part`.
fn request(
    agent: &ureq::Agent,
    url: &str,
    part: &Path,
    from: u64,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<Request> {
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => return Ok(Request::Broken(error.to_string())),
    };
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    let (start, total) = match response.status().as_u16() {
        200 => (0, response.body().content_length()),
        206 => match range.and_then(parse_range) {
            Some((start, total)) if start == from => (from, total),
            Some(_) | None => {
                let range = range.unwrap_or("no range");
                return Ok(Request::Refused(format!("asked for bytes from {from}, sent {range}")));
            }
        },
        // nothing after the bytes there are: the digest will tell whether they are the file
        416 if from > 0 => return Ok(Request::Complete),
        status => return Ok(Request::Refused(format!("the server answered {status}"))),
    };
    // a server that sends the whole file although asked for its end begins it anew
    let mut out = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(start == 0)
        .append(start > 0)
        .open(part)
        .map_err(|error| local("write", part, &error))?;
    receive(response.into_body().into_reader(), &mut out, part, start, total, progress)
}

/// Start and total of a `Content-Range: bytes 5-9/10`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

fn receive(
    mut body: impl Read,
    out: &mut File,
    part: &Path,
    start: u64,
    total: Option<u64>,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<Request> {
    let mut done = start;
    let mut buffer = vec![0; 1 << 16];
    progress(done, total);
    loop {
        let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
        match body.read(&mut buffer) {
            Ok(0) if total.is_some_and(|total| done < total) => {
                return Ok(Request::Broken(format!("broke off after {done}{of} bytes")));
            }
            Ok(0) => return Ok(Request::Complete),
            Ok(got) => {
                out.write_all(&buffer[..got]).map_err(|error| local("write", part, &error))?;
                done += got as u64;
                progress(done, total);
            }
            Err(error) => {
                return Ok(Request::Broken(format!("broke off after {done}{of} bytes: {error}")));
            }
        }
    }
}

/// Bytes of a file; 0 where there is none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn local(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Failed(format!("cannot {what} {}: {error}", path.display()))
}
