//! Words and commands that people paste into a POSIX shell, or that a script gives it.

use std::borrow::Cow;
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

#[cfg(test)]
mod tests {
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
    fn plain_words_stay_as_they_are_and_a_path_is_one_word() {
        assert_eq!(command(["seedbed", "run", "--out", "a/b", "x-y_1.toml"]), {
            "seedbed run --out a/b x-y_1.toml"
        });
        assert_eq!(quoted_path(Path::new("results/it's here")), "\"results/it's here\"");
    }
}
