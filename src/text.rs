//! Words about what somebody typed: the nearest name that is known, and serde's messages in the words of
//! an experiment's or a paper's file, with the line that they are about.

use textwrap::core::display_width;

/// Names that other programs give to columns and metrics, and ours.
const SYNONYMS: [(&str, &[&str]); 11] = [
    ("auroc", &["roc_auc", "rocauc", "auc", "auc_roc", "aucroc", "roc_auc_score", "auc_score"]),
    ("auprc", &["pr_auc", "prauc", "auc_pr", "aucpr", "ap", "average_precision", "aupr"]),
    ("f1", &["f1_score", "f_score", "fscore", "f1_macro", "f_1", "f_measure"]),
    ("precision", &["prec", "ppv", "positive_predictive_value"]),
    ("recall", &["rec", "tpr", "sensitivity", "true_positive_rate", "hit_rate"]),
    ("seed", &["random_state", "random_seed", "rng", "run", "trial"]),
    ("cell", &["config", "configuration", "setting", "variant"]),
    ("experiment", &["experiment_name", "exp", "name"]),
    ("state", &["status", "result", "outcome"]),
    ("wall_seconds", &["time", "seconds", "runtime", "duration", "elapsed", "train_time"]),
    ("threshold", &["cutoff", "thresh", "tau"]),
];

/// Returns `; did you mean 'x'?` when one of the names is near, or is called so elsewhere.
pub fn nearest(wrong: &str, known: &[&str]) -> String {
    near(wrong, known).map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// Returns the known name that is meant, where that can be told.
pub fn near<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    if wrong.len() > 64 {
        // no name is near, and comparing takes memory by the product of the lengths
        return None;
    }
    let plain = wrong.trim().to_lowercase().replace([' ', '-'], "_");
    let meant = SYNONYMS.iter().find(|(_, others)| others.contains(&plain.as_str()));
    let meant = meant.and_then(|(name, _)| known.iter().find(|known| *known == name));
    if let Some(name) = meant {
        return Some(name);
    }
    let distance = |name: &str| {
        let other = strsim::damerau_levenshtein(&plain, &name.to_lowercase().replace('-', "_"));
        strsim::damerau_levenshtein(wrong, name).min(other)
    };
    let all = known.iter().map(|name| (distance(name), *name));
    // of a short word half its letters may be another word's
    let most = wrong.chars().count() / 2;
    let near = all.filter(|(distance, name)| *distance <= most.min(2.max(name.len() / 3)));
    near.min().map(|(_, name)| name)
}

/// Returns what serde says of an unknown key or value with the nearest name, and of a value of a wrong
/// kind in plain words.
pub fn explained(message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown =
        ["unknown field", "unknown variant"].iter().any(|start| message.starts_with(start));
    match names.split_first() {
        Some((wrong, known)) if unknown => format!("{message}{}", nearest(wrong, known)),
        _ => of_kind(message).unwrap_or_else(|| message.to_owned()),
    }
}

/// Columns of a line that is shown below a message.
const SHOWN: usize = 88;

/// Adds the line that a message is about, with a caret below its place. `message` begins with the place,
/// `LINE:COLUMN:` after `file`; one that names no place stays as it is.
pub fn pointed(message: &str, file: &str, text: &str) -> String {
    let place = || {
        let rest = message.strip_prefix(file)?;
        let (line, rest) = rest.strip_prefix(':').unwrap_or(rest).split_once(':')?;
        let (column, _) = rest.split_once(':')?;
        Some((line.parse::<usize>().ok()?, column.parse::<usize>().ok()?))
    };
    let found = place().and_then(|(line, column)| {
        let shown = text.lines().nth(line.checked_sub(1)?)?;
        Some((line, shown, column.checked_sub(1)?))
    });
    let Some((line, shown, column)) = found else { return message.to_owned() };
    // a tab is as wide as its terminal likes
    let letters: Vec<char> = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let from = if column > SHOWN / 2 && letters.len() > SHOWN { column - SHOWN / 2 } else { 0 };
    let part = |range: std::ops::Range<usize>| -> String {
        letters.iter().skip(range.start).take(range.len()).collect()
    };
    let before = part(from.min(column)..column);
    let marked = token(letters.get(column..).unwrap_or_default());
    let caret = "^".repeat(display_width(&part(column..column + marked)).clamp(1, SHOWN));
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    format!(
        "{message}\n  {number} | {}\n  {margin} | {}{caret}",
        part(from..from + SHOWN).trim_end(),
        " ".repeat(display_width(&before)),
    )
}

/// How many letters a word of TOML has: a key, a number, or a text with its quotes.
fn token(letters: &[char]) -> usize {
    let Some(&first) = letters.first() else { return 1 };
    let length = match first {
        '"' | '\'' => {
            letters.iter().skip(1).position(|c| *c == first).map_or(letters.len(), |at| at + 2)
        }
        _ => letters.iter().take_while(|c| c.is_alphanumeric() || "-_.+".contains(**c)).count(),
    };
    length.max(1)
}

/// Whether serde complains of a list where a single value is wanted.
pub fn is_of_list(message: &str) -> bool {
    message.starts_with("invalid type: sequence")
}

/// `invalid type: string "300", expected u64`, in words that a user of the file knows.
fn of_kind(message: &str) -> Option<String> {
    let rest = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "))?;
    let (found, wanted) = rest.split_once(", expected ")?;
    let found = match found.split_once(' ') {
        Some(("string", text)) => format!("is the text {text}"),
        Some(("integer" | "floating", number)) => {
            format!("is {}", number.trim_start_matches("point ").replace('`', ""))
        }
        Some(("boolean", truth)) => format!("is {}", truth.replace('`', "")),
        _ => match found {
            "sequence" => "is a list".to_owned(),
            "map" => "is a table".to_owned(),
            other => format!("is {other}"),
        },
    };
    let wanted = match wanted.split([',', ' ']).next()? {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number from 0 on, without quotes",
        "i64" | "i32" => "a whole number, without quotes",
        "f64" | "f32" => "a number, without quotes",
        "a" if wanted.starts_with("a string") => "a text in quotes",
        "a" if wanted.starts_with("a sequence") => "a list: [ … ]",
        "a" if wanted.starts_with("a boolean") => "true or false",
        _ => wanted,
    };
    Some(format!("{found}; it must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near_or_is_what_others_call_it() {
        let known = ["experiment", "seed", "precision", "recall", "f1", "auroc", "auprc"];
        for (wrong, meant) in [
            ("roc_auc", Some("auroc")),
            ("ROC AUC", Some("auroc")),
            ("average_precision", Some("auprc")),
            ("F1", Some("f1")),
            ("f1-score", Some("f1")),
            ("percision", Some("precision")),
            ("random_state", Some("seed")),
            ("colour", None),
            ("9", None),
            (&"x".repeat(100), None),
        ] {
            assert_eq!(near(wrong, &known), meant, "{wrong}");
        }
        // a synonym of a name that is not known here
        assert_eq!(near("roc_auc", &["epochs"]), None);
        assert_eq!(nearest("titel", &["name", "title"]), "; did you mean 'title'?");
    }

    #[test]
    fn a_message_shows_its_line_with_a_caret_below_the_word() {
        let text = "a = 1\n\tlatnet = 3 # said\n\"数据\" = \"x\"\n";
        for (message, shown) in [
            ("f.toml:2:2: unknown", "\n  2 |  latnet = 3 # said\n    |  ^^^^^^"),
            ("f.toml:3:8: wrong", "\n  3 | \"数据\" = \"x\"\n    |          ^^^"),
            ("f.toml:1:6: ends", "\n  1 | a = 1\n    |      ^"),
            ("f.toml:9:1: beyond", ""),
            ("f.toml: no place", ""),
            ("other.toml:1:1: another file", ""),
        ] {
            assert_eq!(pointed(message, "f.toml", text), format!("{message}{shown}"));
        }
        assert_eq!(pointed("1:1: x", "", "k=1"), "1:1: x\n  1 | k=1\n    | ^");
        let long = format!("{} = 1, wrong = 2", "k".repeat(300));
        let said = pointed("f:1:307: x", "f", &long);
        assert!(said.lines().all(|line| line.chars().count() <= SHOWN + 6), "{said}");
        let [_, line, caret] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
        let place = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
        assert_eq!(place(line, "wrong"), place(caret, "^"), "{said}");
    }

    #[test]
    fn a_wrong_kind_of_value_is_said_in_the_words_of_a_file() {
        for (message, said) in [
            (
                "invalid type: string \"300\", expected u64",
                "is the text \"300\"; it must be a whole number from 0 on, without quotes",
            ),
            (
                "invalid type: floating point `0.5`, expected usize",
                "is 0.5; it must be a whole number from 0 on, without quotes",
            ),
            (
                "invalid type: boolean `true`, expected f64",
                "is true; it must be a number, without quotes",
            ),
            ("invalid type: integer `3`, expected a string", "is 3; it must be a text in quotes"),
            ("invalid type: map, expected a sequence", "is a table; it must be a list: [ … ]"),
            (
                "invalid value: integer `-3`, expected usize",
                "is -3; it must be a whole number from 0 on, without quotes",
            ),
            ("missing field `name`", "missing field `name`"),
        ] {
            assert_eq!(explained(message), said);
        }
        let unknown = "unknown field `titel`, expected one of `name`, `title`";
        assert_eq!(explained(unknown), format!("{unknown}; did you mean 'title'?"));
    }
}
