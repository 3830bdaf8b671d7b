//! The arithmetic of `conv_core` on one x86-64 core: products, sums and elementwise passes over
//! blocks of 32 images. A block's images lie side by side, in the lanes of vectors
//! ([pixel][channel][image]), so that a convolution needs no patches: each tap multiplies what lies
//! at its pixel. What computes has a version for AVX2 and one for AVX-512, which give the same
//! bits: a product's entry is one chain of fused multiply-adds, and what is added across lanes is
//! added in an order of its own.

use std::arch::x86_64::{
    __m256, __m512, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
    _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use crate::kernels::lanes::Register;

/// Images of a block.
pub const IMAGES: usize = 32;
/// One number of every image of a block.
pub type Lanes = [f32; IMAGES];
/// Rows of a product that lie side by side in a packed left-hand matrix.
pub const ROWS: usize = 8;
/// Columns of a product that lie side by side in the right-hand matrix.
pub const PANEL: usize = IMAGES;
/// Numbers that a sum over images keeps apart until its end.
pub const PARTS: usize = 16;
/// A sum over images until then.
pub type Parts = [f32; PARTS];

/// Of the vectors that everything is computed with; who has one from `available` may call what is
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// AVX2 and FMA, eight numbers.
    Eight,
    /// AVX-512, sixteen.
    Sixteen,
}

impl Width {
    /// The widest that this processor has, if it has one.
    pub fn available() -> Option<Self> {
        let eight = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let sixteen = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        match (eight, sixteen) {
            (true, true) => Some(Self::Sixteen),
            (true, false) => Some(Self::Eight),
            (false, _) => None,
        }
    }
}

/// Terms of a product that follow one another: where they begin in both matrices, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub left: usize,
    pub right: usize,
    pub length: usize,
}

/// Products of one left-hand matrix with parts of a right-hand one, [rows, columns] each.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    pub left: &'a [f32],
    /// From one row of `left` to the next, from one term to the next, from eight rows to the next
    /// eight.
    pub strides: [usize; 3],
    /// In panels of `PANEL` columns, each term by term.
    pub right: &'a [f32],
    /// From one panel to the next.
    pub panel: usize,
    pub rows: usize,
    pub columns: usize,
    /// From one product to the next, and from one row to the next, in the result.
    pub into_strides: [usize; 2],
    /// Whether the result is added to what is there.
    pub add: bool,
}

impl Product<'_> {
    /// One product for each list of segments, whose terms are added in that order.
    pub fn compute(&self, width: Width, lists: &[Vec<Segment>], into: &mut [f32]) {
        // SAFETY: `width` says that the processor has the instructions
        match width {
            Width::Eight => unsafe { self.with_eight(lists, into) },
            Width::Sixteen => unsafe { self.with_sixteen(lists, into) },
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn with_eight(&self, lists: &[Vec<Segment>], into: &mut [f32]) {
        // SAFETY: here are AVX2 and FMA
        unsafe { self.tiles::<__m256, 4>(lists, into) };
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
    fn with_sixteen(&self, lists: &[Vec<Segment>], into: &mut [f32]) {
        // SAFETY: here is AVX-512
        unsafe { self.tiles::<__m512, 8>(lists, into) };
    }

    /// In tiles of TALL rows and two vectors, or fewer at the edges. Needs the instructions of V.
    #[inline(always)]
    unsafe fn tiles<V: Register, const TALL: usize>(
        &self,
        lists: &[Vec<Segment>],
        into: &mut [f32],
    ) {
        for (number, segments) in lists.iter().enumerate() {
            let mut row = 0;
            while row < self.rows {
                let left = row / ROWS * self.strides[2] + row % ROWS * self.strides[0];
                let height = match self.rows - row {
                    rest if rest >= TALL => TALL,
                    rest if rest >= 4 => 4,
                    _ => 1,
                };
                for column in (0..self.columns).step_by(2 * V::COUNT) {
                    let place = number * self.into_strides[0] + row * self.into_strides[1] + column;
                    let (at, into) = ([left, column], &mut into[place..]);
                    // SAFETY: the caller's
                    unsafe {
                        match height {
                            1 => self.tile::<V, 1, 2>(at, segments, into),
                            4 => self.tile::<V, 4, 2>(at, segments, into),
                            _ if self.columns - column <= V::COUNT => {
                                self.tile::<V, TALL, 1>(at, segments, into)
                            }
                            _ => self.tile::<V, TALL, 2>(at, segments, into),
                        }
                    }
                }
                row += height;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Register, const TALL: usize, const WIDE: usize>(
        &self,
        [left, column]: [usize; 2],
        segments: &[Segment],
        into: &mut [f32],
    ) {
        let at = [left, column / PANEL * self.panel + column % PANEL];
        // SAFETY: the caller's; strides that the compiler knows make shorter loops
        let sums = unsafe {
            match [self.strides[0], self.strides[1]] {
                [1, ROWS] => self.chains::<V, TALL, WIDE>(at, [1, ROWS], segments),
                [IMAGES, 1] => self.chains::<V, TALL, WIDE>(at, [IMAGES, 1], segments),
                strides => self.chains::<V, TALL, WIDE>(at, strides, segments),
            }
        };
        let width = (WIDE * V::COUNT).min(self.columns - column);
        let mut row_of_tile = [0.0; PANEL];
        for (row, sums) in sums.into_iter().enumerate() {
            let into = &mut into[row * self.into_strides[1]..][..width];
            let whole = width == WIDE * V::COUNT;
            let start = if whole { into.as_mut_ptr() } else { row_of_tile.as_mut_ptr() };
            for (number, sum) in sums.into_iter().enumerate() {
                // SAFETY: the instructions are the caller's; there is room for all vectors of a row
                unsafe {
                    let place = start.add(number * V::COUNT);
                    if whole && self.add { V::read(place).add(sum) } else { sum }.write(place);
                }
            }
            if whole {
                continue;
            }
            for (place, value) in into.iter_mut().zip(row_of_tile) {
                *place = if self.add { *place + value } else { value };
            }
        }
    }

    #[inline(always)]
    unsafe fn chains<V: Register, const TALL: usize, const WIDE: usize>(
        &self,
        [left_start, right_start]: [usize; 2],
        [row_stride, term_stride]: [usize; 2],
        segments: &[Segment],
    ) -> [[V; WIDE]; TALL] {
        // SAFETY: the caller's; each segment is seen to lie in both matrices
        unsafe {
            let mut sums = [[V::splat(0.0); WIDE]; TALL];
            for segment in segments.iter().filter(|segment| segment.length > 0) {
                let (left, right) = (left_start + segment.left, right_start + segment.right);
                let last = segment.length - 1;
                assert!(left + (TALL - 1) * row_stride + last * term_stride < self.left.len());
                assert!(right + last * PANEL + WIDE * V::COUNT <= self.right.len());
                let mut left = self.left.as_ptr().add(left);
                let mut right = self.right.as_ptr().add(right);
                for _ in 0..segment.length {
                    let mut term = [V::splat(0.0); WIDE];
                    for (number, term) in term.iter_mut().enumerate() {
                        *term = V::read(right.add(number * V::COUNT));
                    }
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let value = V::splat(*left.add(row * row_stride));
                        for (sum, term) in sums.iter_mut().zip(term) {
                            *sum = value.times_plus(term, *sum);
                        }
                    }
                    left = left.wrapping_add(term_stride);
                    right = right.wrapping_add(PANEL);
                }
            }
            sums
        }
    }
}

/// Adds up what the weights of a convolution with one channel on its wide side have for a gradient:
/// `into`, [row of the kernel][its column][channel], Σ image · map over a row of the map's pixels,
/// images in `PARTS`. The K rows of the image, of `side` pixels each, are those that the kernel
/// reaches.
pub fn correlate<const K: usize>(
    width: Width,
    image: &[Lanes],
    side: usize,
    map: &[Lanes],
    channels: usize,
    into: &mut [Parts],
) {
    assert!(image.len() == K * side && into.len() == K * K * channels);
    assert!(channels.is_multiple_of(4) && map.len().is_multiple_of(channels));
    for (image, into) in image.chunks_exact(side).zip(into.chunks_exact_mut(K * channels)) {
        // SAFETY: `width` says that the processor has the instructions
        match width {
            Width::Eight => unsafe { correlate_eight::<K>(image, map, channels, into) },
            Width::Sixteen => unsafe { correlate_sixteen::<K>(image, map, channels, into) },
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn correlate_eight<const K: usize>(
    image: &[Lanes],
    map: &[Lanes],
    channels: usize,
    into: &mut [Parts],
) {
    // SAFETY: here are AVX2 and FMA
    unsafe { correlate_row::<__m256, K, 2>(image, map, channels, into) };
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
fn correlate_sixteen<const K: usize>(
    image: &[Lanes],
    map: &[Lanes],
    channels: usize,
    into: &mut [Parts],
) {
    // SAFETY: here is AVX-512
    unsafe { correlate_row::<__m512, K, 4>(image, map, channels, into) };
}

/// One row of the map, with one of the kernel.
#[inline(always)]
unsafe fn correlate_row<V: Register, const K: usize, const GROUP: usize>(
    image: &[Lanes],
    map: &[Lanes],
    channels: usize,
    into: &mut [Parts],
) {
    let pixels = map.len() / channels;
    assert!(2 * (pixels - 1) + K <= image.len() && into.len() == K * channels);
    for first in (0..channels).step_by(GROUP) {
        for part in (0..PARTS).step_by(V::COUNT) {
            // SAFETY: the instructions are the caller's; indices are in bounds by the assertion
            unsafe {
                let mut sums = [[V::splat(0.0); GROUP]; K];
                for pixel in 0..pixels {
                    for half in (part..IMAGES).step_by(PARTS) {
                        let of = |lanes: &Lanes| V::read(lanes.as_ptr().add(half));
                        let mut values = [V::splat(0.0); GROUP];
                        for (number, value) in values.iter_mut().enumerate() {
                            *value = of(map.get_unchecked(pixel * channels + first + number));
                        }
                        for (tap, sums) in sums.iter_mut().enumerate() {
                            let image = of(image.get_unchecked(2 * pixel + tap));
                            for (sum, value) in sums.iter_mut().zip(values) {
                                *sum = image.times_plus(value, *sum);
                            }
                        }
                    }
                }
                for (tap, sums) in sums.into_iter().enumerate() {
                    for (number, sum) in sums.into_iter().enumerate() {
                        let place = into[tap * channels + first + number].as_mut_ptr().add(part);
                        V::read(place).add(sum).write(place);
                    }
                }
            }
        }
    }
}

/// Writes the transpose of a matrix of `rows`, a multiple of eight, and `columns`, no fewer than
/// that; strides are from one row to the next. AVX2 does it on either width.
pub fn transpose(
    _: Width,
    matrix: &[f32],
    stride: usize,
    [rows, columns]: [usize; 2],
    into: &mut [f32],
    into_stride: usize,
) {
    assert!(rows.is_multiple_of(8) && rows > 0 && columns >= 8);
    assert!(matrix.len() >= (rows - 1) * stride + columns);
    assert!(into.len() >= (columns - 1) * into_stride + rows);
    // SAFETY: there is no `Width` without AVX2, and both matrices are long enough
    unsafe { transpose_squares(matrix, stride, [rows, columns], into, into_stride) };
}

#[target_feature(enable = "avx2,fma")]
unsafe fn transpose_squares(
    matrix: &[f32],
    stride: usize,
    [rows, columns]: [usize; 2],
    into: &mut [f32],
    into_stride: usize,
) {
    for column in (0..columns).step_by(8) {
        // the last square may lie over the one before
        let column = column.min(columns - 8);
        for row in (0..rows).step_by(8) {
            // SAFETY: the caller's
            unsafe {
                let from = matrix.as_ptr().add(row * stride + column);
                let to = into.as_mut_ptr().add(column * into_stride + row);
                let r: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * stride)));
                let pairs: [__m256; 8] = std::array::from_fn(|i| match i % 2 {
                    0 => _mm256_unpacklo_ps(r[i], r[i + 1]),
                    _ => _mm256_unpackhi_ps(r[i - 1], r[i]),
                });
                let fours: [__m256; 8] = std::array::from_fn(|i| {
                    let [a, b] = [i / 4 * 4 + i % 4 / 2, i / 4 * 4 + i % 4 / 2 + 2];
                    match i % 2 {
                        0 => _mm256_shuffle_ps::<0x44>(pairs[a], pairs[b]),
                        _ => _mm256_shuffle_ps::<0xEE>(pairs[a], pairs[b]),
                    }
                });
                for i in 0..4 {
                    let low = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
                    let high = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
                    _mm256_storeu_ps(to.add(i * into_stride), low);
                    _mm256_storeu_ps(to.add((i + 4) * into_stride), high);
                }
            }
        }
    }
}

/// Compiles functions for both widths; what they call must be inlined into them.
macro_rules! for_both_widths {
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        pub fn $name(width: Width, $($argument: $type),*) $(-> $result)? {
            #[target_feature(enable = "avx2,fma")]
            fn eight($($argument: $type),*) $(-> $result)? $body
            #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
            fn sixteen($($argument: $type),*) $(-> $result)? $body
            // SAFETY: `width` says that the processor has the instructions
            match width {
                Width::Eight => unsafe { eight($($argument),*) },
                Width::Sixteen => unsafe { sixteen($($argument),*) },
            }
        }
    )*};
}

/// Which lanes of a block hold images: all bits of those, none of the others.
pub type Mask = [u32; IMAGES];

/// x where there is an image, else 0, whatever x is.
#[inline(always)]
fn kept(x: f32, mask: u32) -> f32 {
    f32::from_bits(x.to_bits() & mask)
}

/// How a batch normalisation maps a channel: (x − mean) · scale + bias.
#[derive(Debug, Clone, Copy, Default)]
pub struct Affine {
    pub mean: f32,
    pub scale: f32,
    pub bias: f32,
}

impl Affine {
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        (x - self.mean).mul_add(self.scale, self.bias)
    }
}

/// The gradient by a batch normalisation's input: along · centred + scale · gradient + constant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backward {
    pub mean: f32,
    pub along: f32,
    pub scale: f32,
    pub constant: f32,
}

for_both_widths! {
    /// Adds the lanes that hold images, less each channel's centre, to `sums`, and their squares to
    /// `squares`; a block is [pixel][channel].
    pub fn add_moments(
        block: &[Lanes],
        centres: &[f32],
        mask: &Mask,
        sums: &mut [Lanes],
        squares: &mut [Lanes],
    ) {
        for pixel in block.chunks_exact(centres.len()) {
            let sums = sums.iter_mut().zip(squares.iter_mut());
            for ((x, centre), (sums, squares)) in pixel.iter().zip(centres).zip(sums) {
                for lane in 0..IMAGES {
                    let centred = kept(x[lane] - centre, mask[lane]);
                    sums[lane] += centred;
                    squares[lane] = centred.mul_add(centred, squares[lane]);
                }
            }
        }
    }

    /// Normalisation, then ReLU; 0 in lanes without an image.
    pub fn normalise(block: &[Lanes], affine: &[Affine], mask: &Mask, into: &mut [Lanes]) {
        let channels = affine.len();
        for (pixel, into) in block.chunks_exact(channels).zip(into.chunks_exact_mut(channels)) {
            for ((x, affine), into) in pixel.iter().zip(affine).zip(into) {
                for lane in 0..IMAGES {
                    let y = affine.of(x[lane]);
                    // what is no number stays that
                    into[lane] = kept(if y < 0.0 { 0.0 } else { y }, mask[lane]);
                }
            }
        }
    }

    /// Takes the gradient by `normalise`'s output back through ReLU, and adds it to `sums` and its
    /// product with the centred input to `products`.
    pub fn through_relu(
        gradient: &mut [Lanes],
        block: &[Lanes],
        affine: &[Affine],
        sums: &mut [Lanes],
        products: &mut [Lanes],
    ) {
        let channels = affine.len();
        let pixels = gradient.chunks_exact_mut(channels).zip(block.chunks_exact(channels));
        for (gradient, pixel) in pixels {
            let sums = sums.iter_mut().zip(products.iter_mut());
            let channels = gradient.iter_mut().zip(pixel).zip(affine).zip(sums);
            for (((gradient, x), affine), (sums, products)) in channels {
                for lane in 0..IMAGES {
                    let passed = if affine.of(x[lane]) > 0.0 { gradient[lane] } else { 0.0 };
                    gradient[lane] = passed;
                    sums[lane] += passed;
                    products[lane] = passed.mul_add(x[lane] - affine.mean, products[lane]);
                }
            }
        }
    }

    /// The gradient by a normalisation's input from what `through_relu` left; 0 in lanes without an
    /// image.
    pub fn through_norm(
        gradient: &[Lanes],
        block: &[Lanes],
        backward: &[Backward],
        mask: &Mask,
        into: &mut [Lanes],
    ) {
        let channels = backward.len();
        let pixels = gradient.chunks_exact(channels).zip(block.chunks_exact(channels));
        for ((gradient, pixel), into) in pixels.zip(into.chunks_exact_mut(channels)) {
            for (((gradient, x), by), into) in gradient.iter().zip(pixel).zip(backward).zip(into) {
                for lane in 0..IMAGES {
                    let along = (x[lane] - by.mean).mul_add(by.along, by.constant);
                    into[lane] = kept(gradient[lane].mul_add(by.scale, along), mask[lane]);
                }
            }
        }
    }

    /// z = μ + σ ε and σ ε of heads (means, then log-variances) and noise ε; each image's KL
    /// divergence from N(0, I). z is 0 in lanes without an image.
    pub fn draw(
        heads: &[Lanes],
        noise: &[Lanes],
        mask: &Mask,
        z: &mut [Lanes],
        spread: &mut [Lanes],
    ) -> Lanes {
        let (means, log_variances) = heads.split_at(noise.len());
        let mut divergence = [0.0; IMAGES];
        for (number, noise) in noise.iter().enumerate() {
            let (mean, log_variance) = (&means[number], &log_variances[number]);
            let (z, spread) = (&mut z[number], &mut spread[number]);
            for lane in 0..IMAGES {
                spread[lane] = exp(log_variance[lane] * 0.5) * noise[lane];
                z[lane] = kept(mean[lane] + spread[lane], mask[lane]);
                let grown = exp(log_variance[lane]) - log_variance[lane] - 1.0;
                divergence[lane] += kept(mean[lane].mul_add(mean[lane], grown), mask[lane]);
            }
        }
        divergence.map(|sum| sum * 0.5)
    }

    /// Replaces the heads by the gradient by them, from that by z; `weight` is what an image's
    /// divergence counts for.
    pub fn through_draw(
        by_z: &[Lanes],
        spread: &[Lanes],
        weight: f32,
        mask: &Mask,
        heads: &mut [Lanes],
    ) {
        let (means, log_variances) = heads.split_at_mut(by_z.len());
        for (number, by_z) in by_z.iter().enumerate() {
            let (mean, log_variance) = (&mut means[number], &mut log_variances[number]);
            for lane in 0..IMAGES {
                mean[lane] = kept(mean[lane].mul_add(weight, by_z[lane]), mask[lane]);
                let by_divergence = (exp(log_variance[lane]) - 1.0) * weight;
                let by_both = by_z[lane].mul_add(spread[number][lane], by_divergence);
                log_variance[lane] = kept(by_both * 0.5, mask[lane]);
            }
        }
    }

    /// Squared errors of a row of pixels, added up for every image, and their gradients by the
    /// outputs, times `weight`. Of every four outputs the first two are a row's, the row's first is
    /// left out.
    pub fn squared_error(
        output: &[Lanes],
        x: &[Lanes],
        weight: f32,
        mask: &Mask,
        by_output: &mut [Lanes],
    ) -> Lanes {
        let mut sums = [0.0; IMAGES];
        let output = output.chunks(4).flat_map(|four| &four[..2]).skip(1);
        for ((output, x), by_output) in output.zip(x).zip(by_output) {
            for lane in 0..IMAGES {
                let difference = kept(output[lane] - x[lane], mask[lane]);
                sums[lane] = difference.mul_add(difference, sums[lane]);
                by_output[lane] = difference * weight;
            }
        }
        sums
    }

    /// The same of −log p of values in [0, 1] given logits: log(1 + e^l) − l·x.
    pub fn cross_entropy(
        logits: &[Lanes],
        x: &[Lanes],
        weight: f32,
        mask: &Mask,
        by_logits: &mut [Lanes],
    ) -> Lanes {
        let mut sums = [0.0; IMAGES];
        let logits = logits.chunks(4).flat_map(|four| &four[..2]).skip(1);
        for ((logits, x), by_logits) in logits.zip(x).zip(by_logits) {
            for lane in 0..IMAGES {
                let logit = logits[lane];
                let power = exp(-logit.abs());
                let softplus = if logit < 0.0 { 0.0 } else { logit } + log_of_1_and(power);
                sums[lane] += kept((-logit).mul_add(x[lane], softplus), mask[lane]);
                let numerator = if logit < 0.0 { power } else { 1.0 };
                let gap = numerator / (1.0 + power) - x[lane];
                by_logits[lane] = kept(gap * weight, mask[lane]);
            }
        }
        sums
    }
}

/// e^x, within two roundings; 0 far below 0 and ∞ far above. Coefficients: Sleef's expf (N.
/// Shibata).
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the source's digits")]
fn exp(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 5] = [
        0.00139304355252534151,
        0.00833336077630519867,
        0.0416664853692054749,
        0.166666671633720398,
        0.5,
    ];
    // added to a small number it leaves the nearest integer in the lowest bits
    const ROUNDING: f32 = 12_582_912.0;
    let bounded = if x < -104.0 { -104.0 } else { x };
    let bounded = if bounded > 100.0 { 100.0 } else { bounded };
    let shifted = bounded.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let count = shifted - ROUNDING;
    // x − count · log 2, log 2 in two parts
    let rest = count.mul_add(-0.693145751953125, bounded);
    let rest = count.mul_add(-1.428606765330187045e-06, rest);
    let mut sum = 0.000198527617612853646_f32;
    for coefficient in COEFFICIENTS {
        sum = sum.mul_add(rest, coefficient);
    }
    let sum = (rest * rest).mul_add(sum, rest) + 1.0;
    let whole = shifted.to_bits().wrapping_sub(ROUNDING.to_bits()) as i32;
    let half = whole >> 1;
    let power = |count: i32| f32::from_bits((count.wrapping_add(127) << 23) as u32);
    sum * power(half) * power(whole.wrapping_sub(half))
}

/// log(1 + u) for u in [0, 1]: 2 artanh(u / (2 + u)) by its series.
#[inline(always)]
fn log_of_1_and(u: f32) -> f32 {
    let ratio = u / (2.0 + u);
    let square = ratio * ratio;
    let mut sum = 1.0 / 17.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0f32] {
        sum = square.mul_add(sum, 1.0 / odd);
    }
    2.0 * ratio * sum
}
