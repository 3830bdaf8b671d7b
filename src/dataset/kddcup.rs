//! KDD Cup 99, the 10 % file: 494,021 connections, 41 fields and a class (Stolfo et al., 2000).
//! Reads the bytes once: decompressing, hashing and parsing go hand in hand. Accepts the published
//! bytes and no others; when they differ it says where they first stop making sense.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{DataFile, Dataset, ScalingSpec};
use crate::digest;
use crate::error::{Error, Result};
use crate::random::{Numbers, Stream};

/// The one file of the data set.
pub(super) static FILES: [DataFile; 1] = [DataFile {
    name: Cow::Borrowed("kddcup.data_10_percent.gz"),
    folder: None,
    dataset: "kddcup",
    raw_sha256: Cow::Borrowed("f8c8267ebcd9c0ed1fd7d6277fe5bfff8732e9b7db8e61b873542b2a534b6f9a"),
    bytes: 2_144_903,
    raw_bytes: Some(74_889_749),
    urls: &[
        "http://kdd.ics.uci.edu/databases/kddcup99/kddcup.data_10_percent.gz",
        "https://ndownloader.figshare.com/files/5976042",
    ],
    npm: None,
}];

const ROWS: usize = 494_021;
const NORMAL_ROWS: usize = 97_278;

/// `[dataset]` with `name = "kddcup"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KddcupSpec {
    #[serde(default)]
    pub encoding: Encoding,
    #[serde(default)]
    pub scaling: ScalingSpec,
    #[serde(default)]
    pub anomaly: Anomaly,
    /// Which attack rows there are, where not all.
    // not written when all: the keys of stored runs were made without it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attacks: Option<DrawnAttacks>,
}

/// Attack rows drawn at random once for all runs, in the file's order, beside all normal rows: KDDCUP-Rev of
/// Zong et al. (2018) has 24,319 of them, a fifth of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DrawnAttacks {
    /// How many are drawn.
    pub rows: u32,
    /// Decides which; not a run's seed.
    #[serde(default = "first_seed")]
    pub seed: u64,
}

fn first_seed() -> u64 {
    1
}

impl KddcupSpec {
    pub(super) fn check(&self) -> Result<()> {
        const ATTACKS: usize = ROWS - NORMAL_ROWS;
        self.scaling.check()?;
        match self.attacks {
            Some(DrawnAttacks { rows, .. }) if !(1..=ATTACKS).contains(&(rows as usize)) => {
                Err(Error::Usage(format!(
                    "dataset.attacks.rows is {rows}; the file has {ATTACKS} attack rows: take 1 to so many"
                )))
            }
            _ => Ok(()),
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.attacks.map_or(ROWS, |drawn| NORMAL_ROWS + drawn.rows as usize)
    }
}

/// How the 41 fields become columns. One-hot columns come first, by field in the file's order and
/// by value in code-point order; the other fields follow in the file's order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// 118 columns: protocol_type (3), service (66) and flag (11) one-hot, and the 38 others.
    #[default]
    ProtocolServiceFlag,
    /// 121 columns: land (2), logged_in (2), is_host_login (1) and is_guest_login (2) one-hot too.
    AllCategorical,
    /// 120 columns: those 121 without num_outbound_cmds, which is 0 in every row.
    AllButConstant,
}

impl Encoding {
    /// Number of columns.
    pub fn columns(self) -> usize {
        match self {
            Self::ProtocolServiceFlag => 118,
            Self::AllCategorical => 121,
            Self::AllButConstant => 120,
        }
    }
}

/// The class that is labelled true. Zong et al. (2018) take the minority, `normal.`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    #[default]
    Normal,
    Attack,
}

/// The four families of the attacks (Stolfo et al., 2000): denial of service, access from a remote
/// machine, to root from a user's account, and probing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Dos,
    R2l,
    U2r,
    Probe,
}

/// The classes of the file in code-point order; `normal.` has no family.
const CLASSES: [(&[u8], Option<Family>); 23] = [
    (b"back.", Some(Family::Dos)),
    (b"buffer_overflow.", Some(Family::U2r)),
    (b"ftp_write.", Some(Family::R2l)),
    (b"guess_passwd.", Some(Family::R2l)),
    (b"imap.", Some(Family::R2l)),
    (b"ipsweep.", Some(Family::Probe)),
    (b"land.", Some(Family::Dos)),
    (b"loadmodule.", Some(Family::U2r)),
    (b"multihop.", Some(Family::R2l)),
    (b"neptune.", Some(Family::Dos)),
    (b"nmap.", Some(Family::Probe)),
    (b"normal.", None),
    (b"perl.", Some(Family::U2r)),
    (b"phf.", Some(Family::R2l)),
    (b"pod.", Some(Family::Dos)),
    (b"portsweep.", Some(Family::Probe)),
    (b"rootkit.", Some(Family::U2r)),
    (b"satan.", Some(Family::Probe)),
    (b"smurf.", Some(Family::Dos)),
    (b"spy.", Some(Family::R2l)),
    (b"teardrop.", Some(Family::Dos)),
    (b"warezclient.", Some(Family::R2l)),
    (b"warezmaster.", Some(Family::R2l)),
];

/// What a field holds, and so how it is read, encoded and scaled.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// One of these words, in code-point order; always one-hot.
    Word(&'static [&'static str]),
    /// Categorical, below the number given here; a number or one-hot, never scaled.
    Switch(u32),
    /// A whole number that is not scaled: 0 or 1, 0 to 2, or constant.
    Level,
    /// A whole number, scaled.
    Count,
    /// A share with two decimals, `0.00` to `1.00`, scaled; kept in hundredths.
    Share,
}
use Kind::{Count, Level, Share, Switch, Word};

const PROTOCOLS: &[&str] = &["icmp", "tcp", "udp"];
#[rustfmt::skip]
const SERVICES: &[&str] = &[
    "IRC", "X11", "Z39_50", "auth", "bgp", "courier", "csnet_ns", "ctf", "daytime", "discard",
    "domain", "domain_u", "echo", "eco_i", "ecr_i", "efs", "exec", "finger", "ftp", "ftp_data",
    "gopher", "hostnames", "http", "http_443", "imap4", "iso_tsap", "klogin", "kshell", "ldap",
    "link", "login", "mtp", "name", "netbios_dgm", "netbios_ns", "netbios_ssn", "netstat", "nnsp",
    "nntp", "ntp_u", "other", "pm_dump", "pop_2", "pop_3", "printer", "private", "red_i",
    "remote_job", "rje", "shell", "smtp", "sql_net", "ssh", "sunrpc", "supdup", "systat", "telnet",
    "tftp_u", "tim_i", "time", "urh_i", "urp_i", "uucp", "uucp_path", "vmnet", "whois",
];
const FLAGS: &[&str] =
    &["OTH", "REJ", "RSTO", "RSTOS0", "RSTR", "S0", "S1", "S2", "S3", "SF", "SH"];

/// The fields in the file's order, by the names of the data set's own description; the class is
/// the 42nd.
const FIELDS: [(&str, Kind); 41] = [
    ("duration", Count),
    ("protocol_type", Word(PROTOCOLS)),
    ("service", Word(SERVICES)),
    ("flag", Word(FLAGS)),
    ("src_bytes", Count),
    ("dst_bytes", Count),
    ("land", Switch(2)),
    ("wrong_fragment", Count),
    ("urgent", Count),
    ("hot", Count),
    ("num_failed_logins", Count),
    ("logged_in", Switch(2)),
    ("num_compromised", Count),
    ("root_shell", Level),
    ("su_attempted", Level),
    ("num_root", Count),
    ("num_file_creations", Count),
    ("num_shells", Count),
    ("num_access_files", Count),
    (CONSTANT, Level),
    ("is_host_login", Switch(1)),
    ("is_guest_login", Switch(2)),
    ("count", Count),
    ("srv_count", Count),
    ("serror_rate", Share),
    ("srv_serror_rate", Share),
    ("rerror_rate", Share),
    ("srv_rerror_rate", Share),
    ("same_srv_rate", Share),
    ("diff_srv_rate", Share),
    ("srv_diff_host_rate", Share),
    ("dst_host_count", Count),
    ("dst_host_srv_count", Count),
    ("dst_host_same_srv_rate", Share),
    ("dst_host_diff_srv_rate", Share),
    ("dst_host_same_src_port_rate", Share),
    ("dst_host_srv_diff_host_rate", Share),
    ("dst_host_serror_rate", Share),
    ("dst_host_srv_serror_rate", Share),
    ("dst_host_rerror_rate", Share),
    ("dst_host_srv_rerror_rate", Share),
];

const CONSTANT: &str = "num_outbound_cmds";
const WORDS: usize = 3;
const NUMBERS: usize = FIELDS.len() - WORDS;

/// The rows as the file has them: 156 bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// [rows, 3]: the column of each word's 1, counted from the first of all one-hot columns.
    words: Vec<u8>,
    /// [rows, 38]: the fields that are no words; shares in hundredths.
    numbers: Vec<u32>,
    /// Of each row's class.
    pub(super) families: Vec<Option<Family>>,
    layout: Layout,
}

/// Where an encoding puts the fields.
#[derive(Debug, Clone, Default)]
struct Layout {
    /// Number of one-hot columns, all of which come first.
    one_hot: usize,
    /// Of each one-hot switch: its place among the numbers, and its first column.
    switches: Vec<(usize, usize)>,
    /// Of each further column: its place among the numbers, and what its value is divided by.
    numbers: Vec<(usize, f64)>,
}

impl Layout {
    /// Also gives the columns' names, and which of them are scaled.
    fn new(encoding: Encoding) -> (Self, Vec<String>, Vec<bool>) {
        let mut layout = Self::default();
        let (mut one_hot, mut names, mut scaled) = (Vec::new(), Vec::new(), Vec::new());
        let mut switches = Vec::new();
        let mut place = 0;
        for (name, kind) in FIELDS {
            if let Word(values) = kind {
                one_hot.extend(values.iter().map(|value| format!("{name}={value}")));
                continue;
            }
            let split = encoding != Encoding::ProtocolServiceFlag;
            if let (Switch(values), true) = (kind, split) {
                switches.push((place, name, values));
            } else if name != CONSTANT || encoding != Encoding::AllButConstant {
                layout.numbers.push((place, if kind == Share { 100.0 } else { 1.0 }));
                names.push(name.to_string());
                scaled.push(matches!(kind, Count | Share));
            }
            place += 1;
        }
        for (place, name, values) in switches {
            layout.switches.push((place, one_hot.len()));
            one_hot.extend((0..values).map(|value| format!("{name}={value}")));
        }
        layout.one_hot = one_hot.len();
        let scaled = std::iter::repeat_n(false, one_hot.len()).chain(scaled).collect();
        one_hot.extend(names);
        (layout, one_hot, scaled)
    }
}

impl Table {
    /// Leaves out the attack rows that are not drawn.
    fn keep(&mut self, drawn: DrawnAttacks) {
        let rows = 0..self.families.len();
        let attacks: Vec<usize> =
            rows.clone().filter(|&row| self.families[row].is_some()).collect();
        let mut kept: Vec<bool> = self.families.iter().map(Option::is_none).collect();
        let order = Numbers::new(drawn.seed, Stream::Attacks, 0).permutation(attacks.len());
        for place in order.into_iter().take(drawn.rows as usize) {
            kept[attacks[place as usize]] = true;
        }
        let rows = rows.filter(|&row| kept[row]);
        self.words =
            rows.clone().flat_map(|row| &self.words[row * WORDS..][..WORDS]).copied().collect();
        self.numbers = rows
            .clone()
            .flat_map(|row| &self.numbers[row * NUMBERS..][..NUMBERS])
            .copied()
            .collect();
        self.families = rows.map(|row| self.families[row]).collect();
    }

    /// The family of the row's class, whatever the labels say; `None` for `normal.`.
    pub(super) fn family(&self, row: u32) -> Option<Family> {
        self.families[row as usize]
    }

    /// Writes the unscaled values of a row, one a column.
    pub(super) fn decode(&self, row: u32, values: &mut [f64]) {
        let row = row as usize;
        let (one_hot, rest) = values.split_at_mut(self.layout.one_hot);
        let numbers = &self.numbers[row * NUMBERS..(row + 1) * NUMBERS];
        one_hot.fill(0.0);
        for &column in &self.words[row * WORDS..(row + 1) * WORDS] {
            one_hot[usize::from(column)] = 1.0;
        }
        for &(place, first) in &self.layout.switches {
            one_hot[first + numbers[place] as usize] = 1.0;
        }
        for (value, &(place, divisor)) in rest.iter_mut().zip(&self.layout.numbers) {
            // the quotient of two exact numbers is the double nearest to the decimal in the file
            *value = f64::from(numbers[place]) / divisor;
        }
    }
}

/// Reads the file at `path`; [`Error::Data`] unless it holds exactly the published bytes.
pub(super) fn load(spec: &KddcupSpec, path: &Path) -> Result<Dataset> {
    let (layout, columns, scaled) = Layout::new(spec.encoding);
    let mut table = read(path)?;
    if let Some(drawn) = spec.attacks {
        table.keep(drawn);
    }
    table.layout = layout;
    let anomaly = spec.anomaly == Anomaly::Normal;
    let labels = table.families.iter().map(|family| family.is_none() == anomaly).collect();
    Ok(Dataset {
        columns,
        scaled,
        labels,
        sha256: FILES[0].raw_sha256.to_string(),
        scaling: spec.scaling,
        table: super::Table::Kddcup(table),
        bayes_auroc: None,
        image: None,
        official_train: None,
    })
}

fn read(path: &Path) -> Result<Table> {
    let wrong = |what: String| {
        Error::Data(format!(
            "{}: {what}; delete it and run 'seedbed data fetch kddcup'",
            path.display()
        ))
    };
    // room for another line end in every line: such a file is read to its end, so that its digest is known
    let most = FILES[0].raw_bytes.map(|bytes| bytes + 2 * ROWS as u64);
    let input =
        super::open(path, most).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let (digest, parser) = consume(input).map_err(wrong)?;
    let rows = parser.table.families.len();
    let normal = parser.table.families.iter().filter(|family| family.is_none()).count();
    let wanted = &FILES[0].raw_sha256;
    match parser.problem {
        None if digest == *wanted => {
            assert_eq!((rows, normal), (ROWS, NORMAL_ROWS), "the published file's rows");
            Ok(parser.table)
        }
        problem => {
            let what = problem.unwrap_or_else(|| {
                format!("its {rows} rows can be read, and {normal} of them are normal")
            });
            Err(wrong(format!(
                "not the published file of {ROWS} rows: sha256 of the uncompressed bytes is \
                 {digest}, not {wanted}; {what}"
            )))
        }
    }
}

/// Hashes and parses all of `input`; or says where it cannot be read further.
fn consume(mut input: impl Read) -> std::result::Result<(String, Parser), String> {
    let mut parser = Parser::new();
    let mut hasher = Sha256::new();
    // a buffer that stays in the processor's cache, holding whole lines and the start of the next
    let mut buffer = vec![0; 1 << 18];
    let mut kept = 0;
    loop {
        let got = match input.read(&mut buffer[kept..]) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) => {
                let place = match &parser.problem {
                    Some(problem) => format!("after {problem}"),
                    None => format!("at {}", parser.end(&buffer[..kept])),
                };
                return Err(format!("it {}, {place}: {error}", super::fault(&error)));
            }
        };
        hasher.update(&buffer[kept..kept + got]);
        let filled = kept + got;
        let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at + 1);
        parser.lines(&buffer[..whole]);
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
        if kept == buffer.len() {
            return Err(format!("line {}, column 1: the line has no end", parser.line));
        }
    }
    if kept > 0 {
        // the file's last line has no line feed: give it one, so that it is parsed like the others
        buffer[kept] = b'\n';
        parser.lines(&buffer[..=kept]);
    }
    Ok((digest::ended(hasher), parser))
}

/// Turns lines into rows until the first one that makes no sense; nothing after that is parsed.
struct Parser {
    table: Table,
    /// Number of the line to come, from 1.
    line: usize,
    /// What is wrong with the first bad line, naming line and column.
    problem: Option<String>,
    /// The last word of each word field: rows repeat it nine times out of ten.
    last: [(&'static [u8], u8); WORDS],
    /// The last class, for the same reason.
    class: (&'static [u8], Option<Family>),
}

impl Parser {
    fn new() -> Self {
        let table = Table {
            words: Vec::with_capacity(ROWS * WORDS),
            numbers: Vec::with_capacity(ROWS * NUMBERS),
            families: Vec::with_capacity(ROWS),
            layout: Layout::default(),
        };
        Self { table, line: 1, problem: None, last: [(b"", 0); WORDS], class: (b"", None) }
    }

    /// Line and column after the last line parsed and `rest`, the start of the next.
    fn end(&self, rest: &[u8]) -> String {
        let commas = memchr::memchr_iter(b',', rest).count();
        format!("line {}, column {}", self.line, commas + 1)
    }

    /// Parses `bytes`, which end with a line feed.
    fn lines(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.problem.is_none() {
            match self.row(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err((field, problem)) => {
                    let name = FIELDS.get(field).map_or("class", |(name, _)| name);
                    let (line, column) = (self.line, field + 1);
                    let problem = match line == 1 && is_header(bytes) {
                        true => format!(
                            "{problem}: this line names columns, and the published file has no such line"
                        ),
                        false => problem,
                    };
                    self.problem =
                        Some(format!("line {line}, column {column} ({name}): {problem}"));
                }
            }
            self.line += 1;
        }
    }

    /// Parses the first line of `bytes` and gives its length; or the field, from 0, where it is
    /// wrong.
    fn row(&mut self, bytes: &[u8]) -> std::result::Result<usize, (usize, String)> {
        let mut at = 0;
        let mut numbers = [0; NUMBERS];
        let (mut word, mut number, mut first) = (0, 0, 0);
        for (field, (_, kind)) in FIELDS.iter().enumerate() {
            let start = at;
            let value = match kind {
                Word(values) => {
                    let code = self.word(word, values, bytes, &mut at);
                    word += 1;
                    code.map(|code| {
                        self.table.words.push(first + code);
                        first += values.len() as u8;
                    })
                }
                Share => share(bytes, &mut at).map(|value| numbers[number] = value),
                Switch(limit) => whole(bytes, &mut at)
                    .filter(|value| value < limit)
                    .map(|value| numbers[number] = value),
                Level | Count => whole(bytes, &mut at).map(|value| numbers[number] = value),
            };
            number += usize::from(!matches!(kind, Word(_)));
            if value.is_none() || bytes[at] != b',' {
                return Err((field, complaint(bytes, start, *kind)));
            }
            at += 1;
        }
        let end = at + memchr::memchr(b'\n', &bytes[at..]).unwrap_or(bytes.len() - at);
        let class = &bytes[at..end];
        if self.class.0 != class {
            let Ok(place) = CLASSES.binary_search_by_key(&class, |(name, _)| name) else {
                return Err((FIELDS.len(), unknown_class(class)));
            };
            self.class = CLASSES[place];
        }
        self.table.numbers.extend_from_slice(&numbers);
        self.table.families.push(self.class.1);
        Ok(end + 1)
    }

    /// The place in `values` of the word at `at`, which moves past it.
    fn word(
        &mut self,
        which: usize,
        values: &'static [&'static str],
        bytes: &[u8],
        at: &mut usize,
    ) -> Option<u8> {
        let rest = &bytes[*at..];
        let (last, code) = self.last[which];
        if !last.is_empty() && rest.starts_with(last) && rest[last.len()] == b',' {
            *at += last.len();
            return Some(code);
        }
        let length = rest.iter().position(|&byte| byte == b',' || byte == b'\n')?;
        let code = values.binary_search_by(|value| value.as_bytes().cmp(&rest[..length])).ok()?;
        self.last[which] = (values[code].as_bytes(), code as u8);
        *at += length;
        Some(code as u8)
    }
}

/// What is wrong with a class that is not known.
fn unknown_class(class: &[u8]) -> String {
    let is_known = |class: &[u8]| CLASSES.binary_search_by_key(&class, |(name, _)| name).is_ok();
    if class.strip_suffix(b"\r").is_some_and(is_known) {
        return "the line ends in CR LF, and those of the published file end in LF: a program has \
                changed its line ends"
            .into();
    }
    let text = String::from_utf8_lossy(class);
    format!("'{text}' is not one of the {} known classes", CLASSES.len())
}

/// Whether a first line names columns, which the published file does not.
fn is_header(bytes: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let fields = bytes[..end].split(|&byte| byte == b',').take(FIELDS.len());
    let mut fields = fields.map(|field| field.trim_ascii());
    let has_digits = |field: &[u8]| field.iter().all(u8::is_ascii_digit);
    fields.next().is_some_and(|first| !first.is_empty() && !has_digits(first))
        && fields.all(|field| !has_digits(field))
}

/// A whole number of at most nine digits, which a u32 holds.
fn whole(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let start = *at;
    let mut value = 0u32;
    while let digit @ 0..=9 = bytes[*at].wrapping_sub(b'0') {
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
        *at += 1;
    }
    (1..=9).contains(&(*at - start)).then_some(value)
}

/// A number like `0.53`, in hundredths.
fn share(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let [one, b'.', tenth, hundredth, ..] = bytes[*at..] else {
        return None;
    };
    let digits = [one, tenth, hundredth].map(|byte| u32::from(byte.wrapping_sub(b'0')));
    *at += 4;
    let value = digits[0] * 100 + digits[1] * 10 + digits[2];
    (value <= 100 && digits.iter().all(|&digit| digit <= 9)).then_some(value)
}

/// Why the field of this kind that starts at `start` cannot be read.
fn complaint(bytes: &[u8], start: usize, kind: Kind) -> String {
    let rest = &bytes[start..];
    let end = rest.iter().position(|&byte| byte == b',' || byte == b'\n').unwrap_or(rest.len());
    let text = String::from_utf8_lossy(&rest[..end]);
    let wanted = match kind {
        Word(values) => format!("one of the {} known values", values.len()),
        Switch(1) => "0".into(),
        Switch(_) => "0 or 1".into(),
        Level | Count => "a whole number of at most nine digits".into(),
        Share => "a number from 0.00 to 1.00 with two decimals".into(),
    };
    match rest.get(end) {
        Some(b',') => format!("'{text}' is not {wanted}"),
        Some(_) | None => format!("the row ends here with '{text}'; it needs 42 columns"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use flate2::{Compression, write::GzEncoder};

    use super::super::{Fit, ScalingKind, find};
    use super::*;

    /// The real file; `None`, with a message, where there is none and this is not CI.
    fn real() -> Option<PathBuf> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
        let data = std::env::var_os("SEEDBED_DATA").map_or(beside.into(), PathBuf::from);
        let path = find(&FILES[0], &[data]);
        if path.is_none() {
            assert!(std::env::var_os("CI").is_none(), "CI needs {}", FILES[0].name);
            eprintln!("skipped: no {}; get it with 'seedbed data fetch kddcup'", FILES[0].name);
        }
        path
    }

    fn spec(encoding: Encoding, fit: Fit) -> KddcupSpec {
        let scaling = ScalingSpec { kind: ScalingKind::MinMax, fit, ..ScalingSpec::default() };
        KddcupSpec { encoding, scaling, anomaly: Anomaly::Normal, attacks: None }
    }

    fn every_row() -> Vec<u32> {
        (0..ROWS as u32).collect()
    }

    /// danieltan07's published array: the 118 columns, scaled over the attack rows, and the label.
    #[test]
    fn the_encoded_real_file_equals_the_published_array_bit_for_bit() {
        let Some(path) = real() else { return };
        let data = load(&spec(Encoding::ProtocolServiceFlag, Fit::Attack), &path).unwrap();
        let scaling = data.fit(&[]);
        let encoded = data.encode(&every_row(), &scaling);
        let mut double = Sha256::new();
        let mut values = vec![0.0; data.features()];
        for (row, &label) in data.labels().iter().enumerate() {
            data.decode(row as u32, &mut values);
            let scaled = values.iter().zip(&scaling.offset).zip(&scaling.divisor);
            let mut line: Vec<f64> = scaled.map(|((x, offset), by)| (x - offset) / by).collect();
            line.push(f64::from(u8::from(label)));
            double.update(line.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        }
        assert_eq!(
            labelled_digest(&encoded, data.labels()),
            "c9a28f838f93f2a79ef2b2d66771636aef68a253b0aebfbe88e5d8f05b81c7a9"
        );
        assert_eq!(
            digest::ended(double),
            "8e6646b5c84814fde84d153918d4bfbd4e369a013c301cbd9a986137992e9ced"
        );
    }

    /// SHA-256 of the rows with their label (1 or 0) as one more column.
    fn labelled_digest(encoded: &[f32], labels: &[bool]) -> String {
        let mut hasher = Sha256::new();
        for (row, &label) in encoded.chunks(encoded.len() / labels.len()).zip(labels) {
            let line = row.iter().copied().chain([f32::from(u8::from(label))]);
            hasher.update(line.flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
        }
        digest::ended(hasher)
    }

    /// Digests of the same columns made by pandas: `benches/bench_load.py DATA_DIR --digests`.
    #[test]
    fn every_encoding_of_the_real_file_equals_what_pandas_makes_of_it() {
        let Some(path) = real() else { return };
        for (encoding, columns, constant, digest) in [
            (
                Encoding::AllCategorical,
                121,
                vec!["is_host_login=0", CONSTANT],
                "215f0cb78367c3d5f24067fce7e163df23d608e92b66c6d61496769144337cd6",
            ),
            (
                Encoding::AllButConstant,
                120,
                vec!["is_host_login=0"],
                "ae039fcd183faca7b78074fb879e688f28e40730a60129a17a2cbcb99d8ce9aa",
            ),
        ] {
            let data = load(&spec(encoding, Fit::Attack), &path).unwrap();
            assert_eq!((data.rows(), data.features()), (ROWS, columns));
            let encoded = data.encode(&every_row(), &data.fit(&[]));
            assert_eq!(labelled_digest(&encoded, data.labels()), digest);
            let varies = |column: usize| {
                let mut values = encoded[column..].iter().step_by(columns);
                values.any(|x| *x != encoded[column])
            };
            let names = data.columns().iter().enumerate();
            let still = names.filter(|(column, _)| !varies(*column));
            assert_eq!(still.map(|(_, name)| name).collect::<Vec<_>>(), constant);
        }
    }

    #[test]
    fn the_real_file_has_the_published_classes_and_stays_finite_under_every_scaling() {
        let Some(path) = real() else { return };
        let mut data = load(&spec(Encoding::ProtocolServiceFlag, Fit::Train), &path).unwrap();
        assert_eq!(data.labels().iter().filter(|&&label| label).count(), NORMAL_ROWS);
        let attacks = every_row().into_iter().filter(|&row| !data.labels()[row as usize]);
        let few: Vec<u32> = attacks.take(3).collect();
        for kind in [ScalingKind::MinMax, ScalingKind::Standard, ScalingKind::None] {
            data.scaling.kind = kind;
            // over so few rows most columns are constant
            let encoded = data.encode(&every_row(), &data.fit(&few));
            assert!(encoded.iter().all(|x| x.is_finite()), "{kind:?}");
        }
    }

    /// The counts of the data set's description, and of the classes in the file.
    #[test]
    fn the_real_file_has_four_families_of_attacks() {
        let Some(path) = real() else { return };
        let data = load(&spec(Encoding::ProtocolServiceFlag, Fit::Train), &path).unwrap();
        let count = |family| every_row().iter().filter(|&&row| data.family(row) == family).count();
        assert_eq!(count(Some(Family::Dos)), 391_458);
        assert_eq!(count(Some(Family::R2l)), 1_126);
        assert_eq!(count(Some(Family::U2r)), 52);
        assert_eq!(count(Some(Family::Probe)), 4_107);
        assert_eq!(count(None), NORMAL_ROWS);
    }

    #[test]
    fn clipped_rows_of_the_real_file_lie_in_the_unit_interval_and_others_do_not() {
        let Some(path) = real() else { return };
        for (clip, wanted) in [(true, true), (false, false)] {
            let mut spec = spec(Encoding::ProtocolServiceFlag, Fit::Attack);
            spec.scaling.clip = clip;
            let data = load(&spec, &path).unwrap();
            let encoded = data.encode(&every_row(), &data.fit(&[]));
            assert_eq!(encoded.iter().all(|x| (0.0..=1.0).contains(x)), wanted);
        }
    }

    #[test]
    fn drawn_attacks_stand_in_the_order_of_the_file_beside_all_normal_rows() {
        let Some(path) = real() else { return };
        let whole = spec(Encoding::ProtocolServiceFlag, Fit::All);
        let of = |rows, seed| {
            let attacks = Some(DrawnAttacks { rows, seed });
            let spec = KddcupSpec { attacks, anomaly: Anomaly::Attack, ..whole.clone() };
            assert!(spec.check().is_ok());
            let data = load(&spec, &path).unwrap();
            assert_eq!(data.rows(), spec.rows());
            data
        };
        let drawn = of(24_319, 1);
        assert_eq!(drawn.labels().iter().filter(|&&anomaly| anomaly).count(), 24_319);
        // every row is one of the file's, in its order
        let read = read(&path).unwrap();
        let Table { numbers, families, .. } = &read;
        let super::super::Table::Kddcup(table) = &drawn.table else { panic!("a table of KDD's") };
        let mut rows = numbers.chunks(NUMBERS).zip(families).zip(read.words.chunks(WORDS));
        for row in 0..drawn.rows() {
            let wanted = (
                (&table.numbers[row * NUMBERS..][..NUMBERS], &table.families[row]),
                &table.words[row * WORDS..][..WORDS],
            );
            assert!(rows.any(|found| found == wanted), "row {row}");
        }
        // another seed draws others, the same one the same
        let of_seed =
            |seed| of(1000, seed).encode(&(0..98_278).collect::<Vec<u32>>(), &drawn.fit(&[]));
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
        for rows in [0, 396_744] {
            let attacks = Some(DrawnAttacks { rows, seed: 1 });
            let error = KddcupSpec { attacks, ..whole.clone() }.check().unwrap_err().to_string();
            assert!(error.contains("dataset.attacks.rows") && error.contains("396743"), "{error}");
        }
    }

    #[test]
    fn the_anomaly_class_turns_the_labels_but_not_what_attack_rows_are() {
        let Some(path) = real() else { return };
        let normal = spec(Encoding::ProtocolServiceFlag, Fit::Attack);
        let attack = KddcupSpec { anomaly: Anomaly::Attack, ..normal.clone() };
        let [normal, attack] = [normal, attack].map(|spec| load(&spec, &path).unwrap());
        assert!(normal.labels().iter().zip(attack.labels()).all(|(a, b)| a != b));
        assert_eq!(normal.fit(&[]), attack.fit(&[]));
    }

    const GOOD: &str = "0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0.00,0.00,0.00,\
        0.00,1.00,0.00,0.00,9,9,1.00,0.00,0.11,0.00,0.00,0.00,0.00,0.00,normal.\n";

    /// What reading a file with these bytes complains about.
    fn complaint(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.gz");
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        assert!(text.contains("file.gz") && text.contains("seedbed data fetch kddcup"), "{text}");
        text
    }

    fn pack(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bad_value_is_reported_with_line_column_and_name_beside_the_digest() {
        for (from, to, wanted) in [
            ("tcp", "tpc", "line 3, column 2 (protocol_type): 'tpc' is not one of the 3"),
            ("http", "htt", "line 3, column 3 (service): 'htt' is not one of the 66"),
            (",5450", ",54.5", "line 3, column 6 (dst_bytes): '54.5' is not a whole number"),
            (",5450", ",", "line 3, column 6 (dst_bytes): '' is not a whole number"),
            (",5450", ",5450000000", "line 3, column 6 (dst_bytes): '5450000000' is not a whole"),
            (",1,0,", ",2,0,", "line 3, column 12 (logged_in): '2' is not 0 or 1"),
            ("0.11", "0.1", "line 3, column 36 (dst_host_same_src_port_rate): '0.1' is not a"),
            ("0.11", "9.11", "line 3, column 36 (dst_host_same_src_port_rate): '9.11' is not"),
            ("normal.", "normal", "line 3, column 42 (class): 'normal' is not one of the 23"),
            ("normal.", "normal.,1.", "line 3, column 42 (class)"),
        ] {
            let text = complaint(&pack(&[GOOD, GOOD, &GOOD.replacen(from, to, 1), GOOD].concat()));
            assert!(text.contains(wanted), "{text}");
            assert!(text.contains(&*FILES[0].raw_sha256), "{text}");
        }
    }

    #[test]
    fn other_line_ends_and_a_header_are_called_what_they_are_beside_the_digest() {
        let text = complaint(GOOD.repeat(3).replace('\n', "\r\n").as_bytes());
        let wanted = "line 1, column 42 (class): the line ends in CR LF";
        assert!(text.contains(wanted) && text.contains(&*FILES[0].raw_sha256), "{text}");
        let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
        let text = complaint(format!("{},label\n{GOOD}", names.join(",")).as_bytes());
        let wanted = "line 1, column 1 (duration): 'duration' is not a whole number of at most nine \
                      digits: this line names columns, and the published file has no such line";
        assert!(text.contains(wanted) && text.contains(&*FILES[0].raw_sha256), "{text}");
        assert!(!text.contains("damaged"), "{text}");
    }

    #[test]
    fn all_of_the_published_file_with_other_line_ends_is_read_to_its_digest() {
        let Some(path) = real() else { return };
        let mut text = String::new();
        super::super::open(&path, None).unwrap().read_to_string(&mut text).unwrap();
        let text = complaint(text.replace('\n', "\r\n").as_bytes());
        assert!(text.contains("the line ends in CR LF") && text.contains("sha256 of"), "{text}");
        assert!(!text.contains("damaged") && !text.contains("more than"), "{text}");
    }

    #[test]
    fn a_short_row_is_reported_where_it_ends() {
        let short = &GOOD[..GOOD.find(",5450").unwrap()];
        let wanted = "line 2, column 5 (src_bytes): the row ends here with '181'; it needs 42";
        let text = complaint(&pack(&format!("{GOOD}{short}\n{GOOD}")));
        assert!(text.contains(wanted), "{text}");
        // at the end of the file too, and not packed
        let text = complaint(format!("{GOOD}{short}").as_bytes());
        assert!(text.contains(wanted), "{text}");
        let text = complaint(format!("{GOOD}\n{GOOD}").as_bytes());
        assert!(text.contains("line 2, column 1 (duration): the row ends here with ''"), "{text}");
        assert!(complaint(&[b'1'; 1 << 19]).contains("line 1, column 1: the line has no end"));
    }

    #[test]
    fn whole_rows_that_are_not_the_published_ones_are_counted_and_refused() {
        let text = complaint(&pack(&GOOD.repeat(3)));
        assert!(text.contains("its 3 rows can be read"), "{text}");
        assert!(complaint(b"").contains("its 0 rows can be read"));
    }

    #[test]
    fn truncated_and_damaged_gzip_name_how_far_they_got() {
        let Some(path) = real() else { return };
        let mut bytes = std::fs::read(path).unwrap();
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            bytes = pack(std::str::from_utf8(&bytes).unwrap());
        }
        let text = complaint(&bytes[..bytes.len() / 2]);
        let line = text.split("line ").nth(1).and_then(|rest| rest.split(',').next());
        let line: usize = line.unwrap().parse().unwrap();
        assert!((10_000..ROWS).contains(&line) && text.contains("column"), "{text}");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xff);
        let text = complaint(&bytes);
        assert!(text.contains("line ") && text.contains(", column "), "{text}");
    }
}
