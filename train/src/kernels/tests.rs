//! Kernels against the sums that they promise and against libtorch's, and every instruction set against
//! the portable one, bit for bit: all of them take the same terms in the same order.

use super::Isa;
use super::gather::gather;
use super::images::{
    self, Affine, Backward, IMAGES, Images, Lanes, Mask, PANEL, Parts, ROWS, Segment, Sums,
};
use super::pointwise::{Scaled, combine, move_moments, move_values};
use super::product::{Finish, Panels, add_transposed, block, multiply, multiply_transposed};
use super::sparse::{Sparse, multiply_sparse, multiply_transposed_sparse};
use super::sums::{RowSums, column_sums, row_sums};

/// Multiples of 1/64 in [−2, 2), times 1.1, most of them 0 where `sparse`.
fn matrix(count: usize, seed: u64, sparse: bool) -> Vec<f32> {
    let mut state = seed;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u32
    };
    let mut value = move || {
        let kept = !sparse || draw() % 8 == 0;
        if kept { (draw() % 256) as f32 / 64.0 - 2.0 } else { 0.0 }
    };
    (0..count).map(|_| value() * 1.1).collect()
}

/// A product entry by entry, in the order that `product` promises.
fn naive(left: &[f32], right: &[f32], bias: &[f32], inner: usize) -> Vec<f32> {
    let entry = |row: &[f32], column: usize| {
        let terms = row.iter().zip(right[column..].iter().step_by(bias.len()));
        let terms: Vec<(&f32, &f32)> = terms.collect();
        let add = |sum: f32, block: &[(&f32, &f32)]| {
            sum + block.iter().fold(0.0f32, |sum, (a, b)| a.mul_add(**b, sum))
        };
        terms.chunks(block(inner)).fold(bias[column], add)
    };
    left.chunks(inner).flat_map(|row| (0..bias.len()).map(move |c| entry(row, c))).collect()
}

/// The transpose of a matrix of so many columns.
fn turned(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns;
    (0..matrix.len()).map(|i| matrix[i % rows * columns + i / rows]).collect()
}

/// Numbers to be compared by their bits: 0 is not −0 there, and NaN is itself.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Asserts that a computation has the same bits with every instruction set.
#[track_caller]
fn assert_alike(what: &str, compute: impl Fn(Isa) -> Vec<f32>) {
    let all = Isa::all();
    let expected = bits(&compute(all[0]));
    for isa in &all[1..] {
        assert!(bits(&compute(*isa)) == expected, "{what}: {isa:?}");
    }
}

const SIZES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (7, 118, 60),
    (29, 3, 17),
    (65, 200, 30),
    (6, 500, 16),
    (24, 10, 40),
    (193, 45, 33),
];

#[test]
fn the_detected_instructions_are_the_last_of_all() {
    assert_eq!(Isa::all().last(), Some(&Isa::detect()));
    assert!(Isa::all()[0].is_portable());
    assert!(!cfg!(portable) || Isa::detect().is_portable());
}

#[test]
fn products_have_their_terms_added_in_the_promised_order_whatever_their_size() {
    for isa in Isa::all() {
        for (rows, inner, columns) in SIZES {
            let what = format!("{isa:?}, {rows} × {inner} × {columns}");
            let left = matrix(rows * inner, 1, false);
            let right = matrix(inner * columns, 2, false);
            let bias = matrix(columns, 3, false);
            let expected = naive(&left, &right, &bias, inner);
            let mut got = vec![f32::NAN; rows * columns];
            let panels = Panels::of(isa, &right, inner, columns);
            multiply(&left, &panels, Some(&bias), Finish::Nothing, &mut got);
            assert_eq!(got, expected, "{what}");

            let panels = Panels::of_transposed(isa, &turned(&right, columns), inner, columns);
            multiply(&left, &panels, Some(&bias), Finish::Nothing, &mut got);
            assert_eq!(got, expected, "{what}, transposed");

            let turned = turned(&left, inner);
            multiply_transposed(isa, &turned, &right, inner, &mut got);
            assert_eq!(got, naive(&left, &right, &vec![0.0; columns], inner), "{what}");
            let doubled: Vec<f32> = got.iter().map(|value| 2.0 * value).collect();
            add_transposed(isa, &turned, &right, inner, &mut got);
            let gap = got.iter().zip(doubled).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap <= 1e-4, "{what}, added to what was there: {gap}");
        }
    }
}

#[test]
fn products_and_what_becomes_of_them_have_the_same_bits_with_all_instructions() {
    for (rows, inner, columns) in SIZES {
        let left = matrix(rows * inner, 1, false);
        let right = matrix(inner * columns, 2, false);
        let bias = matrix(columns, 3, false);
        let outputs = matrix(rows * columns, 4, false);
        let finishes = [Finish::Nothing, Finish::Tanh, Finish::TanhBackward(&outputs)];
        for (number, finish) in finishes.into_iter().enumerate() {
            assert_alike(&format!("{rows} × {inner} × {columns}, finish {number}"), |isa| {
                let mut got = vec![f32::NAN; rows * columns];
                let panels = Panels::of(isa, &right, inner, columns);
                multiply(&left, &panels, Some(&bias), finish, &mut got);
                got
            });
        }
        assert_alike(&format!("{rows} × {inner} × {columns}, added"), |isa| {
            let mut got = outputs.clone();
            add_transposed(isa, &turned(&left, inner), &right, inner, &mut got);
            got
        });
    }
}

#[test]
fn a_sparse_matrix_gives_the_bits_of_a_dense_one() {
    let (rows, inner, columns) = (300, 118, 70);
    let left = matrix(rows * inner, 4, true);
    let right = matrix(inner * columns, 5, false);
    let bias = matrix(columns, 6, false);
    let d_output = matrix(rows * columns, 7, false);
    for isa in Isa::all() {
        let sparse = Sparse::of(isa, &left, inner).expect("an eighth of it is not 0");
        let (mut got, mut expected) = (vec![0.0; rows * columns], vec![0.0; rows * columns]);
        multiply_sparse(&sparse, &right, &bias, Finish::Tanh, &mut got).expect("finite");
        let panels = Panels::of(isa, &right, inner, columns);
        multiply(&left, &panels, Some(&bias), Finish::Tanh, &mut expected);
        assert_eq!(got, expected, "{isa:?}");

        let (mut got, mut expected) = (vec![0.0; inner * columns], vec![0.0; inner * columns]);
        multiply_transposed_sparse(&sparse, &d_output, &mut got);
        multiply_transposed(isa, &left, &d_output, rows, &mut expected);
        assert_eq!(got, expected, "{isa:?}");
    }
}

#[test]
fn a_sparse_product_refuses_a_matrix_that_is_not_finite() {
    for isa in Isa::all() {
        let sparse = Sparse::of(isa, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 3).expect("sparse");
        let right = [1.0, f32::INFINITY, 0.0];
        let mut into = [0.0; 2];
        let done = multiply_sparse(&sparse, &right, &[0.0], Finish::Nothing, &mut into);
        assert_eq!(done, None);
        assert!(Sparse::of(isa, &[1.0, 2.0, 0.0], 3).is_none());
    }
}

#[test]
fn nan_and_minus_zero_are_listed_as_what_they_are() {
    let row = [f32::NAN, -0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f32::INFINITY, 0.0];
    for isa in Isa::all() {
        let sparse = Sparse::of(isa, &row, row.len()).expect("two of eleven");
        let mut into = vec![0.0; 1];
        let ones = vec![1.0; row.len()];
        let _ = multiply_sparse(&sparse, &ones, &[0.0], Finish::Nothing, &mut into);
        assert!(into[0].is_nan(), "{isa:?}");
        let finite = Sparse::of(isa, &row[1..9], 8).expect("nothing");
        let _ = multiply_sparse(&finite, &ones[..8], &[0.5], Finish::Nothing, &mut into);
        assert_eq!(into[0], 0.5, "{isa:?}");
    }
}

fn sums_over_rows(isa: Isa, x: &[f32], y: &[f32], columns: usize) -> RowSums<Vec<f32>> {
    let room = || vec![0.0; x.len() / columns];
    let mut sums = RowSums { error: room(), product: room(), of_x: room(), of_y: room() };
    let RowSums { error, product, of_x, of_y } = &mut sums;
    row_sums(isa, x, y, columns, RowSums { error, product, of_x, of_y });
    sums
}

const SHAPES: [(usize, usize); 7] =
    [(1, 8), (5, 13), (128, 60), (1024, 118), (300, 3), (64, 511), (70, 31)];

#[test]
fn sums_over_rows_are_those_of_f64() {
    for (rows, columns) in SHAPES {
        let (x, y) = (matrix(rows * columns, 8, false), matrix(rows * columns, 9, false));
        for isa in Isa::all() {
            let sums = sums_over_rows(isa, &x, &y, columns);
            for (row, (x, y)) in x.chunks(columns).zip(y.chunks(columns)).enumerate() {
                let sum = |term: fn(f64, f64) -> f64| {
                    let terms = x.iter().zip(y).map(|(x, y)| term(f64::from(*x), f64::from(*y)));
                    terms.sum::<f64>()
                };
                for (got, expected) in [
                    (&sums.error, sum(|x, y| (y - x).powi(2))),
                    (&sums.product, sum(|x, y| x * y)),
                    (&sums.of_x, sum(|x, _| x * x)),
                    (&sums.of_y, sum(|_, y| y * y)),
                ] {
                    let (got, columns) = (f64::from(got[row]), columns as f64);
                    let gap = (got - expected).abs();
                    let bound = 1e-6 * columns * expected.abs().max(1.0);
                    assert!(gap <= bound, "{isa:?}: {got}, {expected}");
                }
            }
        }
    }
}

#[test]
fn sums_have_the_same_bits_with_all_instructions() {
    for (rows, columns) in SHAPES {
        let (x, y) = (matrix(rows * columns, 8, false), matrix(rows * columns, 9, false));
        assert_alike(&format!("rows of {rows} × {columns}"), |isa| {
            let RowSums { error, product, of_x, of_y } = sums_over_rows(isa, &x, &y, columns);
            [error, product, of_x, of_y].concat()
        });
        assert_alike(&format!("columns of {rows} × {columns}"), |isa| {
            let mut sums = vec![0.0; columns];
            column_sums(isa, &x, &mut sums);
            sums
        });
    }
}

/// libtorch sums in another order where its registers are not those of x86-64.
#[test]
#[cfg(target_arch = "x86_64")]
fn sums_over_columns_have_libtorchs_bits() {
    for (rows, columns) in SHAPES {
        let x = matrix(rows * columns, 8, false);
        let tensor = tch::Tensor::from_slice(&x).view([1, rows as i64, columns as i64]);
        let expected = tensor.sum_dim_intlist(1, false, None).flatten(0, -1);
        let expected = Vec::<f32>::try_from(expected).expect("f32");
        for isa in Isa::all() {
            let mut sums = vec![0.0; columns];
            column_sums(isa, &x, &mut sums);
            assert_eq!(sums, expected, "{isa:?}, {rows} × {columns}");
        }
    }
}

#[test]
fn tanh_is_within_a_rounding_of_1_and_goes_back() {
    let inputs: Vec<f32> = (-4000..4000).map(|i| i as f32 / 200.0).chain([1e30, -1e30]).collect();
    for isa in Isa::all() {
        let unit = Panels::of(isa, &[1.0], 1, 1);
        let mut outputs = vec![0.0; inputs.len()];
        multiply(&inputs, &unit, None, Finish::Tanh, &mut outputs);
        for (x, y) in inputs.iter().zip(&outputs) {
            assert!((y - x.tanh()).abs() <= 2e-7, "{isa:?}: tanh({x}) = {y}");
        }
        let mut slopes = vec![0.0; inputs.len()];
        let ones = vec![1.0; inputs.len()];
        multiply(&ones, &unit, None, Finish::TanhBackward(&outputs), &mut slopes);
        for (y, slope) in outputs.iter().zip(slopes) {
            assert!((slope - (1.0 - y * y)).abs() <= 2e-7, "{isa:?}, at {y}: {slope}");
        }
    }
}

#[test]
fn tanh_has_the_same_bits_with_all_instructions_for_every_kind_of_number() {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-40, 43.5, -43.6, 88.0, 1e30];
    let many = (-30_000..30_000).map(|i| i as f32 / 641.0);
    let inputs: Vec<f32> = many.chain(special).collect();
    for length in [inputs.len(), inputs.len() - 5, 31, 33, 45] {
        let inputs = &inputs[inputs.len() - length..];
        assert_alike(&format!("{length} numbers"), |isa| {
            let mut outputs = vec![0.0; length];
            multiply(inputs, &Panels::of(isa, &[1.0], 1, 1), None, Finish::Tanh, &mut outputs);
            outputs
        });
    }
    for isa in Isa::all() {
        let (unit, mut outputs) = (Panels::of(isa, &[1.0], 1, 1), vec![0.0; 40]);
        multiply(&[f32::NAN; 40], &unit, None, Finish::Tanh, &mut outputs);
        assert!(outputs.iter().all(|output| output.is_nan()), "{isa:?}");
    }
}

#[test]
fn what_is_computed_number_by_number_has_the_same_bits_with_all_instructions() {
    for (rows, columns) in SHAPES {
        let count = rows * columns;
        let [x, y, z] = [10, 11, 12].map(|seed| matrix(count, seed, false));
        let root: Vec<f32> = z.iter().map(|z| z.abs().sqrt()).collect();
        assert_alike(&format!("combined, {rows} × {columns}"), |isa| {
            let mut into = vec![0.0; count];
            let [x, y] = [&x, &y].map(|matrix| Scaled { matrix, factors: &matrix[..rows] });
            combine(isa, x, y, &mut into);
            into
        });
        assert_alike(&format!("moved, {rows} × {columns}"), |isa| {
            let (mut first, mut second, mut values) = (x.clone(), y.clone(), z.clone());
            move_moments(isa, &mut first, &mut second, &z, [0.1, 0.001]);
            move_values(isa, &mut values, &first, &root, [-1e-3, 1e-8]);
            [first, second, values].concat()
        });
    }
}

#[test]
fn rows_are_gathered_in_the_order_asked_for() {
    let from: Vec<f32> = (0..60).map(|value| value as f32).collect();
    let order: Vec<i64> = (0..40).map(|number| number * 7 % 20).collect();
    let mut into = vec![0.0; 120];
    gather(&from, 3, &order, &mut into);
    for (row, into) in order.iter().zip(into.chunks_exact(3)) {
        assert_eq!(into, &from[*row as usize * 3..][..3]);
    }
}

/// So many blocks' numbers, from what `matrix` draws.
fn lanes(count: usize, seed: u64) -> Vec<Lanes> {
    matrix(count * IMAGES, seed, false).as_chunks().0.to_vec()
}

/// All images but the last five.
fn mask() -> Mask {
    std::array::from_fn(|lane| if lane < IMAGES - 5 { u32::MAX } else { 0 })
}

#[test]
fn products_of_images_have_the_same_bits_with_all_instructions() {
    let terms = 37;
    let cases: [(usize, usize, bool); 4] =
        [(8, 32, false), (3, 32, true), (13, 64, true), (17, 9, false)];
    for (rows, columns, add) in cases {
        let left = matrix(rows.next_multiple_of(ROWS) * terms * 2, 13, false);
        let right = matrix(columns.next_multiple_of(PANEL) * terms * 2, 14, false);
        let product = images::Product {
            left: &left,
            strides: images::Strides { row: 1, term: ROWS, eight: ROWS * terms },
            right: &right,
            panel: terms * PANEL,
            rows,
            columns,
            into_product: rows * columns,
            into_row: columns,
            add,
        };
        let segments = |parts: &[(usize, usize)]| -> Vec<Segment> {
            let segment =
                |&(start, length)| Segment { left: start * ROWS, right: start * PANEL, length };
            parts.iter().map(segment).collect()
        };
        let lists = [segments(&[(0, terms)]), segments(&[(3, 5), (20, 0), (20, 9)])];
        assert_alike(&format!("{rows} × {columns}, added: {add}"), |isa| {
            let mut into = matrix(2 * rows * columns, 15, false);
            product.compute(isa, &lists, &mut into);
            into
        });
    }
}

#[test]
fn correlations_and_transposes_have_the_same_bits_with_all_instructions() {
    fn correlated<const K: usize>(isa: Isa) -> Vec<f32> {
        let (side, channels) = (30, 8);
        let (image, map) = (lanes(K * side, 16), lanes(14 * channels, 17));
        let mut sums: Vec<Parts> = matrix(K * K * channels * 16, 18, false).as_chunks().0.to_vec();
        images::correlate::<K>(isa, &image, side, &map, channels, &mut sums);
        sums.as_flattened().to_vec()
    }
    assert_alike("3 × 3", correlated::<3>);
    assert_alike("4 × 4", correlated::<4>);
    let rows_of = |rows: usize, columns: usize| matrix(rows * columns, 19, false);
    for (rows, columns) in [(8, 8), (32, 28), (16, 33)] {
        let from = rows_of(rows, columns);
        for isa in Isa::all() {
            let mut into = vec![0.0; rows * columns];
            images::transpose(isa, &from, &mut into, [rows, columns], [columns, rows]);
            assert_eq!(into, turned(&from, columns), "{isa:?}, {rows} × {columns}");
        }
    }
}

#[test]
fn normalisation_and_its_gradient_have_the_same_bits_with_all_instructions() {
    let (pixels, channels) = (5, 6);
    let (block, gradient) = (lanes(pixels * channels, 20), lanes(pixels * channels, 21));
    let numbers = matrix(4 * channels, 22, false);
    let of = |channel: usize| &numbers[4 * channel..4 * channel + 4];
    let affine: Vec<Affine> = (0..channels)
        .map(|channel| Affine { mean: of(channel)[0], scale: of(channel)[1], bias: of(channel)[2] })
        .collect();
    let backward: Vec<Backward> = (0..channels)
        .map(|channel| match *of(channel) {
            [mean, along, scale, constant] => Backward { mean, along, scale, constant },
            _ => unreachable!("four numbers"),
        })
        .collect();
    assert_alike("normalisation", |isa| {
        let (mut sums, mut squares) = (lanes(channels, 23), lanes(channels, 24));
        let mask = mask();
        let images = Images { lanes: &block, mask: &mask };
        let given = Sums { plain: &mut sums, products: &mut squares };
        images::add_moments(isa, images, &numbers[..channels], given);
        let mut output = lanes(pixels * channels, 25);
        images::normalise(isa, images, &affine, &mut output);
        let (mut passed, mut d_input) = (gradient.clone(), output.clone());
        let given = Sums { plain: &mut sums, products: &mut squares };
        images::through_relu(isa, &mut passed, &block, &affine, given);
        images::through_norm(isa, &passed, images, &backward, &mut d_input);
        [sums, squares, output, passed, d_input].concat().as_flattened().to_vec()
    });
}

#[test]
fn draws_and_errors_have_the_same_bits_with_all_instructions() {
    let latent = 7;
    // from where e^x is 0 to where it is ∞
    let wide = |mut lanes: Vec<Lanes>| {
        lanes.iter_mut().flatten().for_each(|value| *value *= 60.0);
        lanes
    };
    let heads = [lanes(latent, 26), wide(lanes(latent, 27))].concat();
    let (noise, d_z) = (lanes(latent, 28), lanes(latent, 29));
    assert_alike("draws", |isa| {
        let (mut z, mut spread) = (lanes(latent, 30), lanes(latent, 31));
        let mask = mask();
        let masked = |lanes| Images { lanes, mask: &mask };
        let divergence = images::draw(isa, masked(&heads), &noise, &mut z, &mut spread);
        let mut d_heads = heads.clone();
        images::through_draw(isa, masked(&d_z), &spread, 0.3, &mut d_heads);
        [z, spread, d_heads, vec![divergence]].concat().as_flattened().to_vec()
    });
    let (output, x) = (wide(lanes(16, 32)), lanes(7, 33));
    assert_alike("errors", |isa| {
        let (mut squared, mut crossed) = (lanes(7, 34), lanes(7, 35));
        let output = Images { lanes: &output, mask: &mask() };
        let error = images::squared_error(isa, output, &x, 0.7, &mut squared);
        let entropy = images::cross_entropy(isa, output, &x, 0.7, &mut crossed);
        [squared, crossed, vec![error, entropy]].concat().as_flattened().to_vec()
    });
}
