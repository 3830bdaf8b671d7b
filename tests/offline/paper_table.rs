//! `seedbed table`: one table for a paper, of a file of runs.

use crate::sandbox::Sandbox;

/// Runs of two cells and a control, with figures of the paper that ships with the sandbox.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut text = "experiment,cell,seed,scale,state,f1,auroc\n".to_owned();
    for (cell, f1) in [
        ("reconstruction=sum", [0.8, 0.9, 0.7]),
        ("reconstruction=mean", [0.9, 0.95, 0.85]),
        ("\"reconstruction=sum,control=untrained\"", [0.1, 0.2, 0.3]),
    ] {
        for (seed, f1) in f1.iter().enumerate() {
            text += &format!("tiny,{cell},{},full,ok,{f1},0.5\n", seed + 1);
        }
    }
    sandbox.write("my.csv", &text);
    sandbox
}

#[test]
fn a_table_has_means_with_spreads_in_rows_and_columns_beside_published_figures() {
    let sandbox = sandbox();
    let table = |more: &str| sandbox.seedbed(&format!("table tiny --from my.csv {more}"));
    let markdown = table("--best").expect(0).stdout;
    let expected = "\
| cell | F1 | published | AUROC | published |
| --- | ---: | ---: | ---: | ---: |
| reconstruction=sum | 0.800 ± 0.100 | 0.5 | **0.500 ± 0.000** | 0.01 |
| reconstruction=mean | **0.900 ± 0.050** |  | **0.500 ± 0.000** |  |

Mean ± standard deviation over 3 runs.
";
    assert_eq!(markdown, expected);
    assert!(!table("").expect(0).stdout.contains("**"), "best values are marked on request alone");
    let turned =
        table("--rows metric --columns reconstruction --no-published --decimals 2").expect(0);
    let expected = "\
| metric | sum | mean |
| --- | ---: | ---: |
| F1 | 0.80 ± 0.10 | 0.90 ± 0.05 |
| AUROC | 0.50 ± 0.00 | 0.50 ± 0.00 |

Mean ± standard deviation over 3 runs.
";
    assert_eq!(turned.stdout, expected);
    let one = table("--rows experiment --columns metric --metric f1 --controls --no-published");
    let one = one.expect(0).stdout;
    for row in
        ["| tiny, reconstruction=sum | 0.800", "| tiny, reconstruction=sum,control=untrained |"]
    {
        assert!(one.contains(row), "no '{row}' in:\n{one}");
    }
}

#[test]
fn every_format_says_the_same_and_latex_stands_in_a_paper() {
    let sandbox = sandbox();
    let table =
        |more: &str| sandbox.seedbed(&format!("table tiny --from my.csv --metric f1 {more}"));
    let latex = table("--format latex --best").expect(0).stdout;
    let mean = "0.900 \\ensuremath{\\pm} 0.050";
    for words in [
        "\\begin{tabular}{lrr}\n\\toprule\n",
        "cell & F1 & published \\\\\n\\midrule\n",
        &format!("& \\textbf{{{mean}}} &  \\\\"),
        "\\bottomrule\n\\end{tabular}\n",
        "\\usepackage{booktabs}",
    ] {
        assert!(latex.contains(words), "no '{words}' in:\n{latex}");
    }
    let document = table("--format latex-document").expect(0).stdout;
    for words in ["\\usepackage[T1]{fontenc}\n\\usepackage{lmodern}", "\\begin{document}", mean] {
        assert!(document.contains(words), "no '{words}' in:\n{document}");
    }
    let html = table("-f html").expect(0).stdout;
    assert!(html.contains("<td>0.900 ± 0.050</td>"), "{html}");
    let csv = table("-f csv").expect(0).says("Mean ± standard deviation over 3 runs.").stdout;
    let expected = "cell,F1 mean,F1 std,F1 runs,F1 published\nreconstruction=sum,0.8,0.1";
    assert!(csv.starts_with(expected), "{csv}");
    table("-f csv --best").expect(2).says("holds numbers alone");
}

#[test]
fn what_cannot_be_laid_out_is_refused_with_the_nearest_name() {
    let sandbox = sandbox();
    let table = |more: &str| sandbox.seedbed(&format!("table tiny --from my.csv {more}"));
    table("--rows reconstuction").expect(2).says("did you mean 'reconstruction'?");
    table("--rows metric").expect(2).says("--rows and --columns are both metric");
    table("--metric recall").expect(0).prints("—");
    sandbox.seedbed("table tiny").expect(2).says("holds no run of this experiment");
    sandbox.seedbed("table tiny --from my.csv --json").expect(2).says("compare --json");
}
