//! Who trains a run, where several processes share a store: a file beside the place of the record,
//! made whole and exclusively, with its owner in it. A claim whose owner is dead is lost, and one
//! process alone takes it over. Knows nothing of records or of what a claim is for.
use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::store::whole;

/// How often `beat` is to be called.
pub const BEAT: Duration = Duration::from_secs(10);

/// After how long without a beat a process that cannot be looked at counts as dead.
const SILENCE: Duration = Duration::from_secs(120);

/// A process, as its claims name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    /// For people.
    host: String,
    /// The boot and the namespaces of processes and times, within which a process id and a start mean
    /// something; empty where the system does not say.
    machine: String,
    pid: u32,
    /// When the process started, as the kernel counts: ids are used again.
    started: u64,
    /// Random; another one for each `Claims`.
    token: String,
}

/// The claims of this process.
pub struct Claims {
    owner: Owner,
    held: Mutex<BTreeSet<PathBuf>>,
    /// What others' claims showed when they last changed, and when that was seen here: clocks of
    /// two hosts need not agree.
    seen: Mutex<HashMap<PathBuf, (String, SystemTime, Instant)>>,
    silence: Duration,
}

impl Default for Claims {
    fn default() -> Self {
        Self::new()
    }
}

impl Claims {
    /// Without any claim.
    pub fn new() -> Self {
        let pid = std::process::id();
        let random = || RandomState::new().hash_one(SystemTime::now());
        let (machine, started) = match seen(pid) {
            Seen::Since(start) => (machine(), start),
            // others could not tell it from one that has its number later
            Seen::Gone | Seen::Hidden => (String::new(), 0),
        };
        let owner = Owner {
            host: word("/proc/sys/kernel/hostname"),
            machine,
            pid,
            started,
            token: format!("{:016x}{:016x}", random(), random()),
        };
        let (held, seen) = (Mutex::default(), Mutex::default());
        Self { owner, held, seen, silence: SILENCE }
    }

    /// Claims a file's name, or says whose it is. The name may be ours already.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn take(&self, path: &Path) -> io::Result<Option<String>> {
        if lock(&self.held).contains(path) {
            return Ok(None);
        }
        if let Some(folder) = path.parent() {
            whole::create_folder(folder)?;
        }
        let theirs = loop {
            if self.create(path)? {
                lock(&self.held).insert(path.to_owned());
                return Ok(None);
            }
            match read(path)? {
                // it was given up just now
                None => {}
                Some(claim) => break claim,
            }
        };
        if self.is_alive(path, &theirs) {
            return Ok(Some(theirs.to_string()));
        }
        self.take_over(path, &theirs)
    }

    /// Makes the file whole or not at all; false where there is one.
    fn create(&self, path: &Path) -> io::Result<bool> {
        // over a network it may have been made, and only the answer lost
        Ok(whole::create(path, self.text())?
            || read(path)?.is_some_and(|claim| claim.token() == Some(&self.owner.token)))
    }

    fn text(&self) -> String {
        // strings and numbers serialise
        serde_json::to_string(&self.owner).expect("an owner serialises") + "\n"
    }

    /// Puts our claim over a lost one. Who does so must hold a claim named after that very one:
    /// otherwise a second taker could replace the claim of a first.
    fn take_over(&self, path: &Path, lost: &Claim) -> io::Result<Option<String>> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", lost.token().map_or("unreadable", String::as_str)));
        let guard = PathBuf::from(name);
        if let Some(other) = self.take(&guard)? {
            return Ok(Some(other));
        }
        let still = read(path)?;
        let taken = match &still {
            Some(claim) if claim.token() == lost.token() => {
                whole::write(path, self.text())?;
                lock(&self.held).insert(path.to_owned());
                None
            }
            Some(claim) => Some(claim.to_string()),
            None => Some(lost.to_string()),
        };
        self.release(&guard);
        Ok(taken)
    }

    fn is_alive(&self, path: &Path, claim: &Claim) -> bool {
        let owner = claim.owner.as_ref().filter(|owner| owner.is_of(&self.owner.machine));
        if let Some(has_ended) = owner.and_then(Owner::has_ended) {
            return !has_ended;
        }
        // not to be seen is not to be dead: its beat tells
        let token = claim.token().map_or("", String::as_str);
        let mut known = lock(&self.seen);
        match known.get(path) {
            Some((owner, beat, since)) if owner == token && *beat == claim.beat => {
                since.elapsed() < self.silence
            }
            Some(_) | None => {
                known.insert(path.to_owned(), (token.to_owned(), claim.beat, Instant::now()));
                true
            }
        }
    }

    /// Gives a name up, if it is ours.
    pub fn release(&self, path: &Path) {
        if lock(&self.held).remove(path) {
            self.remove(path);
        }
    }

    fn remove(&self, path: &Path) {
        // what cannot be removed now is lost when this process ends
        if let Ok(Some(claim)) = read(path)
            && claim.token() == Some(&self.owner.token)
        {
            drop(fs::remove_file(path));
        }
    }

    /// Removes the claims that dead processes left in a folder, of runs that nobody wants any more,
    /// and what they left half written. What cannot be removed now is swept another time.
    pub fn sweep(&self, folder: &Path) {
        whole::sweep(folder);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            // `1.claim`, and `1.claim.<token>` of who died while it took that over
            if !name.to_string_lossy().contains(".claim") || lock(&self.held).contains(&path) {
                continue;
            }
            if let Ok(None) = self.take(&path) {
                self.release(&path);
            }
        }
    }

    /// Shows that this process is alive.
    pub fn beat(&self) {
        let held = lock(&self.held).clone();
        for path in held {
            // a beat that fails is one that others miss
            if let Ok(file) = files::open_to_change(&path) {
                drop(file.set_modified(SystemTime::now()));
            }
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let held = std::mem::take(&mut *lock(&self.held));
        held.iter().for_each(|path| self.remove(path));
    }
}

/// What a claim's file shows.
struct Claim {
    /// None where the file holds no claim; it lasts as long as one of an unknown host.
    owner: Option<Owner>,
    beat: SystemTime,
}

impl Claim {
    fn token(&self) -> Option<&String> {
        self.owner.as_ref().map(|owner| &owner.token)
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "process {} on {}", owner.pid, owner.host),
            None => write!(f, "an unknown process"),
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Claim>> {
    let found = files::open(path, files::LARGEST_NOTE).and_then(|file| {
        let beat = file.metadata()?.modified()?;
        Ok((io::read_to_string(file.take(files::LARGEST_NOTE)), beat))
    });
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok((text, beat)) => {
            let owner = text.ok().and_then(|text| serde_json::from_str(&text).ok());
            // a token becomes part of a file's name
            let plain = |owner: &Owner| owner.token.bytes().all(|byte| byte.is_ascii_hexdigit());
            Ok(Some(Claim { owner: owner.filter(plain), beat }))
        }
    }
}

/// Who has claimed a name, for people, and whether it is known to have ended.
pub fn holder(path: &Path) -> Option<String> {
    let claim = read(path).ok()??;
    let owner = claim.owner.as_ref().filter(|owner| owner.is_of(&machine()));
    let ended = owner.and_then(Owner::has_ended) == Some(true);
    Some(if ended { format!("{claim}, which has ended") } else { claim.to_string() })
}

fn word(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

impl Owner {
    /// Whether its process id means something to who is of this machine.
    fn is_of(&self, machine: &str) -> bool {
        !machine.is_empty() && self.machine == machine
    }

    /// Whether the process has ended; none where it cannot be seen.
    fn has_ended(&self) -> Option<bool> {
        match seen(self.pid) {
            Seen::Since(start) => Some(start != self.started),
            Seen::Gone => Some(true),
            Seen::Hidden => None,
        }
    }
}

/// Of this process, as [`Owner`] has it.
fn machine() -> String {
    let boot = word("/proc/sys/kernel/random/boot_id");
    let itself = fs::read_link("/proc/self").unwrap_or_default();
    let space = |name: &str| fs::read_link(format!("/proc/self/ns/{name}"));
    // a /proc that was mounted in another namespace numbers its processes, not ours
    let is_own = itself.to_str() == Some(&std::process::id().to_string());
    match space("pid") {
        Ok(pid) if !boot.is_empty() && is_own => {
            // old kernels have no times of their own
            let time = space("time").unwrap_or_default();
            format!("{boot} {} {}", pid.display(), time.display())
        }
        Ok(_) | Err(_) => String::new(),
    }
}

/// What is to be seen of a process.
#[derive(Debug, PartialEq)]
enum Seen {
    /// It has not ended, and started then.
    Since(u64),
    /// There is none, or it has ended.
    Gone,
    /// There is one of which the system does not tell more, as where `/proc` hides others' processes.
    Hidden,
}

fn seen(pid: u32) -> Seen {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        // SAFETY: sends no signal, and asks whether one could be sent
        let answer = unsafe { libc::kill(libc::pid_t::try_from(pid).unwrap_or(-1), 0) };
        let none = answer != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
        return if none { Seen::Gone } else { Seen::Hidden };
    };
    // the name may hold anything; what follows it does not
    let fields: Option<Vec<&str>> =
        text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect());
    match fields.unwrap_or_default()[..] {
        ["Z" | "X", ..] => Seen::Gone,
        // field 22 of the line; the first of these is field 3
        ref fields => {
            fields.get(19).and_then(|start| start.parse().ok()).map_or(Seen::Hidden, Seen::Since)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // both collections are whole between any two statements
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cell/1.claim");
        (folder, path)
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path.parent().unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Leaves a claim that is not this process's.
    fn leave(path: &Path, change: impl FnOnce(&mut Owner)) {
        let mut left = Claims::new();
        change(&mut left.owner);
        assert_eq!(left.take(path).unwrap(), None);
        std::mem::forget(left);
    }

    fn hasty() -> Claims {
        let mut claims = Claims::new();
        claims.silence = Duration::ZERO;
        claims
    }

    #[test]
    fn a_process_that_is_there_is_seen_and_one_that_is_not_is_gone() {
        let own = std::process::id();
        assert!(matches!(seen(own), Seen::Since(start) if start > 0));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(seen(child.id()), Seen::Gone);
        // no number of a process, which a signal must not take for all of them
        assert_eq!(seen(u32::MAX), Seen::Hidden);
        assert!(machine().contains("pid:["), "{}", machine());
    }

    #[test]
    fn a_name_has_one_owner_until_it_is_given_up() {
        let (_folder, path) = place();
        let (one, other) = (Claims::new(), Claims::new());
        assert_eq!(one.take(&path).unwrap(), None);
        assert_eq!(one.take(&path).unwrap(), None);
        let whose = other.take(&path).unwrap().unwrap();
        assert!(whose.contains(&std::process::id().to_string()), "{whose}");
        other.release(&path);
        assert!(other.take(&path).unwrap().is_some());
        one.release(&path);
        assert_eq!(other.take(&path).unwrap(), None);
        drop(other);
        assert!(names(&path).is_empty(), "{:?}", names(&path));
    }

    #[test]
    fn the_holder_of_a_name_is_told_and_whether_it_has_ended() {
        let (_folder, path) = place();
        assert_eq!(holder(&path), None);
        let claims = Claims::new();
        assert_eq!(claims.take(&path).unwrap(), None);
        let alive = holder(&path).unwrap();
        assert!(alive.starts_with(&format!("process {} on ", std::process::id())), "{alive}");
        claims.release(&path);
        leave(&path, |owner| owner.started -= 1);
        assert_eq!(holder(&path), Some(format!("{alive}, which has ended")));
    }

    #[test]
    fn a_dead_process_loses_its_claim_also_when_another_has_its_number() {
        let (_folder, path) = place();
        leave(&path, |owner| owner.started -= 1);
        let claims = Claims::new();
        assert_eq!(claims.take(&path).unwrap(), None);
        assert!(Claims::new().take(&path).unwrap().is_some());
        assert_eq!(names(&path), ["1.claim"]);
    }

    #[test]
    fn a_process_of_another_host_is_dead_when_its_claim_has_not_changed_for_long() {
        let (_folder, path) = place();
        leave(&path, |owner| owner.machine = "elsewhere".to_owned());
        let patient = Claims::new();
        assert!(patient.take(&path).unwrap().is_some());
        assert!(patient.take(&path).unwrap().is_some());
        let hasty = hasty();
        assert!(hasty.take(&path).unwrap().is_some());
        let beat = fs::OpenOptions::new().write(true).open(&path).unwrap();
        beat.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        assert!(hasty.take(&path).unwrap().is_some());
        assert_eq!(hasty.take(&path).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_no_claim_is_waited_for_and_then_replaced() {
        let (_folder, path) = place();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "half a cl").unwrap();
        let hasty = hasty();
        assert_eq!(hasty.take(&path).unwrap(), Some("an unknown process".to_owned()));
        assert_eq!(hasty.take(&path).unwrap(), None);
    }

    #[test]
    fn a_sweep_takes_the_claims_of_the_dead_and_their_takers_and_leaves_those_of_the_living() {
        let (_folder, path) = place();
        let living = Claims::new();
        assert_eq!(living.take(&path).unwrap(), None);
        // it died after it had taken a claim over, and left the claim of that claim
        leave(&path.with_file_name("1.claim.00ff"), |owner| owner.started -= 1);
        leave(&path.with_file_name("2.claim"), |owner| owner.started -= 1);
        leave(&path.with_file_name("3.claim"), |owner| owner.machine = "elsewhere".to_owned());
        let folder = path.parent().unwrap();
        Claims::new().sweep(folder);
        let mut left = names(&path);
        left.sort();
        assert_eq!(left, ["1.claim", "3.claim"]);
    }

    #[test]
    fn of_many_that_want_a_lost_claim_one_has_it_and_a_dead_taker_stops_nobody() {
        for round in 0..20 {
            let (_folder, path) = place();
            leave(&path, |owner| owner.started -= 1);
            if round % 2 == 1 {
                // it died between its two steps
                let lost = read(&path).unwrap().unwrap();
                let guard = format!("{}.{}", path.display(), lost.token().unwrap());
                leave(Path::new(&guard), |owner| owner.started -= 1);
            }
            let (owners, barrier) = (AtomicUsize::new(0), Barrier::new(8));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let claims = Claims::new();
                        barrier.wait();
                        if claims.take(&path).unwrap().is_none() {
                            owners.fetch_add(1, Ordering::SeqCst);
                        }
                        barrier.wait();
                    });
                }
            });
            // all may have found another taker's guard, and the next then has it
            let owners = owners.load(Ordering::SeqCst);
            assert!(owners <= 1, "{owners} owners");
            assert_eq!(Claims::new().take(&path).unwrap(), None);
            assert_eq!(names(&path), Vec::<String>::new());
        }
    }
}
