//! Words and commands that people paste into a POSIX shell, or that a script gives it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use shlex::Quoter;

/// Quotes a word where a shell would take it for something else.
pub fn quoted(word: &str) -> Cow<'_, str> {
    // the one thing that cannot be quoted is NUL, which no program can be given anyway
    Quoter::new().allow_nul(true).quote(word).unwrap_or(Cow::Borrowed(word))
}

/// Quotes a path; what is not UTF-8 in it is shown as U+FFFD.
pub fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy()).into_owned()
}

/// Makes one line of a program's name and its arguments.
pub fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// As [`command`], of words that need not be text: what is none, or would not survive a terminal, goes through
/// `printf`.
pub fn command_of(words: impl IntoIterator<Item = OsString>) -> String {
    let word = |word: OsString| match word.to_str() {
        Some(text) if !text.contains(char::is_control) => quoted(text).into_owned(),
        // a shell drops ends of lines there
        Some(text) if text.ends_with('\n') => quoted(text).into_owned(),
        Some(_) | None => format!("\"$(printf '{}')\"", in_octal(word.as_bytes())),
    };
    words.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Bytes as the format of `printf` has them.
fn in_octal(bytes: &[u8]) -> String {
    let shown = |(place, &byte): (usize, &u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'/' | b'=' => {
            char::from(byte).to_string()
        }
        // what begins with it could be an option of printf's
        b'-' if place > 0 => "-".to_owned(),
        _ => format!("\\{byte:03o}"),
    };
    bytes.iter().enumerate().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    const WORDS: [&str; 10] = [
        "results/it's here",
        "a b\"c",
        "$HOME",
        "`id`",
        "a\nb",
        "",
        "-n",
        "\\",
        "model.decoder=\"gaussian\"",
        "!!^*?[a]{b,c}~#;&|<>()",
    ];

    #[test]
    fn a_shell_reads_every_word_of_a_command_as_it_was() {
        let line = command(["printf", "[%s]"].into_iter().chain(WORDS));
        let said = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        let expected: String = WORDS.map(|word| format!("[{word}]")).concat();
        assert_eq!(String::from_utf8_lossy(&said.stdout), expected, "{line}");
    }

    #[test]
    fn a_shell_reads_words_that_are_no_text_as_they_were() {
        let bytes: [&[u8]; 4] = [b"--out=d\xffta's", b"\x1b[2J%s\n.", b"plain", b"-n\xc3"];
        let words = ["printf", "[%s]"].map(OsString::from).into_iter();
        let line = command_of(words.chain(bytes.map(|word| OsString::from_vec(word.to_vec()))));
        assert!(line.is_ascii() && !line.contains(char::is_control), "{line}");
        let said = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        let expected = bytes.map(|word| [b"[", word, b"]"].concat()).concat();
        assert_eq!(said.stdout, expected, "{line}");
    }

    #[test]
    fn plain_words_stay_as_they_are_and_a_path_is_one_word() {
        assert_eq!(command(["seedbed", "run", "--out", "a/b", "x-y_1.toml"]), {
            "seedbed run --out a/b x-y_1.toml"
        });
        assert_eq!(quoted_path(Path::new("results/it's here")), "\"results/it's here\"");
    }
}
