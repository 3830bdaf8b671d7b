"""Recomputes every number of README.md's generated blocks from the CSV files, with arithmetic of its own.

    python3 tests/readme_figures.py [FOLDER]      FOLDER has README.md, results/ and experiments/

Means, spreads, intervals and tests come from results/*/runs.csv and diagnostics.csv, published figures from
experiments/papers/*.toml, and benchmarks from their CSV files; no table that seedbed derived is read but for verdicts, which
are words. A cell of a table is compared as a whole; of a sentence all numbers are, in their order. A block, a column or a
sentence that is not known here is an error: whoever writes one says here what it must hold. Python's standard library only.
"""

import collections
import csv
import math
import pathlib
import re
import statistics
import sys

try:
    import tomllib
except ModuleNotFoundError:  # before Python 3.11
    from pip._vendor import tomli as tomllib

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
PROBLEMS = []
CHECKED = collections.Counter()


# ---- files ----------------------------------------------------------------------------------------


def rows(path, **wanted):
    with open(ROOT / path, newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[column] == value for column, value in wanted.items())]


def experiment(name):
    return tomllib.loads((ROOT / f"experiments/{name}.toml").read_text())


def values(name, cell, metric):
    """Seed → value of the runs that ended ok and have one."""
    found = rows(f"results/{name}/runs.csv", cell=cell, state="ok")
    return {int(row["seed"]): float(row[metric]) for row in found if row[metric]}


def measured(name, cell, what):
    found = rows(f"results/{name}/diagnostics.csv", cell=cell, name=what)
    return {int(row["seed"]): float(row["value"]) for row in found}


PLACE = ["table", "method", "dataset", "setting"]


def figures(name, cell, metric):
    """The published figures that are set beside a cell, with their paper's name and margin."""
    choices = experiment(name).get("compare", [])
    found, known = [], set()
    for choice in [choices] if isinstance(choices, dict) else choices:
        paper = choice["paper"]
        text = tomllib.loads((ROOT / f"experiments/papers/{paper}.toml").read_text())
        margin = text.get("margins", {}).get(metric, {}).get("value")
        for figure in text["figures"]:
            if any(choice.get(key, figure[key]) != figure[key] for key in PLACE):
                continue
            of = choice.get("cell", figure.get("cell"))
            # a paper's file has a number once for each experiment that it is of
            number = (paper, of, *(figure[key] for key in PLACE))
            beside = of is None or cell in (of, f"{of},control=untrained")
            if figure.get("metric") == metric and beside and number not in known:
                known.add(number)
                found.append(figure | {"paper": paper, "margin": margin})
    return found


# ---- arithmetic -----------------------------------------------------------------------------------


def incomplete_beta(a, b, x):
    """I_x(a, b) by its continued fraction (Lentz)."""
    if x in (0, 1):
        return x
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny, c, d, total = 1e-300, 1.0, 1 / (1 - (a + b) * x / (a + 1)), 1 / (1 - (a + b) * x / (a + 1))
    for m in range(1, 500):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            total *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return front * total


def t_quantile(q, degrees):
    """For q above one half, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        below = 1 - incomplete_beta(degrees / 2, 0.5, degrees / (degrees + middle * middle)) / 2
        low, high = (middle, high) if below < q else (low, middle)
    return (low + high) / 2


def half_width(numbers, q):
    return t_quantile(q, len(numbers) - 1) * statistics.stdev(numbers) / math.sqrt(len(numbers))


def wilcoxon(differences):
    """Exact and two-sided, over all choices of signs; and W+ − W− of their sum."""
    kept = sorted((d for d in (round(d, 12) for d in differences) if d), key=abs)
    if not kept:
        return None, None
    ranks, place = [], 0
    while place < len(kept):
        ties = sum(abs(other) == abs(kept[place]) for other in kept)
        ranks += [2 * place + ties + 1] * ties  # twice the mean rank
        place += ties
    ways = [1]
    for rank in ranks:
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    plus = sum(rank for rank, d in zip(ranks, kept) if d > 0)
    below, above = sum(ways[: plus + 1]), sum(ways[plus:])
    return min(1.0, 2 * min(below, above) / 2 ** len(kept)), 2 * plus / sum(ranks) - 1


def holm(ps):
    order = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    corrected, largest = [None] * len(ps), 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[place] = largest
    return corrected


def paired(name, cell, against, metric):
    """Differences of the seeds that both cells have, on one split."""
    ours, theirs = values(name, cell, metric), values(name, against, metric)
    split = lambda label: {int(row["seed"]): row["split_sha256"] for row in rows(f"results/{name}/runs.csv", cell=label)}
    own, other = split(cell), split(against)
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys()) if own[seed] == other[seed]]


# ---- words ----------------------------------------------------------------------------------------


def fixed(number, decimals):
    text = f"{number:.{decimals}f}"
    return text[1:] if float(text) == 0 and text[0] == "-" else text.replace("-", "−")


def signed(number, decimals):
    text = fixed(number, decimals)
    return text if text[0] == "−" else f"+{text}"


def digits(number, count):
    before = math.floor(math.log10(abs(number))) + 1 if number else 1
    return fixed(number, max(0, count - before))


def p_text(p):
    return "< 0.0001" if p < 0.0001 else fixed(p, max(2, 1 - math.floor(math.log10(p))))


def percent(share):
    return fixed(100 * share, 0)


def pm(numbers, decimals):
    numbers = list(numbers)
    spread = f" ± {fixed(statistics.stdev(numbers), decimals)}" if len(numbers) > 1 else ""
    return fixed(statistics.mean(numbers), decimals) + spread if numbers else ""


def runs_text(name, cell, metric):
    return f"{len(values(name, cell, metric))} of {experiment(name)['runs']}"


def untrained(name, cell, metric, decimals=3):
    return pm(values(name, f"{cell},control=untrained", metric).values(), decimals)


def published(name, cell, metric, decimals=3):
    return sorted(f"{fixed(figure['value'], decimals)} ({figure['table']})" for figure in figures(name, cell, metric))


def verdicts(name, cell, metric):
    if not (ROOT / f"results/{name}/comparison.csv").exists():
        return []  # no source reports it
    found = rows(f"results/{name}/comparison.csv", cell=cell, metric=metric)
    compatible = {"true": " (compatible: yes)", "false": " (compatible: no)"}
    return sorted(row["verdict"] + compatible.get(row.get("compatible"), "") for row in found)


# ---- comparing ------------------------------------------------------------------------------------


def same(place, found, expected):
    CHECKED[place.split(":")[0]] += 1
    if found != expected:
        PROBLEMS.append(f"{place}: README.md has '{found}', the files make '{expected}'")


def numbers_of(text):
    """Its numbers as written, without code and links; F1 and f64 hold none."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", text)
    return [number.rstrip(",") for number in re.findall(r"(?<![A-Za-z\d.])[+−]?\d[\d,]*(?:\.\d+)*", text)]


def numbers(place, text, expected):
    same(place, numbers_of(text), [str(number) for number in expected])


def table_of(lines):
    """Heads and rows of the first table, and the lines after it."""
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    end = next((place for place in range(start, len(lines)) if not lines[place].startswith("|")), len(lines))
    split = lambda line: [field.strip() for field in line.strip().strip("|").split("|")]
    heads, _, *body = [split(line) for line in lines[start:end]]
    return heads, [dict(zip(heads, fields)) for fields in body], lines[end:]


def bullets_of(lines):
    """Bullets and paragraphs, each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=- )", "\n".join(lines)) if part.strip()]


def table(block, lines, key, columns):
    """Compares each row: `key` makes of a row what `columns` take. Returns the keys and what follows the table."""
    heads, body, rest = table_of(lines)
    keys = []
    for row in body:
        one = key(row)
        keys.append(one)
        for head in heads:
            place = f"{block}: {', '.join(map(str, one))}, column {head}"
            if head not in columns:
                PROBLEMS.append(f"{place}: no such column is known")
                continue
            expected = columns[head](*one)
            found = row[head]
            if isinstance(expected, list):
                found, expected = sorted(found.split("; ")) if found else [], expected
            same(place, found, expected)
    return keys, rest


def sentences(block, lines, known):
    """Compares the numbers of each sentence, found by words in it."""
    for text in bullets_of(lines):
        found = [expected for words, expected in known.items() if words in text]
        if len(found) != 1:
            PROBLEMS.append(f"{block}: '{text[:70]}…' is not known here: say what its numbers must be")
            continue
        numbers(f"{block}: '{text[:40]}…'", text, found[0](text))


code = lambda text: text.strip("`")


# ---- blocks ---------------------------------------------------------------------------------------


def difference_texts(name, listed, metric):
    """(cell, against) → what the table says, Holm's correction over all that it lists."""
    differences = [paired(name, cell, against, metric) for cell, against in listed]
    tests = [wilcoxon(one) for one in differences]
    texts = {}
    for place, (one, p) in enumerate(zip(differences, holm([p for p, _ in tests]))):
        mean, half = statistics.mean(one), half_width(one, 0.975)
        bold = "**" if p is not None and p < 0.05 else ""
        text = f"{bold}{signed(mean, 3)}{bold} [{fixed(mean - half, 3)}, {fixed(mean + half, 3)}]"
        texts[listed[place]] = text + (f", p {p_text(p)}" if p is not None else "")
    return texts


def dagmm(block, lines):
    pair = lambda row: (code(row["experiment"]), code(row["cell"]))
    cells, rest = table(block, lines, pair, {
        "experiment": lambda name, cell: f"`{name}`",
        "cell": lambda name, cell: f"`{cell}`",
        "runs": lambda name, cell: runs_text(name, cell, "f1"),
        "F1": lambda name, cell: pm(values(name, cell, "f1").values(), 3),
        "published": lambda name, cell: published(name, cell, "f1"),
        "verdict": lambda name, cell: verdicts(name, cell, "f1"),
        "untrained F1": lambda name, cell: untrained(name, cell, "f1"),
        "AUPRC": lambda name, cell: pm(values(name, cell, "auprc").values(), 3),
        "untrained AUPRC": lambda name, cell: untrained(name, cell, "auprc"),
    })
    _, body, _ = table_of(rest)
    against = lambda row: code(row["minus"]) if "`" in row["minus"] else f"{code(row['cell'])},control=untrained"
    listed = collections.defaultdict(list)
    for row in body:
        listed[code(row["experiment"])].append((code(row["cell"]), against(row)))
    for name, pairs in listed.items():
        derived = {(row["cell"], row["against"]) for row in rows(f"results/{name}/pairs.csv", metric="f1")}
        same(f"{block}: pairs of {name}", set(pairs), derived)
    texts = {(name, metric): difference_texts(name, pairs, metric) for name, pairs in listed.items() for metric in ("f1", "auprc", "auroc")}
    column = lambda metric: lambda name, cell, other: texts[name, metric][cell, other]
    triple = lambda row: (code(row["experiment"]), code(row["cell"]), against(row))
    before = rest[: next(place for place, line in enumerate(rest) if line.startswith("|"))]
    _, after = table(block, rest, triple, {
        "experiment": lambda name, *_: f"`{name}`",
        "cell": lambda name, cell, _: f"`{cell}`",
        "minus": lambda name, cell, other: "untrained" if "control=" in other else f"`{other}`",
        "F1": column("f1"), "AUPRC": column("auprc"), "AUROC": column("auroc"),
    })
    sentences(block, before + after, dagmm_sentences(block, cells))


def classical(block, lines):
    places = {"KDD Cup 99": ("classical-kddcup", ("dagmm-kddcup", "reconstruction=sum")), "Thyroid": ("classical-thyroid", ("dagmm-thyroid", "base"))}

    def column(data, text):
        def one(detector):
            name, dagmm = places[data]
            name, cell = dagmm if detector == "DAGMM" else (name, f"method={detector}")
            if not (ROOT / f"results/{name}/runs.csv").exists() or not values(name, cell, "f1"):
                return ""
            return text(name, cell)
        return one

    metric = lambda what: lambda name, cell: pm(values(name, cell, what).values(), 3)
    columns = {"detector": lambda detector: f"`{detector}`"}
    for data in places:
        columns[f"runs, {data}"] = column(data, lambda name, cell: runs_text(name, cell, "f1"))
        columns[f"F1, {data}"] = column(data, metric("f1"))
        columns[f"AUPRC, {data}"] = column(data, metric("auprc"))
    keys, rest = table(block, lines, lambda row: (code(row["detector"]),), columns)
    axis = experiment("classical-thyroid")["axes"]["model.settings.method"]
    same(f"{block}: detectors", [key for key, in keys], ["DAGMM", *sorted(axis)])
    mean = lambda name, cell: fixed(statistics.mean(values(name, cell, "f1").values()), 3)
    kddcup = lambda method: mean("classical-kddcup", f"method={method}")
    drawn = experiment("classical-kddcup")["model"]["settings"]["rows"]["one-class-svm"]
    sentences(block, rest, {
        "An isolation forest": lambda text: [kddcup("isolation-forest"), 99, f"{drawn:,}", kddcup("one-class-svm"), mean("dagmm-kddcup", "reconstruction=sum"), kddcup("pca-gaussian-mixture")],
    })


def dagmm_sentences(block, cells):
    cell, null = "reconstruction=sum", "reconstruction=sum,control=untrained"
    f1, auprc = values("dagmm-kddcup", cell, "f1"), values("dagmm-kddcup", cell, "auprc")
    figure = next(one["value"] for one in figures("dagmm-kddcup", cell, "f1") if one["paper"] == "zong2018")
    share = lambda label: percent(statistics.mean(values("dagmm-kddcup", label, "f1").values()) / figure)

    def groups(text):
        errors = measured("dagmm-kddcup", cell, "reconstruction_error_normal_test")
        middle = (min(errors.values()) + max(errors.values())) / 2
        parts = [[seed for seed in errors if (errors[seed] < middle) == low] for low in (True, False)]
        means = [[statistics.mean(by[seed] for seed in part) for by in (f1, auprc)] for part in parts]
        word = "lower" if means[0][0] < means[1][0] else "higher"
        same(f"{block}: which error has which F1", re.search(r"has the (\w+) F1", text)[1], word)
        expected = []
        for part, (mean_f1, mean_auprc) in zip(parts, means):
            found = [errors[seed] for seed in part]
            expected += [len(part), fixed(min(found), 2), fixed(max(found), 2)]
            expected += [fixed(mean_f1, 3), fixed(mean_auprc, 3)]
        untrained_errors = measured("dagmm-kddcup", null, "reconstruction_error_normal_test").values()
        return [*expected, fixed(statistics.mean(untrained_errors), 1), "0.26"]

    def power(text):
        # its arithmetic is held to integrals by tests/offline/golden_stats.rs
        found = rows("results/dagmm-kddcup/comparison.csv", cell=cell, metric="f1", paper="zong2018")
        return [len(f1), percent(float(found[0]["power"]))]

    def beside(text):
        mean = lambda name, cell: fixed(statistics.mean(values(name, cell, "f1").values()), 3)
        published = fixed(figures("e2e-ae-kddcup", "base", "f1")[0]["value"], 3)
        ours = [mean("e2e-ae-kddcup", "base"), mean("e2e-ae-kddcup", "base,control=untrained"), published]
        return [*ours, 20, mean("pca-kddcup", "components=20"), mean("dagmm-kddcup", cell)]

    def rounding(text):
        expected = ["0.01"]
        for name in dict.fromkeys(row["name"] for row in rows("results/rounding.csv")):
            found = rows("results/rounding.csv", name=name)
            moves = [abs(float(row["f1_after"]) - float(row["f1_before"])) for row in found]
            expected += [sum(move > 0.01 for move in moves), len(moves), fixed(max(moves), 3)]
        return expected

    def port(text):
        own = next(cell for name, cell in cells if name == "danieltan07-kddcup" and f"`{cell}`" in text)
        found = values("danieltan07-kddcup", own, "f1").values()
        figure = next(one for one in figures("danieltan07-kddcup", own, "f1") if f"port's {one['table']}**" in text)
        expected = [*re.findall(r"\d+", figure["table"]), fixed(figure["value"], 3), fixed(min(found), 3), fixed(max(found), 3)]
        return expected + [len(found), fixed(statistics.mean(found), 3)]

    def untrained_port(text):
        own = next(cell for name, cell in cells if name == "danieltan07-kddcup" and f"`{cell}`" in text)
        null, expected = f"{own},control=untrained", []
        for one in figures("danieltan07-kddcup", null, "f1"):
            if one["method"] == "DAGMM, untrained":
                expected += [fixed(one["value"], 3), *re.findall(r"\d+", one["table"])]
        found = values("danieltan07-kddcup", null, "f1").values()
        return expected + [fixed(min(found), 3), fixed(max(found), 3)]

    def port_groups(text):
        own = "determinant=sqrt-detached"
        errors = measured("danieltan07-kddcup", own, "reconstruction_last_epoch")
        f1 = values("danieltan07-kddcup", own, "f1")
        middle = (min(errors.values()) + max(errors.values())) / 2
        high = {seed for seed, error in errors.items() if error >= middle}
        expected = [len(high), len(errors)]
        expected += [fixed(end(errors[seed] for seed in high), 3) for end in (min, max)]
        for group in (high, errors.keys() - high):
            found = [f1[seed] for seed in group]
            summary = [fixed(statistics.mean(found), 3), fixed(min(found), 3), fixed(max(found), 3)]
            expected += summary if group == high else [len(group), *summary]
        return expected

    def needle(text):
        own = "mixture=test-batches"
        first = rows("results/needle-kddcup/runs.csv", cell=own, state="ok")[0]
        tp, fp, fn, tn = (int(first[count]) for count in ("tp", "fp", "fn", "tn"))
        expected = [percent((tp + fp) / (tp + fp + fn + tn)), percent((tp + fn) / (tp + fp + fn + tn))]
        expected.append(fixed(figures("needle-kddcup", own, "precision")[0]["value"], 2))
        of_cells = (own, f"{own},control=untrained", "mixture=train")
        spreads = [pm(values("needle-kddcup", cell, "auroc").values(), 3) for cell in of_cells]
        return expected + " ± ".join(spreads).split(" ± ")

    def fingerprint(text):
        expected = [200, "0.539", "11.35", "0.189", "0.0788"]
        for own in [cell for name, cell in cells if name == "danieltan07-kddcup"]:
            for term, decimals in (("energy", 3), ("penalty", 2), ("loss", 3), ("reconstruction", 4)):
                found = measured("danieltan07-kddcup", own, f"{term}_last_epoch").values()
                expected.append(fixed(statistics.mean(found), decimals))
        return expected

    return {
        "Needle-DAGMM": needle,
        "A fingerprint tells": fingerprint,
        "What training": lambda text: [95, "0.05"],
        "A verdict is on a reading": lambda text: [118],
        "Random weights alone": lambda text: [share(null), share(cell)],
        "What the mixture adds": beside,
        "What these runs could show": power,
        "The lower error": groups,
        "Rounding alone": rounding,
        "The port's": port,
        "Of untrained networks": untrained_port,
        "The runs of the port's first version": port_groups,
    }


def vae_blog(block, lines):
    name = "vae-blog-kddcup"
    metrics = {"F1": "f1", 'AUROC of the flags (printed as "AUC")': "auroc_of_flags", "AUROC of the scores": "auroc", "AUPRC": "auprc"}
    key = lambda row: (code(row["cell"]), row["metric"])
    _, rest = table(block, lines, key, {
        "cell": lambda cell, metric: f"`{cell}`",
        "metric": lambda cell, metric: metric,
        "runs": lambda cell, metric: runs_text(name, cell, metrics[metric]),
        "seedbed": lambda cell, metric: pm(values(name, cell, metrics[metric]).values(), 3),
        "published, one run": lambda cell, metric: published(name, cell, metrics[metric], 4),
        "verdict": lambda cell, metric: verdicts(name, cell, metrics[metric]),
        "untrained": lambda cell, metric: untrained(name, cell, metrics[metric]),
    })

    def ceiling(text):
        tp, fp, fn, tn = (int(rows(f"results/{name}/runs.csv", state="ok")[0][count]) for count in ("tp", "fp", "fn", "tn"))
        flagged, anomalies, tested = tp + fp, tp + fn, tp + fp + fn + tn
        # every flagged row an anomaly
        precision, recall = 1, flagged / anomalies
        return [percent(flagged / tested), percent(anomalies / tested), fixed(2 * precision * recall / (precision + recall), 3)]

    def bernoulli(text):
        cell = re.search(r"`, `([^`]*)`", text)[1]
        found = rows("results/vae-blog-bernoulli-kddcup/runs.csv", cell=cell)
        return [sum(row["state"] == "diverged" for row in found), len(found)]

    sentences(block, rest, {"The figure tells little": ceiling, "Its Bernoulli decoder": bernoulli})


def vae(block, lines):
    name, metrics = "vae-kddcup", {"F1": "f1", "AUPRC": "auprc", "AUROC": "auroc"}
    columns = {"cell": lambda cell: f"`{cell}`", "runs": lambda cell: runs_text(name, cell, "f1")}
    for title, metric in metrics.items():
        columns[title] = lambda cell, metric=metric: pm(values(name, cell, metric).values(), 3)
        columns[f"untrained {title}"] = lambda cell, metric=metric: untrained(name, cell, metric)
    keys, rest = table(block, lines, lambda row: (code(row["cell"]),), columns)
    cells = [cell for cell, in keys]
    mean = lambda name, cell, metric: statistics.mean(values(name, cell, metric).values())

    def gaps(text):
        splits = [{row["seed"]: row["split_sha256"] for row in rows(f"results/{one}/runs.csv", cell=cell)} for one, cell in
                  (("dagmm-kddcup", "reconstruction=sum"), (name, cells[0]))]
        same(f"{block}: splits of DAGMM and the VAE", splits[0], splits[1])
        epochs = [rows(f"results/{one}/runs.csv", cell=cell)[0]["epochs"] for one, cell in
                  ((name, cells[0]), ("dagmm-kddcup", "reconstruction=sum"))]
        expected = [*epochs]
        for metric in metrics.values():
            found = [mean(name, cell, metric) - mean("dagmm-kddcup", "reconstruction=sum", metric) for cell in cells]
            expected += [signed(min(found), 3), signed(max(found), 3)]
        return expected

    def earned(text):
        found = [mean(name, f"{cell},control=untrained", "auroc") for cell in cells]
        other = mean("dagmm-kddcup", "reconstruction=sum,control=untrained", "auroc")
        return [fixed(min(found), 3), fixed(max(found), 3), "0.5", fixed(other, 3)]

    sentences(block, rest, {"Beside DAGMM": gaps, "What training earns": earned})


def vae_families(block, lines):
    name = "vae-families-kddcup"
    cell = lambda family, score: f"family={family.lower()},score=reconstruction-{score}"
    figure = lambda family, score, paper: next(fixed(one["value"], 3) for one in figures(name, cell(family, score), "auroc") if one["paper"] == paper)
    _, rest = table(block, lines, lambda row: (row["family"],), {
        "family": lambda family: family,
        "runs": lambda family: runs_text(name, cell(family, "probability"), "auroc"),
        "reconstruction probability": lambda family: pm(values(name, cell(family, "probability"), "auroc").values(), 3),
        "reconstruction error": lambda family: pm(values(name, cell(family, "error"), "auroc").values(), 3),
        "untrained (probability)": lambda family: untrained(name, cell(family, "probability"), "auroc"),
        "An and Cho (2015), from memory": lambda family: figure(family, "probability", "an-cho-2015"),
        "Heuer (2023), squared error": lambda family: figure(family, "error", "heuer2023"),
    })
    sentences(block, rest, {})


def notebook(block, lines):
    name = "conv-vae-notebook-mnist"
    printed = {"anomaly-digit=0": "0.2573", "anomaly-digit=1": "0.2767"}
    keys, rest = table(block, lines, lambda row: (code(row["cell"]),), {
        "cell": lambda cell: f"`{cell}`",
        "runs": lambda cell: runs_text(name, cell, "auroc_of_flags"),
        "AUROC of the flags": lambda cell: pm(values(name, cell, "auroc_of_flags").values(), 4),
        'published ("AUROC")': lambda cell: published(name, cell, "auroc_of_flags", 4),
        "verdict": lambda cell: verdicts(name, cell, "auroc_of_flags"),
        "training error": lambda cell: fixed(statistics.mean(measured(name, cell, "score_train").values()), 4),
        "printed": lambda cell: printed[cell.split(",")[0]],
        "AUROC of the scores": lambda cell: pm(values(name, cell, "auroc").values(), 3),
        "untrained": lambda cell: untrained(name, cell, "auroc"),
    })
    cells = [cell for cell, in keys]

    def collapsed(text):
        expected = [fixed(max(max(measured(name, cell, "divergence_last_epoch").values()) for cell in cells), 2)]
        if "The mean training image" in text:
            image = rows("results/mean-image.csv")
            first = {row["digit"]: row for row in reversed(image)}
            expected += [fixed(float(first[digit]["training_error"]), 4) for digit in "01"]
            for test in dict.fromkeys(row["test"] for row in image):
                expected += [fixed(float(row["auroc_of_flags"]), 4) for row in image if row["test"] == test]
                expected += re.findall(r"\d[\d,]*", test)
            expected += [0, 1]
        return expected

    def first_epoch(text):
        expected = ["19.68", 0, "23.20", 1]
        for cell in cells:
            found = measured(name, cell, "loss_first_epoch").values()
            expected += [fixed(min(found), 1), fixed(max(found), 1)]
        return expected

    def fitted(text):
        def nearest(digit, experiment):
            found = rows(f"results/loss-distances-digit-{digit}.csv", experiment=experiment)
            return sorted(found, key=lambda row: float(row["distance"]))

        search = nearest(0, "conv-vae-notebook-search-mnist")
        shown = next(row for row in search if row["cell"] == "batch-size=256,learning-rate=0.0001")
        best, second = search[:2]
        check = nearest(1, "conv-vae-notebook-fitted-mnist")[0]
        expected = [len(search), 0, fixed(float(best["factor"]), 2), fixed(float(second["factor"]), 2)]
        expected += [fixed(float(shown["factor"]), 1), fixed(float(best["loss_1"]), 2), fixed(float(best["loss_10"]), 3)]
        expected += [1, fixed(float(check["factor"]), 2)]
        for digit in "01":
            cell = f"anomaly-digit={digit}"
            found = values("conv-vae-notebook-fitted-mnist", cell, "auroc_of_flags").values()
            expected += numbers_of(pm(found, 4)) + numbers_of(runs_text("conv-vae-notebook-fitted-mnist", cell, "auroc_of_flags"))
        return expected

    known = {"The model ignores its input": collapsed, "The loss of the first epoch": first_epoch, "What trained, then": fitted}
    sentences(block, rest, known)


def example(block, lines):
    """Published value, n, mean, std, difference, interval and tests of each line, by the heads above it."""
    name, cell, heads = "dagmm-kddcup", None, ""
    for line in lines:
        if line.startswith("reconstruction="):
            cell = line
        elif line.strip().startswith("metric"):
            heads = line
        elif line.strip().startswith("f1") and "against" in heads:
            against = line.split()[1]
            found = paired(name, cell, against, "f1")
            half, (p, r) = half_width(found, 0.975), wilcoxon(found)
            d_z = statistics.mean(found) / statistics.stdev(found)
            pairs = [(row["cell"], row["against"]) for row in rows(f"results/{name}/pairs.csv", metric="f1")]
            corrected = dict(zip(pairs, holm([wilcoxon(paired(name, *pair, "f1"))[0] for pair in pairs])))
            mean = statistics.mean(found)
            expected = [len(found), f"{mean:+.4f}", f"[{mean - half:+.4f}, {mean + half:+.4f}]", f"{p:.4f}", f"{corrected[cell, against]:.4f}"]
            expected = " ".join(map(str, [*expected, f"{d_z:+.2f}", f"{r:+.2f}"]))
            same(f"{block}: {cell} against {against}", " ".join(line.split()[2:]), expected)
        elif line.strip().startswith("f1"):
            example_figure(block, name, cell, line)
        elif "=" in line or "±" in line:
            PROBLEMS.append(f"{block}: '{line}' is not known here")


def example_figure(block, name, cell, line):
    found = list(values(name, cell, "f1").values())
    figure = next(one for one in figures(name, cell, "f1") if one["paper"] == "zong2018")
    difference = statistics.mean(found) - figure["value"]
    # the figure exact, or with the spread of the runs behind it
    shares = [half_width(found, 0.95) * math.sqrt(1 + extra) for extra in (0, len(found) / figure["runs"])]
    intervals = [f"[{difference - half:+.4f}, {difference + half:+.4f}]" for half in shares]
    ours = [f"{figure['value']:.4f}", str(len(found)), f"{statistics.mean(found):.4f}", f"{statistics.stdev(found):.4f}", f"{difference:+.4f}", f"{figure['margin']:.4f}"]
    failed = len(rows(f"results/{name}/runs.csv", cell=cell)) - len(found)
    same(f"{block}: {cell}, source and runs", f" {figure['table']}, {figure['status']} {len(found)} {failed} " in " ".join(line.split()), True)
    for text in ours:
        same(f"{block}: {cell}, {text}", text in line.split(), True)
    same(f"{block}: {cell}, interval", any(text in line for text in intervals), True)
    if "untrained reaches" in line:
        same(f"{block}: {cell}, share", re.search(r"reaches (\d+) %", line)[1], percent(statistics.mean(found) / figure["value"]))


def provenance(block, lines):
    for name, commits in re.findall(r"`([a-z0-9-]+)` ((?:[0-9a-f]{7}(?: \(changed\))?(?: and )?)+)", " ".join(lines)):
        expected = dict.fromkeys(row["commit"] for row in rows(f"results/{name}/runs.csv"))
        word = lambda commit: commit[:7] + (" (changed)" if commit.endswith("dirty") else "")
        same(f"{block}: {name}", commits, " and ".join(map(word, expected)))


def unrun(block, lines):
    names = re.findall(r"`([a-z0-9-]+)`", " ".join(lines).split("(")[0])
    missing = {path.stem for path in (ROOT / "experiments").glob("*.toml") if not (ROOT / f"results/{path.stem}/runs.csv").exists()}
    same(f"{block}: experiments", set(names), missing - {"synthetic"})
    numbers(block, " ".join(lines), [])


def bench(**wanted):
    return rows("results/bench.csv", **wanted)[0]


STEPS = {"DAGMM": "dagmm", "VAE, Gaussian": "vae", "convolutional": "conv-vae", "`dagmm": "dagmm", "`vae": "vae", "`conv": "conv-vae"}
PEERS = {"PyTorch eager": "PyTorch eager", "`torch.compile`": "torch.compile", "ports' style": "PyTorch, ports' style"}


def speed_step(block, lines):
    model = lambda text: next(model for start, model in STEPS.items() if text.startswith(start))
    heads = {"seedbed, 1 seed": "seedbed, 1 seed", "seedbed, 4 seeds, each": "seedbed, 4 seeds, each", **PEERS}
    batch = lambda model: experiment(f"{model}-{'mnist' if model == 'conv-vae' else 'kddcup'}")["training"]["batch-size"]
    columns = {"step": lambda title: re.sub(r"\d+$", str(batch(model(title))), title)}
    for head, contender in heads.items():
        columns[head] = lambda title, contender=contender: digits(float(bench(measure="step", model=model(title), contender=contender)["median"]), 3) + " ms"
    for head, peer in PEERS.items():
        of = "of the ports'" if "ports" in head else f"of {head.replace('PyTorch ', '')}"
        columns[of] = lambda title, peer=peer: digits(1 / float(bench(measure="step", model=model(title), contender=peer)["of_seedbed"]), 2)
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    _, rest = table(block, lines, lambda row: (row["step"],), columns)
    if any(line.startswith("|") for line in rest):
        columns = {"20 runs": lambda title: title}
        for head, contender in {"seedbed": "seedbed", **PEERS}.items():
            columns[head] = lambda title, contender=contender: digits(float(bench(measure="20 runs", model=model(title), contender=contender)["median"]), 3) + " s"
        before = rest[: next(place for place, line in enumerate(rest) if line.startswith("|"))]
        _, after = table(block, rest, lambda row: (row["20 runs"],), columns)
        rest = before + after
    first = bench()
    sentences(block, lines[:start] + rest, {
        "One training step": lambda text: [first["torch"].split("+")[0], first["rounds"], first["cores"]],
        "is vectorised and has batches": lambda text: [],
        "The 20 runs of a cell": lambda text: [20, rows("results/bench.csv", measure="20 runs")[0]["rounds"]],
    })


def speed_width(block, lines):
    expected = [3]
    steps = rows("results/width.csv", measure="step")
    for model in dict.fromkeys(row["model"] for row in steps):
        alone, *others = [row for row in steps if row["model"] == model]
        times, widths = [float(row["milliseconds"]) for row in others], [int(row["width"]) for row in others]
        memory = max(int(row["mebibytes"]) for row in others)
        expected += [digits(float(alone["milliseconds"]), 3), digits(min(times), 3), digits(max(times), 3), min(widths), max(widths)]
        expected += [f"{int(alone['mebibytes']):,}", f"{memory:,}"]
    walls = {row["workers"]: float(row["milliseconds"]) / 1000 for row in rows("results/width.csv", measure="six runs")}
    numbers(block, " ".join(lines), expected + [fixed(walls["2"], 1), fixed(walls["1"], 1)])


def speed_size(block, lines):
    expected = []
    runs = max(int(row["runs"]) for row in rows("results/growth.csv"))
    found = {row["step"]: row for row in rows("results/growth.csv", runs=str(runs))}
    memory = max(int(row["mebibytes"]) for row in found.values())
    expected += [f"{runs:,}", f"{int(found['tables']['cells']):,}"]
    expected += [fixed(float(found[step]["seconds"]), 1) for step in ("plan, all stored", "run, none missing", "tables")]
    expected += [fixed(memory / 1024, 1)]
    expected += [fixed(float(row["median"]), 2) for row in rows("results/start.csv")] + [rows("results/start.csv")[0]["rounds"]]
    text = " ".join(lines)
    if "Loading, scaling" in text:
        load = {row["contender"]: row for row in rows("results/load.csv")}
        expected += [99, *(fixed(float(load[name]["seconds"]), 2) for name in ("seedbed", "pandas")), load["seedbed"]["rounds"]]
    if "Flagging and measuring" in text:
        found = rows("results/flagging.csv")
        times = [float(row["milliseconds"]) for row in found]
        expected += [f"{int(found[0]['rows']):,}", fixed(min(times), 0), fixed(max(times), 0)]
    if "Dispatching" in text:
        last = rows("results/schedule.csv")[-1]
        expected += [f"{int(last['runs']):,}", 64, digits(float(last["microseconds"]), 2)]
    numbers(block, text, expected)


BLOCKS = {
    "example": example, "provenance": provenance, "dagmm": dagmm, "classical": classical, "vae-blog": vae_blog, "vae": vae, "vae-families": vae_families,
    "notebook": notebook, "unrun": unrun, "speed-step": speed_step, "speed-width": speed_width, "speed-size": speed_size,
}


def main():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"<!-- begin docs/templates/([\w-]+)\.md[^>]*-->\n(.*?)<!-- end ", text, re.DOTALL)
    if not blocks:
        sys.exit("README.md has no generated block")
    for block, content in blocks:
        if block not in BLOCKS:
            PROBLEMS.append(f"{block}: no such block is known here: say what its numbers must be")
            continue
        BLOCKS[block](block, content.strip("\n").splitlines())
        if not CHECKED[block]:
            PROBLEMS.append(f"{block}: nothing in it was compared")
    print(", ".join(f"{block} {count}" for block, count in CHECKED.items()))
    if PROBLEMS:
        sys.exit("\n".join(PROBLEMS))


if __name__ == "__main__":
    main()
