//! Tables of every format, read through the experiment's table.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use npyz::WriterBuilder;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::super::{Dataset, DatasetSpec, find, load};
use super::*;

/// Writes a file and reads it by an experiment's table with its digest and these further keys.
fn read(name: &str, bytes: &[u8], more: &str) -> Result<Dataset> {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let raw = unpacked(bytes);
    load(&spec(name, &digest::sha256(raw), more), &[folder.path().to_path_buf()])
}

fn spec(name: &str, sha256: &str, more: &str) -> DatasetSpec {
    let text = format!("name = 'table'\nfile = '{name}'\nsha256 = '{sha256}'\n{more}");
    toml::from_str(&text).unwrap()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    match bytes.starts_with(&[0x1f, 0x8b]) {
        true => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut raw).unwrap()),
        false => raw.extend(bytes),
    }
    raw
}

fn csv(text: &str, more: &str) -> Dataset {
    read("t.csv", text.as_bytes(), more).unwrap()
}

/// What reading complains about; the exit code first.
fn complaint(name: &str, bytes: &[u8], more: &str) -> (u8, String) {
    let error = read(name, bytes, more).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(name), "{text}");
    (error.exit_code(), text)
}

/// All values, unscaled.
fn values(data: &Dataset) -> Vec<f64> {
    let mut all = Vec::new();
    let mut row = vec![0.0; data.features()];
    for place in 0..data.rows() as u32 {
        data.decode(place, &mut row);
        all.extend(&row);
    }
    all
}

fn gzip(raw: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

const Y: &str = "label = 'y'\nanomaly = [1]";

#[test]
fn a_plain_file_gives_its_numbers_names_and_labels() {
    let data = csv("a,b,y\n1,2.5,0\n-3,4e-1,1\n.5,+7,0\n", Y);
    assert_eq!(data.columns(), ["a", "b"]);
    assert_eq!(values(&data), [1.0, 2.5, -3.0, 0.4, 0.5, 7.0]);
    assert_eq!(data.labels(), [false, true, false]);
    assert_eq!((data.image(), data.official_train()), (None, None));
}

#[test]
fn one_hot_columns_come_first_in_code_point_order_and_are_not_scaled() {
    let text = "n,kind,m,y\n1,udp,10,normal\n2,tcp,20,smurf\n3,Icmp,40,normal\n";
    let data = csv(text, "label = 'y'\nnormal = ['normal']\ncategorical = ['kind']");
    assert_eq!(data.columns(), ["kind=Icmp", "kind=tcp", "kind=udp", "n", "m"]);
    let wanted =
        [[0.0, 0.0, 1.0, 1.0, 10.0], [0.0, 1.0, 0.0, 2.0, 20.0], [1.0, 0.0, 0.0, 3.0, 40.0]];
    assert_eq!(values(&data), wanted.concat());
    assert_eq!(data.labels(), [false, true, false]);
    let third = 1.0 / 3.0;
    assert_eq!(
        data.encode(&[1, 2], &data.fit(&[0, 1, 2])),
        [0.0, 1.0, 0.0, 0.5, third, 1.0, 0.0, 0.0, 1.0, 1.0]
    );
}

#[test]
fn dropped_and_unscaled_columns_are_what_they_are_called() {
    let more = format!("{Y}\ndrop = ['id']\nunscaled = ['flag']");
    let data = csv("id,x,flag,y\nab,2,5,0\ncd,4,7,1\n", &more);
    assert_eq!(data.columns(), ["x", "flag"]);
    assert_eq!(data.encode(&[0, 1], &data.fit(&[0, 1])), [0.0, 5.0, 1.0, 7.0]);
}

#[test]
fn separators_quotes_line_ends_and_marks_change_nothing() {
    let plain = "a,b,y\n1,2,0\n3,4,1\n";
    let wanted = csv(plain, Y);
    for text in [
        plain.replace(',', ";"),
        plain.replace(',', "\t"),
        plain.replace(',', "|"),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace('\n', "\n\n"),
        plain.replace(',', " , "),
        format!("\u{feff}{plain}"),
        plain.trim_end().to_owned(),
        plain.replace("\n", "\r\n").trim_end().to_owned(),
        "\"a\",\"b\",\"y\"\n\"1\",\"2\",\"0\"\n\"3\",\"4\",\"1\"\n".to_owned(),
        "\n a, \"b\" ,y\r\n1,2,\"0\"\r\n3,4,\"1\"\r\n".to_owned(),
        "a,b,y\n1,2,'0'\n3,4,'1'\n".to_owned(),
        "a,b,y\n1,2,0.0\n3,4,1.0\n".to_owned(),
    ] {
        let data = csv(&text, Y);
        assert_eq!(data.columns(), wanted.columns(), "{text:?}");
        assert_eq!(values(&data), values(&wanted), "{text:?}");
        assert_eq!(data.labels(), wanted.labels(), "{text:?}");
    }
    let data = csv(&plain.replace(',', "^"), &format!("{Y}\nseparator = '^'"));
    assert_eq!(values(&data), values(&wanted));
}

#[test]
fn quotes_may_hold_separators_quotes_and_line_ends() {
    let text = "k,x,y\n\"a,\"\"b\"\"\nc\",1,0\n\"\",2,0\nd,3,1\n";
    let more = format!("{Y}\ncategorical = ['k']");
    let (code, error) = complaint("t.csv", text.as_bytes(), &more);
    assert_eq!(code, 3);
    assert!(error.contains("line 4, column 1 (k): '' is a missing value"), "{error}");
    let data = csv(text, &format!("{more}\nmissing = 'drop-row'"));
    assert_eq!(data.columns(), ["k=a,\"b\"\nc", "k=d", "x"]);
    assert_eq!(values(&data), [1.0, 0.0, 1.0, 0.0, 1.0, 3.0]);
    assert_eq!(data.labels(), [false, true]);
}

#[test]
fn a_word_is_told_from_one_that_it_begins_and_from_its_parts() {
    let rows = "\"a,b\",1,0\na,1,0\na,2,1\nab,3,0\na,4,0\n\"a\",5,0\n\"a,b\",6,0\n\"a,b\",7,0\n";
    let data = csv(&format!("k,x,y\n{rows}"), &format!("{Y}\ncategorical = ['k']"));
    assert_eq!(data.columns(), ["k=a", "k=a,b", "k=ab", "x"]);
    let column = |row: &[f64]| row.iter().position(|value| *value == 1.0);
    let found: Vec<_> = values(&data).chunks(4).map(|row| column(&row[..3])).collect();
    assert_eq!(found, [1, 0, 0, 2, 0, 0, 1, 1].map(Some));
}

#[test]
fn a_file_without_a_header_has_columns_called_by_their_place() {
    // as NSL-KDD: the label last but one, then a difficulty
    let text = "0,tcp,http,491,normal,20\n0,udp,other,146,neptune,15\n5,tcp,smtp,0,normal,21\n";
    let more = "label = 5\nnormal = ['normal']\ncategorical = [2, 3]\ndrop = [6]\nheader = false";
    let data = read("KDDTrain+.txt", text.as_bytes(), more).unwrap();
    let wanted = ["2=tcp", "2=udp", "3=http", "3=other", "3=smtp", "1", "4"];
    assert_eq!(data.columns(), wanted);
    assert_eq!(data.labels(), [false, true, false]);
    assert_eq!(values(&data)[5..7], [0.0, 491.0]);
    let more = more.replace("header = false", "");
    let (code, error) = complaint("t.txt", text.as_bytes(), &more);
    assert_eq!(code, 2);
    assert!(error.contains("line 1, column 1: '0' looks like a value"), "{error}");
    assert!(error.contains("dataset.header = false"), "{error}");
}

#[test]
fn gzip_of_one_member_or_several_is_unpacked() {
    let text = "a,b,y\n1,2,0\n3,4,1\n";
    let wanted = csv(text, Y);
    let several: Vec<u8> = text.as_bytes().chunks(5).flat_map(gzip).collect();
    for bytes in [gzip(text.as_bytes()), several] {
        assert_eq!(values(&read("t.csv.gz", &bytes, Y).unwrap()), values(&wanted));
    }
}

#[test]
fn numbers_are_the_doubles_nearest_to_their_decimals() {
    let texts = [
        "0.1",
        "-0.0",
        "123456789012345",
        "1234567890123456",
        "0.1234567890123456789",
        "1e-320",
        "00012.50",
        "9007199254740993",
        "4.35",
        "-.5",
        "7.",
        "1E5",
        "179769313486231570000000000",
    ];
    let cells: String = texts.iter().map(|text| format!("{text},0\n")).collect();
    let data = csv(&format!("x,y\n{cells}1,1\n"), Y);
    for (value, text) in values(&data).iter().zip(texts) {
        assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
}

#[test]
fn a_test_file_follows_the_training_file_and_shares_its_categories() {
    let folder = TempDir::new().unwrap();
    let (train, test) = ("k,x,y\na,1,0\nb,2,1\n", "k,x,y\nc,5,1\na,6,0\nb,7,0\n");
    std::fs::write(folder.path().join("train.csv"), train).unwrap();
    std::fs::write(folder.path().join("test.csv"), test).unwrap();
    let sha256 = digest::sha256(test);
    let more =
        format!("test-file = 'test.csv'\ntest-sha256 = '{sha256}'\n{Y}\ncategorical = ['k']");
    let spec = spec("train.csv", &digest::sha256(train), &more);
    let data = load(&spec, &[folder.path().to_path_buf()]).unwrap();
    assert_eq!((data.rows(), data.official_train()), (5, Some(2)));
    assert_eq!(data.columns(), ["k=a", "k=b", "k=c", "x"]);
    assert_eq!(data.labels(), [false, true, true, false, false]);
    assert_eq!(data.sha256(), spec.sha256().unwrap());
    let official = super::super::SplitSpec::Official { whole_batches: 1 };
    official.check(&spec).unwrap();
    assert!(official.check(&self::spec("t.csv", &sha256, Y)).is_err());
}

#[test]
fn a_cell_that_cannot_be_used_is_named_by_its_place_and_what_to_do() {
    let good = "a,kind,y\n1,2,0\n3,4,1\n5,6,0\n";
    for (from, to, code, wanted) in [
        ("3,4", "3,tcp", 3, "line 3, column 2 (kind): 'tcp' is not a number; name the column in"),
        ("3,4", "3,", 3, "line 3, column 2 (kind): '' is a missing value"),
        ("3,4", "3,NA", 3, "line 3, column 2 (kind): 'NA' is a missing value"),
        ("3,4", "3,\"4,5\"", 3, "'4,5' is not a number; numbers need a decimal point"),
        ("3,4", "3,inf", 3, "line 3, column 2 (kind): 'inf' is not a finite number"),
        ("3,4", "3,1e999", 3, "'1e999' is not a finite number"),
        ("3,4,1", "3,4", 3, "line 3, column 2 (kind): the row ends here with '4'; it needs 3"),
        ("3,4,1", "3,4,1,9", 3, "line 3, column 3 (y): the row goes on after '1'; it needs 3"),
        ("3,4,1", "3,4,", 3, "line 3, column 3 (y): '' is a missing value"),
        ("3,4", "3,\"4\"x", 3, "line 3, column 2 (kind): text follows its closing quote"),
        ("3,4", "3,\"4", 3, "line 3: a quote is never closed"),
        ("a,kind,y", "a,a,y", 3, "column 2 is called 'a' as an earlier one is"),
        (",kind", ",", 2, "line 1, column 2: the column has no name"),
        ("kind,y", "kind,z", 2, "dataset.label names the column 'y', which it has not"),
    ] {
        let text = good.replacen(from, to, 1);
        let (got, error) = complaint("t.csv", text.as_bytes(), Y);
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert_eq!(got, code, "{error}");
    }
    for (more, code, wanted) in [
        (
            "drop = ['kin']",
            2,
            "dataset.drop names the column 'kin', which it has not; did you mean",
        ),
        ("drop = ['a', 'kind']", 2, "dataset.drop leaves no column"),
        ("features = 'X'", 2, "dataset.features names the array of an .npz or .mat file"),
    ] {
        let (got, error) = complaint("t.csv", good.as_bytes(), &format!("{Y}\n{more}"));
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert_eq!(got, code, "{error}");
    }
    assert!(complaint("t.csv", b"", Y).1.contains("it is empty"));
    assert!(complaint("t.csv", b"\n\r\n", Y).1.contains("it is empty"));
    assert!(complaint("t.csv", b"a,y\n", Y).1.contains("it has no rows"));
    assert!(complaint("t.csv", b"a\n1\n", Y).1.contains("no comma, semicolon, tab or bar"));
    assert!(complaint("t.csv", b"\xff\xfea\0,\0", Y).1.contains("it is UTF-16 text"));
}

#[test]
fn values_of_the_label_are_checked_against_those_there_are() {
    let error = |more: &str| {
        let error = read("t.csv", b"a,y\n1,normal\n2,smurf\n", more).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    let text = error("label = 'y'\nanomaly = ['smrf']");
    assert!(
        text.contains("'smrf', which no row has as its label; did you mean 'smurf'?"),
        "{text}"
    );
    assert!(text.contains("there are: normal, smurf"), "{text}");
    let text = error("label = 'y'\nanomaly = ['smurf', 'normal']");
    assert!(text.contains("makes every row an anomaly"), "{text}");
    let text = error("label = 'y'\nnormal = ['smurf', 'normal']");
    assert!(text.contains("makes every row normal"), "{text}");
}

#[test]
fn keys_that_contradict_each_other_are_refused_before_a_file_is_read() {
    let digest = "a".repeat(64);
    for (more, wanted) in [
        ("label = 'y'", "exactly one of dataset.anomaly and dataset.normal"),
        ("label = 'y'\nanomaly = 1\nnormal = 0", "there are both"),
        ("label = 'y'\nanomaly = 1\ndrop = ['y']", "dataset.drop names the column 'y', and"),
        ("label = 'y'\nanomaly = 1\ndrop = ['a']\ncategorical = ['a']", "dataset.categorical does"),
        ("label = 'y'\nanomaly = 1\nseparator = ';;'", "dataset.separator is ';;'"),
        ("label = 'y'\nanomaly = 1\nseparator = '.'", "dataset.separator is '.'"),
        (
            "label = 'y'\nanomaly = 1\ntest-file = 'x'",
            "dataset.test-file needs dataset.test-sha256",
        ),
        ("label = 'y'\nanomaly = 1\nscaling = { fit = 'attack' }", "dataset.scaling.fit is attack"),
    ] {
        let error = spec("t.csv", &digest, more).check().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let error = spec("t.csv", "BA", Y).check().unwrap_err().to_string();
    assert!(error.contains("dataset.sha256 is 'BA'"), "{error}");
    for more in ["label = 'y'\nanomaly = 1\nlabels = 'y'", "label = 'y'\nmissing = 'zero'"] {
        let text = format!("name = 'table'\nfile = 'x'\nsha256 = '{digest}'\n{more}");
        assert!(toml::from_str::<DatasetSpec>(&text).is_err(), "{more}");
    }
}

#[test]
fn a_table_is_written_without_what_it_does_not_say_and_values_in_one_spelling() {
    let digest = "a".repeat(64);
    let one = spec("t.csv", &digest, "label = 42\nanomaly = 1");
    let other = spec("t.csv", &digest, "label = '42'\nanomaly = ['1']");
    assert_eq!(one, other);
    let written = toml::to_string(&one).unwrap();
    let keys: Vec<&str> =
        written.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).collect();
    assert_eq!(keys, ["name", "file", "sha256", "label", "anomaly", "kind", "fit"]);
    assert_eq!(toml::from_str::<DatasetSpec>(&written).unwrap(), one);
}

#[test]
fn other_bytes_are_refused_with_both_digests_and_what_they_hold() {
    let folder = TempDir::new().unwrap();
    let search = [folder.path().to_path_buf()];
    let wanted = digest::sha256("other");
    let spec = spec("t.csv", &wanted, Y);
    for (bytes, said) in [
        (b"a,y\n1,0\n2,1\n".to_vec(), "its 2 rows can be read"),
        (b"a,y\n1,0\nx,1\n".to_vec(), "line 3, column 1 (a): 'x' is not a number"),
        (gzip(b"a,y\n1,0\n2,1\n")[..20].to_vec(), "breaks off or is damaged after"),
    ] {
        std::fs::write(folder.path().join("t.csv"), bytes).unwrap();
        let error = load(&spec, &search).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        assert!(text.contains(said), "{text}");
        assert!(text.contains("put the right file in its place"), "{text}");
    }
    std::fs::remove_file(folder.path().join("t.csv")).unwrap();
    let error = load(&spec, &search).unwrap_err().to_string();
    assert!(error.contains("put it there"), "{error}");
}

#[test]
fn little_that_unpacks_to_very_much_is_not_unpacked_further() {
    let line = format!("{}0\n", "0,".repeat(9));
    let raw = line.repeat((80 << 20) / line.len());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(raw.as_bytes()).unwrap();
    let bytes = encoder.finish().unwrap();
    assert!(raw.len() / bytes.len() > 350, "{}", bytes.len());
    let more = "label = 1\nanomaly = [1]\nheader = false";
    let (code, error) = complaint("bomb.csv", &bytes, more);
    assert_eq!(code, 3);
    assert!(error.contains("unpacks to more than 300 times its size"), "{error}");
}

fn npz(arrays: &[(&str, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], order: npyz::Order, values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape).order(order);
    let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
    bytes
}

/// An array whose header is written by hand.
fn raw_npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

use npyz::Order::{C, Fortran};
use zip::CompressionMethod::{Deflated, Stored};

#[test]
fn an_npz_of_either_order_and_any_kind_of_number_is_read() {
    let x = npy(&[3, 2], C, &[1.0, 2.5, 3.0, 4.0, 5.0, 6.0]);
    let by_column = npy(&[3, 2], Fortran, &[1.0f32, 3.0, 5.0, 2.5, 4.0, 6.0]);
    let labels = [
        npy(&[3], C, &[0i64, 1, 0]),
        npy(&[3, 1], C, &[0.0, 1.0, 0.0]),
        npy(&[1, 3], C, &[0u8, 1, 0]),
        raw_npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }\n", &[0, 1, 0]),
        raw_npy("{'descr': '>i2', 'fortran_order': False, 'shape': (3,), }\n", &[0, 0, 0, 1, 0, 0]),
        raw_npy("{'descr': '|S1', 'fortran_order': False, 'shape': (3,), }\n", b"010"),
        raw_npy(
            "{'descr': '<U1', 'fortran_order': False, 'shape': (3,), }\n",
            b"0\0\0\x001\0\0\x000\0\0\0",
        ),
    ];
    for x in [x, by_column] {
        for (place, y) in labels.iter().enumerate() {
            let method = if place % 2 == 0 { Stored } else { Deflated };
            let bytes = npz(&[("X", x.clone()), ("other", vec![]), ("y", y.clone())], method);
            let data = read("t.npz", &bytes, Y).unwrap();
            assert_eq!(data.columns(), ["1", "2"]);
            assert_eq!(values(&data), [1.0, 2.5, 3.0, 4.0, 5.0, 6.0]);
            assert_eq!(data.labels(), [false, true, false], "{place}");
        }
    }
}

/// Arrays of two rows and their classes.
fn two_rows() -> [Vec<u8>; 2] {
    [npy(&[2, 2], C, &[1.0, 2.0, 3.0, 4.0]), npy(&[2], C, &[0i64, 1])]
}

#[test]
fn arrays_that_do_not_fit_together_are_refused_by_their_names_and_places() {
    let [x, y] = two_rows();
    let two = |x: &[u8], y: &[u8]| npz(&[("X", x.to_vec()), ("y", y.to_vec())], Deflated);
    let column = |value: f64| npy(&[2, 1], C, &[1.0, value]);
    let cases = [
        (npz(&[("data", x.clone()), ("y", y.clone())], Stored), 2, "has no array 'X'"),
        (npz(&[("X", x.clone()), ("Y", y.clone())], Stored), 2, "no array 'y'; did you mean 'Y'?"),
        (npz(&[], Stored), 3, "it holds no array"),
        (two(&npy(&[2], C, &[1.0, 2.0]), &y), 3, "'X' has the shape 2; it must be rows × columns"),
        (two(&x, &npy(&[3], C, &[0i64, 1, 1])), 3, "'y' has the shape 3; 'X' has 2 rows"),
        (two(&column(f64::NAN), &y), 3, "'X', row 2, column 1: 'NaN' is a missing value"),
        (two(&column(f64::INFINITY), &y), 3, "row 2, column 1: inf is not a finite number"),
        (two(&x, &npy(&[2], C, &[0.0, f64::NAN])), 3, "'y', row 2: 'NaN' is a missing value"),
    ];
    for (bytes, code, wanted) in cases {
        let (got, error) = complaint("t.npz", &bytes, Y);
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert_eq!(got, code, "{error}");
    }
    let (_, error) = complaint("t.npz", &two(&x, &y), &format!("{Y}\nheader = true"));
    assert!(error.contains("dataset.header goes with csv files alone"), "{error}");
}

#[test]
fn an_array_whose_header_lies_or_cannot_be_read_is_refused() {
    let [_, y] = two_rows();
    let head = |kind: &str, shape: &str| {
        format!("{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    let array = |kind: &str, shape: &str, data: &[u8]| raw_npy(&head(kind, shape), data);
    for (x, wanted) in [
        (array("'|O'", "(2, 2)", b"1234"), "holds Python objects"),
        (array("'<c16'", "(1, 1)", &[0; 16]), "holds '<c16'; write numbers"),
        (array("'<f8'", "(2, 2)", &[0; 30]), "which 30 bytes cannot hold"),
        (array("'<f8'", "(1000000000000, 6)", b""), "1000000000000 × 6 values"),
        (array("'<f8'", "(4294967296, 4294967296)", b""), "cannot hold"),
        (raw_npy("{}\n", b""), "without a usable shape"),
        (raw_npy(&"(".repeat(5000), b""), "has no header of numpy's"),
        (b"PK".to_vec(), "has no header of numpy's"),
    ] {
        let bytes = npz(&[("X", x), ("y", y.clone())], Deflated);
        let (code, error) = complaint("t.npz", &bytes, Y);
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert_eq!(code, 3, "{error}");
    }
}

/// An element of a .mat file.
fn element(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut all = [kind.to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
    all.extend(bytes);
    if kind != 15 {
        all.resize(all.len().next_multiple_of(8), 0);
    }
    all
}

fn matrix(name: &str, class: u8, sides: [i32; 2], kind: u32, data: &[u8]) -> Vec<u8> {
    let sides: Vec<u8> = sides.iter().flat_map(|side| side.to_le_bytes()).collect();
    let parts = [
        element(6, &[class, 0, 0, 0, 0, 0, 0, 0]),
        element(5, &sides),
        element(1, name.as_bytes()),
        element(kind, data),
    ];
    element(14, &parts.concat())
}

fn mat_file(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend([0, 1, b'I', b'M']);
    bytes.extend(elements.concat());
    bytes
}

fn zlib(raw: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(raw).unwrap();
    element(15, &encoder.finish().unwrap())
}

#[test]
fn a_mat_file_is_read_compressed_or_not_with_numbers_of_any_width() {
    let doubles: Vec<u8> =
        [1.0f64, 3.0, 5.0, 2.0, 4.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let x = matrix("X", 6, [3, 2], 9, &doubles);
    // doubles that are kept as bytes, as MATLAB does, in a small element
    let y = matrix("y", 6, [3, 1], 2, &[0, 1, 0]);
    let small = matrix("y", 6, [3, 1], 2, &[]);
    let mut short = small[..small.len() - 8].to_vec();
    short.extend([2, 0, 3, 0, 0, 1, 0, 0]);
    for (x, y) in [(x.clone(), y.clone()), (zlib(&x), zlib(&y)), (x.clone(), short)] {
        let other = matrix("other", 4, [1, 2], 4, &[65, 0, 66, 0]);
        let data = read("t.mat", &mat_file(&[other, y, x]), Y).unwrap();
        assert_eq!(values(&data), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(data.labels(), [false, true, false]);
    }
}

#[test]
fn a_mat_file_that_cannot_be_used_is_refused_by_its_variable() {
    let x = matrix("X", 6, [2, 1], 2, &[1, 2]);
    let y = matrix("y", 6, [2, 1], 2, &[0, 1]);
    let huge = matrix("X", 6, [i32::MAX, i32::MAX], 2, &[1, 2]);
    for (elements, wanted, code) in [
        (vec![matrix("X", 5, [2, 1], 9, &[]), y.clone()], "'X' is sparse; save full", 3),
        (vec![matrix("X", 1, [2, 1], 9, &[]), y.clone()], "'X' is a cell, a struct", 3),
        (vec![x.clone()], "it has no array 'y'; name one in dataset.label: there are X", 2),
        (vec![], "it holds no array", 3),
        (vec![huge.clone(), y.clone()], "claims 2147483647 × 2147483647 values", 3),
        (vec![zlib(&huge), y.clone()], "claims 2147483647 × 2147483647 values", 3),
        (vec![matrix("X", 6, [2, 1], 2, &[1]), y.clone()], "claims 2 × 1 values", 3),
        (vec![x[..20].to_vec()], "an element claims", 3),
        (vec![zlib(&x)[..20].to_vec()], "an element claims", 3),
    ] {
        let (got, error) = complaint("t.mat", &mat_file(&elements), Y);
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert_eq!(got, code, "{error}");
    }
    assert!(complaint("t.mat", b"MATLAB 7.3 MAT-file", Y).1.contains("save it with '-v7'"));
    let whole = mat_file(&[x, y]);
    assert!(read("t.mat", &whole, Y).is_ok());
    assert!(complaint("t.mat", &gzip(&whole), Y).1.contains("packed with gzip"));
    assert!(complaint("t.mat", b"abc", Y).1.contains("does not begin like a .mat file"));
    assert!(complaint("t.mat", b"MATLAB 5.0", Y).1.contains("breaks off"));
}

#[test]
fn an_arff_file_is_read_with_comments_quotes_and_nominal_columns() {
    let text = "% a comment\n@RELATION 'a b'\n\n@attribute 'the size' NUMERIC\n\
                @attribute proto {tcp, 'u d p', icmp}\n@ATTRIBUTE \"flag\" {0,1}\n@attribute class {no,yes}\n\
                % another\n@DATA\n% in the data\n1.5, tcp, 0, no\n\n2,'u d p',1,yes\n3,\"tcp\",0,'no'\n";
    let more = "label = 'class'\nanomaly = ['yes']\ncategorical = ['proto']";
    for (name, text) in [
        ("t.arff", text.to_owned()),
        ("t.txt", text.to_owned()),
        ("t.ARFF", text.replace('\n', "\r\n")),
    ] {
        let data = read(name, text.as_bytes(), more).unwrap();
        assert_eq!(data.columns(), ["proto=tcp", "proto=u d p", "the size", "flag"]);
        let wanted = [[1.0, 0.0, 1.5, 0.0], [0.0, 1.0, 2.0, 1.0], [1.0, 0.0, 3.0, 0.0]];
        assert_eq!(values(&data), wanted.concat());
        assert_eq!(data.labels(), [false, true, false]);
    }
    for (from, to, wanted) in [
        ("1.5, tcp", "?, tcp", "line 11, column 1 (the size): '?' is a missing value"),
        ("1.5, tcp, 0, no", "{0 1.5, 3 no}", "line 11: the row is in braces, as sparse rows are"),
        ("@DATA", "@datum", "line 9: '@datum' is none of"),
        ("NUMERIC", "relational", "line 4: the column 'the size' is relational"),
        ("NUMERIC", "numbers", "line 4: the column 'the size' has the type 'numbers'"),
        ("'the size'", "'the size", "line 4: its quote is never closed"),
    ] {
        let (_, error) = complaint("t.arff", text.replacen(from, to, 1).as_bytes(), more);
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let (_, error) = complaint("t.arff", text.as_bytes(), "label = 'class'\nanomaly = 'yes'");
    assert!(
        error.contains("column 2 (proto): 'tcp' is not a number; name the column in"),
        "{error}"
    );
}

/// The real files of the Outlier Detection DataSets; `None`, with a message, where there is none and
/// this is not CI.
fn real(experiment: &str) -> Option<Dataset> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let data = std::env::var_os("SEEDBED_DATA").map_or(beside.into(), PathBuf::from);
    let path = format!("{}/experiments/{experiment}.toml", env!("CARGO_MANIFEST_DIR"));
    let read = crate::experiment::Experiment::load(&path, &Default::default()).unwrap();
    let spec = &read.cells[0].dataset;
    let file = spec.files().remove(0);
    assert!(!file.urls.is_empty(), "its public home is known");
    if find(&file, std::slice::from_ref(&data)).is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs {}", file.name);
        eprintln!("skipped: no {}; get it with 'seedbed data fetch {}'", file.name, file.dataset);
        return None;
    }
    let read = load(spec, &[data]).unwrap();
    let shape = spec.shape().unwrap();
    assert_eq!((shape.rows, shape.features), (read.rows(), read.features()));
    Some(read)
}

/// The counts that the paper's table of data sets has, and the digests of what scipy reads.
#[test]
fn the_real_files_have_the_published_counts_and_the_values_that_scipy_reads() {
    for (experiment, size, anomalies, digest) in [
        (
            "dagmm-thyroid",
            (3772, 6),
            93,
            "3dce6c6d414a945211b8b85f726859bc7bdf26b23d804793d0dd3902160519cc",
        ),
        (
            "dagmm-arrhythmia",
            (452, 274),
            66,
            "66809aff96608ba40cdf7d9ea74e58f5d6b021f5beef8d9fd2a52bb81c8bcb9d",
        ),
    ] {
        let Some(data) = real(experiment) else { return };
        assert_eq!((data.rows(), data.features()), size);
        assert_eq!(data.labels().iter().filter(|&&label| label).count(), anomalies);
        assert_eq!(digest::of_numbers(&values(&data)), digest);
    }
}

#[test]
fn a_file_with_a_public_home_is_told_by_its_digest_and_its_name() {
    let known = super::super::kddcup::FILES[0].clone();
    let files = |name: &str| spec(name, &known.raw_sha256, Y).files();
    assert_eq!(files(&known.name), std::slice::from_ref(&known));
    assert!(known.if_missing().contains("seedbed data fetch kddcup"));
    let [renamed] = &files("mine.csv.gz")[..] else { panic!("one file") };
    assert!(renamed.if_missing().starts_with("put it there"), "{}", renamed.if_missing());
}

/// KDD Cup 99 as a table of one's own, with these columns one-hot and these unscaled.
fn kddcup(categorical: &str, unscaled: &str, scaling: &str) -> DatasetSpec {
    let file = super::super::kddcup::FILES[0].clone();
    let more = format!(
        "label = 42\nheader = false\nanomaly = ['normal.']\ncategorical = {categorical}\n\
         unscaled = {unscaled}\nscaling = {scaling}"
    );
    spec(&file.name, &file.raw_sha256, &more)
}

#[test]
fn the_real_connections_read_as_a_table_are_those_of_the_built_in_reader_bit_for_bit() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let data = std::env::var_os("SEEDBED_DATA").map_or(beside.into(), PathBuf::from);
    let search = [data];
    if find(&super::super::kddcup::FILES[0], &search).is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs KDD Cup 99");
        eprintln!("skipped: no KDD Cup 99; get it with 'seedbed data fetch kddcup'");
        return;
    }
    for (encoding, categorical, unscaled, scaling) in [
        (
            "protocol-service-flag",
            "[2, 3, 4]",
            "[7, 12, 14, 15, 20, 21, 22]",
            "{ kind = 'min-max', fit = 'train' }",
        ),
        (
            "all-categorical",
            "[2, 3, 4, 7, 12, 21, 22]",
            "[14, 15, 20]",
            "{ kind = 'standard', fit = 'all' }",
        ),
    ] {
        let text = format!("name = 'kddcup'\nencoding = '{encoding}'\nscaling = {scaling}");
        let built_in = load(&toml::from_str(&text).unwrap(), &search).unwrap();
        let table = load(&kddcup(categorical, unscaled, scaling), &search).unwrap();
        assert_eq!(table.sha256(), built_in.sha256());
        assert_eq!(table.labels(), built_in.labels());
        let every: Vec<u32> = (0..table.rows() as u32).collect();
        let train: Vec<u32> = every.iter().copied().step_by(3).collect();
        let (one, other) = (table.fit(&train), built_in.fit(&train));
        assert_eq!(one, other);
        for rows in every.chunks(50_000) {
            assert!(table.encode(rows, &one) == built_in.encode(rows, &other), "{encoding}");
        }
    }
}

/// The counts that are known of the labelled test file.
#[test]
fn the_labelled_test_connections_are_a_table_too() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let data = std::env::var_os("SEEDBED_DATA").map_or(beside.into(), PathBuf::from);
    let digest = "547dfb9c0f0dc1d9944219ec79e851191faebaeb8acbfa1cd171c418397052a4";
    let more = "label = 42\nheader = false\nnormal = ['normal.']\ncategorical = [2, 3, 4]";
    let spec = spec("kddcup.corrected.gz", digest, more);
    if find(&spec.files()[0], std::slice::from_ref(&data)).is_none() {
        eprintln!("skipped: no kddcup.corrected.gz");
        return;
    }
    let data = load(&spec, &[data]).unwrap();
    assert_eq!(data.rows(), 311_029);
    assert_eq!(data.labels().iter().filter(|&&label| !label).count(), 60_593);
}

/// A file that pandas wrote; see `tests/golden/table.py`.
const PANDAS: &[u8] = include_bytes!("../../../tests/golden/table.parquet");

#[test]
fn a_parquet_file_of_pandas_is_read_with_words_truth_values_and_numbers_of_any_width() {
    let more = "label = 'label'\nanomaly = [true]\ncategorical = ['word']\nmissing = 'drop-row'\n\
                drop = ['when', '__index_level_0__']";
    let data = read("t.parquet", PANDAS, more).unwrap();
    assert_eq!(
        data.columns(),
        ["word=tcp", "word=ü", "double", "single", "whole", "byte", "truth"]
    );
    // the third of its four rows lacks a number
    let wanted = [
        [1.0, 0.0, 0.5, 0.25, -3.0, 255.0, 1.0],
        [0.0, 1.0, -1e300, 1.5, 4.0, 0.0, 0.0],
        [1.0, 0.0, 2.0, 2.5, 6.0, 7.0, 1.0],
    ];
    assert_eq!(values(&data), wanted.concat());
    assert_eq!(data.labels(), [false, true, false]);
    for (change, code, wanted) in [
        ("missing = 'refuse'", 3, "row 3, column 1 (double): '' is a missing value"),
        ("drop = ['when']", 2, "the column '__index_level_0__' is an index that pandas wrote"),
        ("drop = ['__index_level_0__']", 3, "(when) holds values of the kind Timestamp"),
        ("categorical = []", 3, "row 1, column 6 (word): 'tcp' is not a number"),
        ("header = true", 2, "dataset.header goes with csv files alone"),
    ] {
        let key = change.split(' ').next().unwrap();
        let kept = more.lines().filter(|line| !line.starts_with(key));
        let more = kept.chain([change]).collect::<Vec<_>>().join("\n");
        let (got, error) = complaint("t.parquet", PANDAS, &more);
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert_eq!(got, code, "{error}");
    }
    let (_, error) = complaint("t.parquet", &PANDAS[..PANDAS.len() - 20], more);
    assert!(error.contains("cannot be read as parquet"), "{error}");
}
