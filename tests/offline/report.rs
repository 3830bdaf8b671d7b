//! The report of the committed results, and one of everything that has ever broken a page, in every
//! format and in a real browser (`scripts/setup-browser.sh`). It trains nothing and stores nothing.
//!
//! With `SEEDBED_SHOTS=DIR` the pages, screenshots and a PDF are left there to be looked at.

use std::fmt::Write;
use std::path::Path;

use crate::browser::Browser;
use seedbed::experiment::{Experiment, Scale, Selection};
use seedbed::metrics::Metric;
use seedbed::paper::{self, Paper};
use seedbed::report::document::{Document, Loss, Picture, Section};
use seedbed::report::picture;
use seedbed::report::{csv, html, latex, markdown};
use seedbed::store::record::State;
use seedbed::summary::{self, Comparison, Row};
use serde_json::Value;

const RESULTS: [(&str, &str); 8] = [
    ("dagmm-kddcup", "results"),
    ("danieltan07-kddcup", "results"),
    ("vae-blog-kddcup", "results"),
    ("conv-vae-notebook-mnist", "results"),
    ("vae-kddcup", "results"),
    ("vae-families-kddcup", "results"),
    ("vae-mnist", "results/reduced"),
    ("conv-vae-mnist", "results/reduced"),
];

/// Text that means something to HTML, Markdown, LaTeX or CSV.
const NASTY: &str = "<script>alert(1)</script><b onclick=x>&amp;|`a`*b*_c_[d](javascript:e) \
                     \\end{document}$x^2$%#~\"quoted\" 'q' {curly} ± × − ≥ λ 逻辑 </style><!--";

fn committed() -> Document {
    Document { sections: RESULTS.iter().map(|(name, folder)| published(name, folder)).collect() }
}

/// A section of the committed results, as the command line makes it.
fn published(name: &str, folder: &str) -> Section {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let quick = folder.ends_with("reduced");
    let path = root.join(format!("experiments/{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let selection = Selection { quick, ..Selection::default() };
    let experiment = Experiment::parse(&path, &text, &selection).unwrap();
    let load = |paper: &String| paper::load(&experiment.papers_folder(), paper).unwrap();
    let papers: Vec<Paper> = experiment.papers.iter().map(load).collect();
    let from = format!("{folder}/{name}");
    let rows = csv::read_runs(&root.join(&from).join("runs.csv")).unwrap();
    let mut section = section(name, rows, papers);
    section.title = experiment.title.clone();
    section.from = from;
    section.cells = experiment.cells;
    section.commands = vec![format!("seedbed run {name}{}", if quick { " --quick" } else { "" })];
    section
}

fn section(name: &str, rows: Vec<Row>, papers: Vec<Paper>) -> Section {
    let mut summaries = summary::summarise(&rows).unwrap();
    summary::bootstrap(&mut summaries, &rows, 200);
    let evidence = summary::evidence(&summaries, &rows, &[], &papers);
    let comparisons =
        papers.iter().flat_map(|paper| summary::compare(&evidence, paper, name, None)).collect();
    Section {
        experiment: name.into(),
        title: name.into(),
        scale: rows.first().map_or(Scale::Full, |row| row.scale),
        from: "runs.csv".into(),
        comparisons,
        pairs: summary::pairs(&rows),
        readings: None,
        papers,
        cells: Vec::new(),
        unrecorded: None,
        summaries,
        rows,
        losses: Vec::new(),
        pictures: Vec::new(),
        commands: Vec::new(),
        notes: Vec::new(),
    }
}

/// Rows of `cell` with these F1s, read as a `runs.csv` of someone else's.
fn rows(cells: &[(&str, &[f64])], scale: &str) -> Vec<Row> {
    let mut text = "experiment,cell,seed,scale,state,f1\n".to_owned();
    for (cell, values) in cells {
        for (seed, value) in values.iter().enumerate() {
            let cell = cell.replace('"', "\"\"");
            writeln!(text, "made-up,\"{cell}\",{seed},{scale},ok,{value}").unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.csv");
    std::fs::write(&path, text).unwrap();
    csv::read_runs(&path).unwrap()
}

/// A paper that prints F1s of `made-up`, each with a margin of 0.02.
fn paper(title: &str, source: &str, values: &[f64]) -> Paper {
    let figures = values.iter().enumerate().map(|(table, value)| {
        serde_json::json!({"table": format!("Table {table} {title}"), "dataset": "d", "setting": title,
            "method": "m", "metric": "f1", "value": value, "status": "verified",
            "experiment": "made-up", "runs": 5, "std": 0.01})
    });
    let figures: Vec<Value> = figures.collect();
    let margin = serde_json::json!({"value": 0.02, "reason": title});
    let paper = serde_json::json!({"name": "p", "title": title, "source": source,
        "margins": {"f1": margin}, "figures": figures});
    serde_json::from_value(paper).unwrap()
}

/// Everything that is not in the committed results: markup in every text, failed runs, cells that
/// nobody ran, losses with gaps, pictures, a picture that would run a script.
fn eventful() -> Document {
    let base = [0.9, 0.901, 0.899, 0.902, 0.95, 0.898];
    let cells: [(&str, &[f64]); 4] = [
        (NASTY, &base),
        ("a=1", &[0.5, 0.91, 0.7, 0.8]),
        ("a=1,control=untrained", &[0.2, 0.21, 0.19]),
        ("a=2", &[0.4]),
    ];
    let mut rows = rows(&cells, "full");
    for row in rows.iter_mut().filter(|row| row.cell == NASTY && row.seed >= 4) {
        row.state = if row.seed == 4 { State::Diverged } else { State::TimedOut };
    }
    for row in rows.iter_mut().filter(|row| row.cell == "a=2") {
        row.state = State::OutOfMemory;
        row.metrics[Metric::F1] = None;
    }
    let papers = vec![paper(NASTY, "javascript:alert(1)", &[0.9, 0.6, 0.0])];
    let mut section = section("made-up", rows, papers);
    section.title = NASTY.into();
    section.from = NASTY.into();
    section.commands = vec![NASTY.into(), "seedbed run made-up".into()];
    section.notes = vec![NASTY.into()];
    section.losses = losses(NASTY, 300);
    section.losses.extend(losses("a=1", 1));
    section.pictures = pictures(NASTY);
    Document { sections: vec![section] }
}

fn losses(cell: &str, epochs: u64) -> Vec<Loss> {
    let mut losses = Vec::new();
    for term in ["loss", "<kl>"] {
        for epoch in 1..=epochs {
            let median = Some(100.0 / epoch as f64 - 1.0).filter(|_| epoch != 100);
            let of = |factor: f64| median.map(|value| value + factor);
            losses.push(Loss {
                experiment: "made-up".into(),
                cell: cell.into(),
                scale: Scale::Full,
                term: term.into(),
                epoch,
                n: 6,
                min: of(-0.9),
                q1: of(-0.3),
                median,
                q3: of(0.3),
                max: of(2.0),
            });
        }
    }
    losses
}

fn pictures(cell: &str) -> Vec<Picture> {
    let scores: Vec<f64> = (0..300).map(|i| f64::from(i) * 0.7 % 13.0).collect();
    let labels: Vec<bool> = (0..300).map(|i| i % 4 == 0).collect();
    let points: Vec<[f64; 3]> = scores.iter().map(|&s| [s, s.sin(), s.cos()]).collect();
    let roc = picture::roc_curve(cell, &scores, &labels, Some(0.5), (0.2, 0.3));
    let histogram = picture::score_histogram(cell, "energy", &scores, &labels, 9.0);
    let latent =
        picture::scatter_projections(cell, &points, ["code", "distance", "cosine"], &labels);
    let script = "<svg xmlns='http://www.w3.org/2000/svg' width='90' height='20' onload='alert(1)'>\
                  <script>alert(2)</script><image href='http://example.invalid/x.png'/></svg>";
    let files = [
        ("roc.svg", roc.into_bytes()),
        ("scores.svg", histogram.into_bytes()),
        ("latent.svg", latent.into_bytes()),
        ("evil.svg", script.into()),
        ("what.txt", b"no picture".to_vec()),
    ];
    let of = |(name, bytes): (&str, Vec<u8>)| Picture {
        cell: cell.into(),
        seed: 1,
        name: name.into(),
        bytes,
    };
    files.into_iter().map(of).collect()
}

/// The comparisons that an overview has a row for.
fn judged(document: &Document) -> Vec<&Comparison> {
    let all = document.sections.iter().flat_map(|section| &section.comparisons);
    all.filter(|one| !one.null_model).collect()
}

/// The page in a browser, with the functions of `support/page.js`; none without a browser.
fn open(document: &Document) -> Option<(Browser, tempfile::TempDir)> {
    let command = crate::browser::find()?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    std::fs::write(&file, html::render(document)).unwrap();
    let mut browser = Browser::start(&command);
    browser.window(1280, 800);
    browser.media("screen", "light");
    browser.open(&file);
    browser.evaluate(&format!("{}; globalThis.page = page; 0", include_str!("../support/page.js")));
    Some((browser, folder))
}

#[track_caller]
fn no_faults(found: &Value, what: &str) {
    assert_eq!(found, &serde_json::json!([]), "{what}");
}

#[test]
fn in_a_browser_every_figure_has_a_row_whose_drawing_agrees_with_its_verdict() {
    let document = committed();
    let Some((mut browser, _folder)) = open(&document) else { return };
    let rows = browser.evaluate("page.figures()");
    let rows = rows.as_array().unwrap();
    let expected = judged(&document);
    assert_eq!(rows.len(), expected.len());
    assert!(expected.iter().any(|one| one.verdict == summary::Verdict::Reproduced));
    assert!(rows[0]["top"].as_f64().unwrap() < 500.0, "the first row is on the first screen");
    let words = |name: &str| rows.iter().filter(|row| row["word"] == name).count();
    for verdict in ["reproduced", "not reproduced", "inconclusive", "undecidable", "too few runs"] {
        let full = expected.iter().filter(|one| one.scale == Scale::Full);
        assert_eq!(words(verdict), full.filter(|one| one.verdict.as_str() == verdict).count());
    }
    let reduced = expected.iter().filter(|one| one.scale == Scale::Quick).count();
    assert_eq!(words("reduced run"), reduced, "a reduced run has no other word");
    // too few runs have no interval
    for row in rows.iter().filter(|row| row["judged"] == true && row["word"] != "too few runs") {
        let ends = |name: &str| [0, 1].map(|end| row[name][end].as_f64().unwrap());
        let ([low, high], [from, to]) = (ends("band"), ends("whisker"));
        let geometry = match (low < from && to < high, to < low || from > high) {
            (true, _) => &["reproduced"][..],
            (_, true) => &["not reproduced"],
            (false, false) => &["inconclusive", "undecidable"],
        };
        assert!(geometry.iter().any(|word| row["word"] == *word), "{row}");
        let [left, right] = ends("drawing");
        assert!(left <= from && to <= right, "{row}");
    }
    let dots = browser.evaluate("document.querySelectorAll('.strip circle').length");
    let values = document.sections.iter().flat_map(|section| &section.rows);
    let values = values.map(|row| Metric::ALL.iter().filter(|m| row.value(**m).is_some()).count());
    assert_eq!(dots.as_u64().unwrap() as usize, values.sum::<usize>(), "every run is a dot");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn in_a_browser_pages_fit_are_legible_and_can_be_read_by_all() {
    for (name, document) in [("report", committed()), ("eventful", eventful())] {
        let Some((mut browser, _folder)) = open(&document) else { return };
        if let Some(shots) = std::env::var_os("SEEDBED_SHOTS") {
            leave_pictures(&mut browser, name, &document, Path::new(&shots));
        }
        no_faults(&browser.evaluate("page.access()"), "access");
        no_faults(&browser.evaluate("page.foreign()"), "foreign");
        for width in [380, 950, 970, 1280] {
            browser.window(width, 800);
            no_faults(&browser.evaluate("page.overflow()"), &format!("{name} at {width}, closed"));
        }
        assert!(browser.evaluate("page.openAll()").as_u64().unwrap() > 2);
        for width in [380, 950, 970, 1280] {
            browser.window(width, 800);
            no_faults(&browser.evaluate("page.overflow()"), &format!("{name} at {width}, open"));
            for scheme in ["light", "dark"] {
                browser.media("screen", scheme);
                let found = browser.evaluate("page.contrast()");
                assert!(found["checked"].as_u64().unwrap() > 100, "{found}");
                no_faults(&found["faults"], &format!("{name}, contrast in {scheme} at {width}"));
            }
        }
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn on_paper_nothing_stays_closed() {
    let Some((mut browser, _folder)) = open(&committed()) else { return };
    browser.window(680, 1000);
    let closed = "document.querySelectorAll('details:not([open])').length";
    assert!(browser.evaluate(closed).as_u64().unwrap() > 5);
    assert_ne!(browser.evaluate("page.closedAndUnseen()"), serde_json::json!([]));
    // a reader in the dark prints black on white all the same
    browser.media("print", "dark");
    no_faults(&browser.evaluate("page.closedAndUnseen()"), "closed");
    let white = browser.evaluate("getComputedStyle(document.body).backgroundColor");
    assert_eq!(white, "rgb(255, 255, 255)");
    no_faults(&browser.evaluate("page.contrast().faults"), "contrast on paper");
}

#[test]
fn texts_of_strangers_stay_texts() {
    let document = eventful();
    let page = html::render(&document);
    assert!(!page.contains("<script") && !page.contains("<b onclick"));
    assert!(!page.contains("href=\"javascript"), "a source that is no web address is no link");
    let Some((mut browser, _folder)) = open(&document) else { return };
    let text = |selector: &str| format!("document.querySelector('{selector}').textContent");
    assert_eq!(browser.evaluate(&text("section.experiment h2")), NASTY);
    assert!(browser.evaluate(&text("pre")).as_str().unwrap().starts_with(NASTY));
    let alt = browser.evaluate("document.querySelector('img').alt");
    assert!(alt.as_str().unwrap().contains(NASTY), "{alt}");
    let images = browser.evaluate(
        "Promise.all([...document.images].map((one) => one.decode().then(() => one.naturalWidth)))",
    );
    assert_eq!(images.as_array().unwrap().len(), 4, "{images}");
    assert!(images.as_array().unwrap().iter().all(|width| width.as_u64() > Some(10)), "{images}");
    let said = browser.evaluate(&text("section.experiment"));
    for words in ["1 diverged, 1 timed out", "Shown are 4 of 5 pictures", "no run ended ok"] {
        assert!(said.as_str().unwrap().contains(words), "{words}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_same_document_gives_the_same_bytes_and_never_a_nan() {
    for document in [committed(), eventful(), Document { sections: Vec::new() }] {
        let renders = [html::render, markdown::render, latex::render];
        for render in renders {
            let text = render(&document);
            assert_eq!(text, render(&document));
            for word in [" NaN", ">NaN", "(NaN", "inf<", " -0.0000", "−0.0000"] {
                assert!(!text.contains(word), "{word}");
            }
        }
        let json = serde_json::to_string(&document).unwrap();
        assert!(!json.contains("NaN"));
    }
}

#[test]
fn five_thousand_cells_leave_the_page_usable_and_it_says_what_is_missing() {
    let labels: Vec<String> = (0..5000).map(|cell| format!("a={cell}")).collect();
    let values: Vec<f64> = (0..20).map(|seed| 0.9 + 0.001 * f64::from(seed)).collect();
    let cells: Vec<(&str, &[f64])> =
        labels.iter().map(|label| (label.as_str(), &values[..])).collect();
    let rows = rows(&cells, "full");
    assert_eq!(rows.len(), 100_000);
    let mut section = section("made-up", rows, vec![paper("t", "https://example.org", &[0.9])]);
    section.pairs.clear();
    let document = Document { sections: vec![section] };
    let page = html::render(&document);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    for sentence in [
        "5,000 comparisons with 1 published figure:",
        "Shown are the first 300 of 5,000 comparisons; all are in comparison.csv.",
        "Shown are the first 60 of 5,000 cells; all are in runs.csv.",
        "Shown are the first 400 of 5,000 rows; all are in summary.csv.",
    ] {
        assert!(page.contains(sentence), "{sentence}");
    }
}

#[test]
fn markdown_tables_keep_their_columns_whatever_is_in_them() {
    let text = markdown::render(&eventful());
    assert!(text.contains("&lt;script&gt;"));
    assert!(text.contains(&format!("\n\n    {NASTY}\n")), "a command is a block of code");
    let code = |line: &str| line.starts_with("    ");
    assert!(!text.lines().any(|line| line.contains("<script") && !code(line)));
    let mut columns = 0;
    let mut tables = 0;
    for line in text.lines() {
        let pipes = line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        if line.starts_with('|') {
            tables += usize::from(columns == 0);
            columns = if columns == 0 { pipes } else { columns };
            assert_eq!(pipes, columns, "{line}");
        } else {
            columns = 0;
        }
    }
    assert_eq!(tables, 4, "comparisons, tests, summaries, pairs");
}

#[test]
fn latex_is_balanced_whatever_is_in_it() {
    for document in [committed(), eventful()] {
        let text = latex::render(&document);
        assert!(text.is_ascii() || text.chars().all(|c| c.is_ascii() || ('À'..='ſ').contains(&c)));
        let bare = text.replace("\\\\", "").replace("\\{", "").replace("\\}", "");
        let bare = bare.replace("\\%", "").replace("\\$", "").replace("\\&", "");
        assert_eq!(bare.matches('{').count(), bare.matches('}').count());
        assert_eq!(bare.matches('$').count(), 0, "mathematics is within \\ensuremath");
        assert!(bare.lines().all(|line| line.starts_with('%') || !line.contains('%')), "a comment");
        let begun = text.matches("\\begin{longtable}").count();
        assert_eq!((begun, text.matches("\\end{longtable}").count()), (begun, begun));
        assert_eq!(text.matches("\\end{document}").count(), 1);
        for table in text.split("\\toprule").skip(1) {
            let table = table.split("\\end{longtable}").next().unwrap();
            let lines = table.lines().filter(|line| line.ends_with(" \\\\"));
            let cells: Vec<usize> =
                lines.map(|line| line.replace("\\&", "").matches('&').count()).collect();
            assert!(cells.len() > 1 && cells.iter().all(|&count| count == cells[0]), "{cells:?}");
        }
    }
}

#[test]
fn a_reduced_run_is_marked_and_has_no_word_of_a_verdict() {
    let committed = committed();
    let quick = judged(&committed).into_iter().filter(|one| one.scale == Scale::Quick).count();
    let rows_of = html::render(&committed).matches("<tr class=\"figure reduced-run").count();
    assert!(quick > 0 && rows_of == quick, "{rows_of} of {quick}");
    let rows = rows(&[("base", &[0.9, 0.901, 0.899])], "quick");
    let section = section("made-up", rows, vec![paper("t", "https://example.org", &[0.9])]);
    let page = html::render(&Document { sections: vec![section] });
    assert!(page.contains("No published figure is judged here."));
    assert!(page.contains("Reduced run (--quick or --set), not the full protocol"));
    assert!(
        !page.contains("<tr class=\"figure reproduced")
            && !page.contains("class=\"overview judged")
    );
}

/// What the pages look like, for people.
fn leave_pictures(browser: &mut Browser, name: &str, document: &Document, shots: &Path) {
    for (width, height) in [(1280, 800), (380, 800)] {
        browser.window(width, height);
        for scheme in ["light", "dark"] {
            browser.media("screen", scheme);
            browser.screenshot(&shots.join(format!("{name}-{width}-{scheme}.png")));
            browser.evaluate("document.querySelector('.experiment').scrollIntoView()");
            browser.screenshot(&shots.join(format!("{name}-{width}-{scheme}-section.png")));
            browser.evaluate("scrollTo(0, 0)");
        }
    }
    browser.print(&shots.join(format!("{name}.pdf")));
    std::fs::write(shots.join(format!("{name}.html")), html::render(document)).unwrap();
    std::fs::write(shots.join(format!("{name}.md")), markdown::render(document)).unwrap();
    std::fs::write(shots.join(format!("{name}.tex")), latex::render(document)).unwrap();
}
