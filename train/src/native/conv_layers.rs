//! The layers of the convolutional VAE's step, with their gradients: convolutions as products whose terms
//! are listed once, linear layers, and batch normalisation over a batch that comes block by block. Maps are
//! [pixel][channel] of `Lanes`, an edge of them SIDE, HALF or QUARTER pixels long. Which layer follows
//! which is `conv_vae`'s.

use std::ops::Range;

use crate::kernels::Isa;
use crate::kernels::images::{
    self as kernels, Affine, Backward, IMAGES, Images, Lanes, Mask, PANEL, PARTS, Parts, Product,
    ROWS, Segment, Strides, Sums,
};
use crate::nn::convolution::{EPSILON, MOMENTUM};

/// Pixels along an edge: of an image, of one with its border, after one convolution and after two.
pub const SIDE: usize = 28;
pub const BORDERED: usize = SIDE + 2;
pub const HALF: usize = SIDE / 2;
pub const QUARTER: usize = SIDE / 4;
/// Groups of 2 × 2 pixels, of an image with its border, along an edge.
pub const CORNERS: usize = BORDERED / 2;

/// Of a left-hand matrix whose terms are the images of a block.
const BY_IMAGE: Strides = Strides { row: IMAGES, term: 1, eight: ROWS * IMAGES };

/// A convolution between QUARTER² pixels of many channels and HALF² of few: inwards with stride 2
/// and padding 1, outwards its transpose. The weight is [many, few, k, k].
#[derive(Debug)]
pub struct Inner {
    k: usize,
    weight: Range<usize>,
    pub many: usize,
    pub few: usize,
    inwards: Vec<Vec<Segment>>,
    outwards: Vec<Vec<Segment>>,
    gathering: Vec<Vec<Segment>>,
    /// The weight as `halve` and as `double` take it.
    packed: [Packed; 2],
    /// [k²][few][many]
    gathered: Vec<f32>,
}

/// The terms of each of the outputs of a convolution with stride 2 on `side`² pixels of so many
/// channels, of which `padding` beyond each edge are 0; a kernel's row at a time.
fn inwards(side: usize, padding: usize, k: usize, channels: usize) -> Vec<Vec<Segment>> {
    let edge = (side + 2 * padding - k) / 2 + 1;
    // from the first to beyond the last tap that lies on the image
    let taps = |at: usize| padding.saturating_sub(2 * at)..k.min(side + padding - 2 * at);
    let of_pixel = |number: usize| {
        let (y, x) = (number / edge, number % edge);
        let (rows, columns) = (taps(y), taps(x));
        let of_row = move |row: usize| Segment {
            left: (row * k + columns.start) * channels * ROWS,
            right: ((2 * y + row - padding) * side + 2 * x + columns.start - padding)
                * channels
                * IMAGES,
            length: columns.len() * channels,
        };
        rows.map(of_row).collect()
    };
    (0..edge * edge).map(of_pixel).collect()
}

/// The taps of the transpose that reach each of the `2 · edge` pixels along an edge: with which,
/// from where.
fn reached(at: usize, k: usize, edge: usize) -> impl Iterator<Item = (usize, usize)> {
    let from = move |tap: usize| {
        let twice = (at + 1).checked_sub(tap)?;
        (twice % 2 == 0 && twice / 2 < edge).then_some((tap, twice / 2))
    };
    (0..k).filter_map(from)
}

/// The terms of each of the (2 · edge)² outputs of the transpose on `edge`² pixels.
fn outwards(edge: usize, k: usize, channels: usize) -> Vec<Vec<Segment>> {
    let of_pixel = |number: usize| {
        let (y, x) = (number / (2 * edge), number % (2 * edge));
        let pairs = reached(y, k, edge)
            .flat_map(|row| reached(x, k, edge).map(move |column| (row, column)));
        pairs
            .map(|((tap_row, row), (tap_column, column))| Segment {
                left: (tap_row * k + tap_column) * channels * ROWS,
                right: (row * edge + column) * channels * IMAGES,
                length: channels,
            })
            .collect()
    };
    (0..4 * edge * edge).map(of_pixel).collect()
}

/// For each tap, the pixels of the finer map (left) and the coarser one (right) that it joins.
fn joined(k: usize, few: usize, many: usize) -> Vec<Vec<Segment>> {
    let of_tap = |tap: usize| {
        let fine = |at: usize, tap: usize| (2 * at + tap).checked_sub(1).filter(|&at| at < HALF);
        let segment = |number: usize| {
            let (y, x) = (number / QUARTER, number % QUARTER);
            let (row, column) = (fine(y, tap / k)?, fine(x, tap % k)?);
            let left = (row * HALF + column) * few * IMAGES;
            Some(Segment { left, right: number * IMAGES * many, length: IMAGES })
        };
        (0..QUARTER * QUARTER).filter_map(segment).collect()
    };
    (0..k * k).map(of_tap).collect()
}

/// A left-hand matrix of `rows`, eight side by side: all channels of a tap, then those of the next.
#[derive(Debug, Default)]
struct Packed {
    rows: usize,
    values: Vec<f32>,
}

/// Packs `value([row, tap, channel])`.
fn pack(
    [rows, taps, channels]: [usize; 3],
    value: impl Fn([usize; 3]) -> f32,
    packed: &mut Packed,
) {
    packed.rows = rows;
    packed.values.clear();
    for first in (0..rows).step_by(ROWS) {
        for tap in 0..taps {
            for channel in 0..channels {
                let of_row = |row| if row < rows { value([row, tap, channel]) } else { 0.0 };
                packed.values.extend((first..first + ROWS).map(of_row));
            }
        }
    }
}

/// Products of packed kernels with a map's pixels, one for each list: [lists]`[rows]`.
fn convolve(isa: Isa, packed: &Packed, map: &[Lanes], lists: &[Vec<Segment>], into: &mut [Lanes]) {
    let Packed { rows, ref values } = *packed;
    let product = Product {
        left: values,
        strides: Strides { row: 1, term: ROWS, eight: values.len() / rows.div_ceil(ROWS) },
        right: map.as_flattened(),
        panel: 0,
        rows,
        columns: IMAGES,
        into_product: rows * IMAGES,
        into_row: IMAGES,
        add: false,
    };
    product.compute(isa, lists, into.as_flattened_mut());
}

impl Inner {
    /// With its weight there among all parameters.
    pub fn new(k: usize, weight: Range<usize>, [few, many]: [usize; 2]) -> Self {
        assert_eq!(weight.len(), many * few * k * k);
        Self {
            k,
            weight,
            many,
            few,
            inwards: inwards(HALF, 1, k, few),
            outwards: outwards(QUARTER, k, many),
            gathering: joined(k, few, many),
            packed: Default::default(),
            gathered: Vec::new(),
        }
    }

    /// Gets ready for a step with such parameters.
    pub fn prepare(&mut self, parameters: &[f32]) {
        let (weight, few, many) = (&parameters[self.weight.clone()], self.few, self.many);
        let taps = self.k * self.k;
        let [halving, doubling] = &mut self.packed;
        let at =
            |outer: usize, inner: usize, tap: usize| weight[(outer * few + inner) * taps + tap];
        pack([many, taps, few], |[row, tap, channel]| at(row, channel, tap), halving);
        pack([few, taps, many], |[row, tap, channel]| at(channel, row, tap), doubling);
        self.gathered.clear();
        self.gathered.resize(taps * few * many, 0.0);
    }

    /// [HALF²][few] → row y of [QUARTER²][many]
    pub fn halve(&self, isa: Isa, map: &[Lanes], y: usize, into: &mut [Lanes]) {
        let lists = &self.inwards[y * QUARTER..][..QUARTER];
        convolve(isa, &self.packed[0], map, lists, into);
    }

    /// [QUARTER²][many] → row y of [HALF²][few]
    pub fn double(&self, isa: Isa, map: &[Lanes], y: usize, into: &mut [Lanes]) {
        let lists = &self.outwards[y * HALF..][..HALF];
        convolve(isa, &self.packed[1], map, lists, into);
    }

    /// Gathers the gradient with respect to the weight of Σ halve(fine) · coarse, the coarser map's
    /// channels innermost: [QUARTER²][image][many].
    pub fn gather(&mut self, isa: Isa, fine: &[Lanes], coarse: &[f32]) {
        let product = Product {
            left: fine.as_flattened(),
            strides: BY_IMAGE,
            right: coarse,
            panel: PANEL * IMAGES,
            rows: self.few,
            columns: self.many,
            into_product: self.few * self.many,
            into_row: self.many,
            add: true,
        };
        product.compute(isa, &self.gathering, &mut self.gathered);
    }

    /// Writes what was gathered.
    pub fn file(&self, gradient: &mut [f32]) {
        let taps = self.k * self.k;
        let places = gradient[self.weight.clone()].chunks_exact_mut(taps).enumerate();
        for (number, places) in places {
            let (many, few) = (number / self.few, number % self.few);
            for (tap, place) in places.iter_mut().enumerate() {
                *place = self.gathered[(tap * self.few + few) * self.many + many];
            }
        }
    }
}

/// A convolution between HALF² pixels of several channels and an image's; stride 2, and a border of
/// 0. The weight is [channels, 1, k, k].
#[derive(Debug)]
pub struct Outer<const K: usize> {
    weight: Range<usize>,
    pub channels: usize,
    inwards: Vec<Vec<Segment>>,
    /// Of a group of 2 × 2 pixels that the same 2 × 2 reach; of a kernel of four rows alone.
    outwards: Vec<Vec<Segment>>,
    packed: [Packed; 2],
    gathered: Vec<Parts>,
}

impl<const K: usize> Outer<K> {
    /// With its weight there among all parameters.
    pub fn new(weight: Range<usize>, channels: usize) -> Self {
        assert_eq!(weight.len(), channels * K * K);
        let corner = |number: usize| {
            let (y, x) = (number / CORNERS, number % CORNERS);
            let pixels = (0..4).filter_map(move |tap: usize| {
                let at = |at: usize, tap: usize| (at + tap).checked_sub(1).filter(|&at| at < HALF);
                let (row, column) = (at(y, tap / 2)?, at(x, tap % 2)?);
                let right = (row * HALF + column) * channels * IMAGES;
                Some(Segment { left: tap * channels * ROWS, right, length: channels })
            });
            pixels.collect()
        };
        Self {
            weight,
            channels,
            inwards: inwards(BORDERED, 0, K, 1),
            outwards: if K == 4 {
                (0..CORNERS * CORNERS).map(corner).collect()
            } else {
                Vec::new()
            },
            packed: Default::default(),
            gathered: Vec::new(),
        }
    }

    /// Gets ready for a step with such parameters.
    pub fn prepare(&mut self, parameters: &[f32]) {
        let (weight, channels) = (&parameters[self.weight.clone()], self.channels);
        let [halving, doubling] = &mut self.packed;
        pack([channels, K * K, 1], |[row, tap, _]| weight[row * K * K + tap], halving);
        if K == 4 {
            // output 2m − 1 + a has tap a + 2 − 2d of input m − 1 + d
            let tap = |output: usize, input: usize| output + 2 - 2 * input;
            let of = |[row, input, channel]: [usize; 3]| {
                let (y, x) = (tap(row / 2, input / 2), tap(row % 2, input % 2));
                weight[(channel * K + y) * K + x]
            };
            pack([4, 4, channels], of, doubling);
        }
        self.gathered.clear();
        self.gathered.resize(K * K * channels, [0.0; PARTS]);
    }

    /// [BORDERED²] → row y of [HALF²][channels]
    pub fn halve(&self, isa: Isa, image: &[Lanes], y: usize, into: &mut [Lanes]) {
        let lists = &self.inwards[y * HALF..][..HALF];
        convolve(isa, &self.packed[0], image, lists, into);
    }

    /// Gathers the gradient with respect to the weight of Σ halve(image) · map over row y.
    pub fn gather(&mut self, isa: Isa, image: &[Lanes], y: usize, map: &[Lanes]) {
        let lines = &image[2 * y * BORDERED..][..K * BORDERED];
        kernels::correlate::<K>(isa, lines, BORDERED, map, self.channels, &mut self.gathered);
    }

    /// Writes what was gathered.
    pub fn file(&self, gradient: &mut [f32]) {
        for (number, place) in gradient[self.weight.clone()].iter_mut().enumerate() {
            let (channel, tap) = (number / (K * K), number % (K * K));
            *place = self.gathered[tap * self.channels + channel].iter().sum();
        }
    }
}

impl Outer<4> {
    /// [HALF²][channels] → row y of [CORNERS²][2][2].
    pub fn double(&self, isa: Isa, map: &[Lanes], y: usize, into: &mut [Lanes]) {
        let lists = &self.outwards[y * CORNERS..][..CORNERS];
        convolve(isa, &self.packed[1], map, lists, into);
    }
}

/// A linear layer, its bias the weight of one more input that is 1: [inputs + 1, outputs].
#[derive(Debug)]
pub struct Dense {
    weight: Range<usize>,
    pub inputs: usize,
    pub outputs: usize,
}

impl Dense {
    /// With its weight, and its bias after that, there among all parameters.
    pub fn new(weight: Range<usize>, inputs: usize, outputs: usize) -> Self {
        assert_eq!(weight.len(), (inputs + 1) * outputs);
        Self { weight, inputs, outputs }
    }

    /// [inputs + 1] → [outputs]
    pub fn forward(&self, isa: Isa, parameters: &[f32], input: &[Lanes], into: &mut [Lanes]) {
        let all = Segment { left: 0, right: 0, length: self.inputs + 1 };
        let strides = Strides { row: 1, term: self.outputs, eight: ROWS };
        self.product(parameters, strides, input, self.outputs).compute(
            isa,
            &[vec![all]],
            into.as_flattened_mut(),
        );
    }

    /// [outputs] → [inputs]
    pub fn d_input(&self, isa: Isa, parameters: &[f32], d_output: &[Lanes], into: &mut [Lanes]) {
        let all = Segment { left: 0, right: 0, length: self.outputs };
        let strides = Strides { row: self.outputs, term: 1, eight: ROWS * self.outputs };
        self.product(parameters, strides, d_output, self.inputs).compute(
            isa,
            &[vec![all]],
            into.as_flattened_mut(),
        );
    }

    /// Of the weight, with such strides, and a block: `[rows]`.
    pub fn product<'a>(
        &self,
        parameters: &'a [f32],
        strides: Strides,
        block: &'a [Lanes],
        rows: usize,
    ) -> Product<'a> {
        Product {
            left: &parameters[self.weight.clone()],
            strides,
            right: block.as_flattened(),
            panel: 0,
            rows,
            columns: IMAGES,
            into_product: 0,
            into_row: IMAGES,
            add: false,
        }
    }

    /// Writes the gradient from all blocks' inputs, [inputs + 1] each, and that of the outputs in
    /// panels, [panel][image]; `columns` outputs at a time.
    pub fn gather(
        &self,
        isa: Isa,
        inputs: &[Lanes],
        d_output: &[f32],
        columns: usize,
        gradient: &mut [f32],
    ) {
        let terms = self.inputs + 1;
        let blocks = inputs.len() / terms;
        let panel = blocks * IMAGES * PANEL;
        let product = Product {
            left: inputs.as_flattened(),
            strides: BY_IMAGE,
            right: d_output,
            panel,
            rows: terms,
            columns,
            into_product: columns,
            into_row: self.outputs,
            add: false,
        };
        let from = |column: usize| {
            let segment = |block: usize| Segment {
                left: block * terms * IMAGES,
                right: column / PANEL * panel + block * IMAGES * PANEL,
                length: IMAGES,
            };
            (0..blocks).map(segment).collect()
        };
        let lists: Vec<Vec<Segment>> = (0..self.outputs).step_by(columns).map(from).collect();
        product.compute(isa, &lists, &mut gradient[self.weight.clone()]);
    }
}

/// Batch normalisation over one batch.
#[derive(Debug)]
pub struct Norm {
    /// Weight, bias, running mean and running variance.
    places: [Range<usize>; 4],
    /// What sums are taken of the gap to, and whether they are this batch's.
    centres: Vec<f32>,
    centred: bool,
    affine: Vec<Affine>,
    backward: Vec<Backward>,
    /// 1/√(variance + ε)
    inverse: Vec<f64>,
    count: f64,
    sums: [Vec<Lanes>; 2],
}

/// Their sum, taken in f64 in order.
pub fn total(lanes: &[f32]) -> f64 {
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}

impl Norm {
    /// With its weight, bias, running mean and running variance there among all parameters.
    pub fn new(places: [Range<usize>; 4]) -> Self {
        let channels = places[0].len();
        Self {
            places,
            centres: vec![0.0; channels],
            centred: false,
            affine: vec![Affine::default(); channels],
            backward: vec![Backward::default(); channels],
            inverse: vec![0.0; channels],
            count: 0.0,
            sums: [(); 2].map(|()| vec![[0.0; IMAGES]; channels]),
        }
    }

    /// Forgets what was added up.
    pub fn clear(&mut self) {
        self.sums.iter_mut().for_each(|sums| sums.fill([0.0; IMAGES]));
        self.centred = false;
    }

    /// Adds some pixels of the values to be normalised; the first ones' means are what gaps are
    /// taken to.
    pub fn take(&mut self, isa: Isa, pixels: &[Lanes], mask: &Mask) {
        let block = Images { lanes: pixels, mask };
        let [plain, products] = &mut self.sums;
        if !self.centred {
            let channels = self.centres.len();
            self.centres.fill(0.0);
            let sums = Sums { plain: &mut *plain, products: &mut *products };
            kernels::add_moments(isa, block, &self.centres, sums);
            let images = mask.iter().filter(|&&lane| lane != 0).count();
            let count = (pixels.len() / channels * images) as f64;
            for (centre, sum) in self.centres.iter_mut().zip(plain.iter()) {
                *centre = (total(sum) / count) as f32;
            }
            plain.fill([0.0; IMAGES]);
            products.fill([0.0; IMAGES]);
            self.centred = true;
        }
        kernels::add_moments(isa, block, &self.centres, Sums { plain, products });
    }

    /// After all blocks of a batch with so many values a channel: its statistics, and the running
    /// ones moved.
    pub fn settle(&mut self, count: usize, parameters: &mut [f32]) {
        self.count = count as f64;
        for channel in 0..self.centres.len() {
            let [sum, square] =
                [0, 1].map(|moment| total(&self.sums[moment][channel]) / self.count);
            let mean = f64::from(self.centres[channel]) + sum;
            let variance = square - sum * sum;
            let unbiased = variance * (self.count / (self.count - 1.0));
            let [weight, bias, running_mean, running_variance] =
                self.places.each_ref().map(|place| place.start + channel);
            for (place, value) in [(running_mean, mean), (running_variance, unbiased)] {
                let running = f64::from(parameters[place]);
                parameters[place] = (running + MOMENTUM * (value - running)) as f32;
            }
            self.inverse[channel] = 1.0 / (variance + EPSILON).sqrt();
            let scale = (self.inverse[channel] * f64::from(parameters[weight])) as f32;
            self.affine[channel] = Affine { mean: mean as f32, scale, bias: parameters[bias] };
        }
        self.clear();
    }

    /// Normalises some pixels, then ReLU.
    pub fn normalise(&self, isa: Isa, block: &[Lanes], mask: &Mask, into: &mut [Lanes]) {
        kernels::normalise(isa, Images { lanes: block, mask }, &self.affine, into);
    }

    /// Takes the gradient of some pixels back through ReLU.
    pub fn through_relu(&mut self, isa: Isa, gradient: &mut [Lanes], block: &[Lanes]) {
        let [plain, products] = &mut self.sums;
        kernels::through_relu(isa, gradient, block, &self.affine, Sums { plain, products });
    }

    /// After all blocks' `through_relu`: the gradient with respect to weight and bias, and what `backward`
    /// needs.
    pub fn file(&mut self, gradient: &mut [f32]) {
        for channel in 0..self.centres.len() {
            let [sum, product] = [0, 1].map(|moment| total(&self.sums[moment][channel]));
            let inverse = self.inverse[channel];
            let [weight, bias, running_mean, running_variance] =
                self.places.each_ref().map(|place| place.start + channel);
            gradient[weight] = (product * inverse) as f32;
            gradient[bias] = sum as f32;
            gradient[running_mean] = 0.0;
            gradient[running_variance] = 0.0;
            // weight/σ · (g − mean(g) − x̂ · mean(g x̂)), x̂ = centred/σ
            let Affine { mean, scale, .. } = self.affine[channel];
            let share = f64::from(scale) / self.count;
            let along = (-share * product * inverse * inverse) as f32;
            self.backward[channel] =
                Backward { mean, along, scale, constant: (-share * sum) as f32 };
        }
        self.clear();
    }

    /// The gradient with respect to a block of the values that were normalised.
    pub fn backward(&self, isa: Isa, gradient: &[Lanes], block: Images, into: &mut [Lanes]) {
        kernels::through_norm(isa, gradient, block, &self.backward, into);
    }
}

/// The transposes of squares of lanes, [column][image] → [panel][image][column], a panel every so
/// many numbers.
pub fn turn(isa: Isa, columns: &[Lanes], into: &mut [f32], panel: usize) {
    assert!(columns.len().is_multiple_of(PANEL));
    let size = [PANEL, IMAGES];
    for (square, into) in columns.chunks_exact(PANEL).zip(into.chunks_mut(panel)) {
        kernels::transpose(isa, square.as_flattened(), into, size, [IMAGES, PANEL]);
    }
}
