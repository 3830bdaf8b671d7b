//! The one door to machine code. `Isa` says which vector registers this processor has, `Register` is what
//! can be computed with them, and `kernel!` compiles a function once for each kind. What knows an
//! instruction set by name is in here, and nothing else of the program is.

mod portable;
#[cfg(all(target_arch = "x86_64", not(portable)))]
mod x86_64;

/// Defines a kernel: a function of an `Isa` and what follows `V` and its proof in the parentheses, whose
/// body is compiled for every kind of registers `V`. What the body calls must be inlined into it.
macro_rules! kernel {
    ($(
        $(#[$meta:meta])*
        $visible:vis fn $name:ident $([$($generic:tt)*] [$($given:tt)*])? (
            $v:ident, $proof:ident $(, $argument:ident: $type:ty)* $(,)?
        ) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        $visible fn $name $(<$($generic)*>)? (
            isa: $crate::kernels::Isa $(, $argument: $type)*
        ) $(-> $result)? {
            #[allow(unused_imports, reason = "a body may know its registers by `V` alone")]
            use $crate::kernels::arch::{self, Level, Register};

            #[inline(always)]
            fn body<$v: Register $(, $($generic)*)?>(
                $proof: $v::Proof $(, $argument: $type)*
            ) $(-> $result)? $body

            #[cfg(all(target_arch = "x86_64", not(portable)))]
            #[target_feature(enable = "avx2,fma")]
            fn by_8 $(<$($generic)*>)? (proof: arch::Avx2 $(, $argument: $type)*) $(-> $result)? {
                body::<arch::F32x8 $(, $($given)*)?>(proof $(, $argument)*)
            }

            #[cfg(all(target_arch = "x86_64", not(portable)))]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
            fn by_16 $(<$($generic)*>)? (
                proof: arch::Avx512 $(, $argument: $type)*
            ) $(-> $result)? {
                body::<arch::F32x16 $(, $($given)*)?>(proof $(, $argument)*)
            }

            match isa.level() {
                Level::Portable(proof) => {
                    body::<arch::Portable8 $(, $($given)*)?>(proof $(, $argument)*)
                }
                #[cfg(all(target_arch = "x86_64", not(portable)))]
                // SAFETY: the proof exists only where the processor has these instructions
                Level::Avx2(proof) => unsafe { by_8 $(::<$($given)*>)? (proof $(, $argument)*) },
                #[cfg(all(target_arch = "x86_64", not(portable)))]
                // SAFETY: the proof exists only where the processor has these instructions
                Level::Avx512(proof) => unsafe { by_16 $(::<$($given)*>)? (proof $(, $argument)*) },
            }
        }
    )*};
}
pub(super) use kernel;

pub(super) use portable::{Portable, Portable8};
#[cfg(all(target_arch = "x86_64", not(portable)))]
pub(super) use x86_64::{Avx2, Avx512, F32x8, F32x16};

/// The instructions that kernels are computed with. A value exists only on a processor that has them,
/// so whoever holds one may call any kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

/// What an `Isa` is: the proof that a processor has such registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Portable(Portable),
    #[cfg(all(target_arch = "x86_64", not(portable)))]
    Avx2(Avx2),
    #[cfg(all(target_arch = "x86_64", not(portable)))]
    Avx512(Avx512),
}

impl Isa {
    /// Finds the widest registers of this processor; portable ones, which every processor has, at least.
    pub fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", not(portable)))]
        {
            let wide = Avx512::detect().map(Level::Avx512);
            if let Some(level) = wide.or_else(|| Avx2::detect().map(Level::Avx2)) {
                return Self(level);
            }
        }
        Self(Level::Portable(Portable))
    }

    /// Whether kernels are compiled without vector instructions of their own. They then give the same
    /// bits, but libtorch is faster.
    pub fn is_portable(self) -> bool {
        matches!(self.0, Level::Portable(_))
    }

    /// f32 numbers in a register.
    pub fn lanes(self) -> usize {
        match self.0 {
            Level::Portable(_) => Portable8::LANES,
            #[cfg(all(target_arch = "x86_64", not(portable)))]
            Level::Avx2(_) => F32x8::LANES,
            #[cfg(all(target_arch = "x86_64", not(portable)))]
            Level::Avx512(_) => F32x16::LANES,
        }
    }

    /// Does some work with these instructions enabled. Loops in it are then compiled for these registers.
    pub fn run<W: Work>(self, work: W) -> W::Output {
        run_work(self, work)
    }

    /// Every instruction set that this processor has, the portable one first.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        #[cfg(all(target_arch = "x86_64", not(portable)))]
        let vectors = [Avx2::detect().map(Level::Avx2), Avx512::detect().map(Level::Avx512)];
        #[cfg(not(all(target_arch = "x86_64", not(portable))))]
        let vectors = [None; 0];
        let all = [Some(Level::Portable(Portable))].into_iter().chain(vectors);
        all.flatten().map(Self).collect()
    }

    pub(super) fn level(self) -> Level {
        self.0
    }
}

/// Work on numbers that uses no registers by name.
pub trait Work {
    type Output;

    /// Does the work. To be marked `#[inline(always)]`, with everything that it calls: a function of its
    /// own would be compiled for the registers that every processor has.
    fn run(self) -> Self::Output;
}

kernel! {
    fn run_work[W: Work][W](V, _proof, work: W) -> W::Output {
        work.run()
    }
}

/// What numbers and registers of numbers have in common: a formula that is written with it gives the
/// same bits for both.
pub(super) trait Arithmetic: Copy {
    /// This number, in every lane.
    fn like(self, value: f32) -> Self;

    fn times(self, other: Self) -> Self;

    /// self · factor + sum, rounded once.
    fn times_plus(self, factor: Self, sum: Self) -> Self;
}

impl Arithmetic for f32 {
    #[inline(always)]
    fn like(self, value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self * other
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, sum: Self) -> Self {
        self.mul_add(factor, sum)
    }
}

/// A vector register of f32. What is computed with it lane by lane has the same bits in any kind. A value
/// is made with a `Proof`, so it exists only where the processor has the register's instructions. Every
/// function is inlined, and is fast only inside a function that has these instructions enabled.
pub(super) trait Register: Arithmetic {
    /// What shows that this processor has the register.
    type Proof: Copy;
    /// Numbers in a register: 8 or 16.
    const LANES: usize;

    /// One number in every lane.
    fn splat(proof: Self::Proof, value: f32) -> Self;

    /// `LANES` numbers from `place` on.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn read(proof: Self::Proof, place: *const f32) -> Self;

    /// The first `count` of `LANES` numbers from `place` on, then zeros.
    ///
    /// # Safety
    /// They can be read; those after them are left alone.
    unsafe fn read_first(proof: Self::Proof, place: *const f32, count: usize) -> Self;

    /// Writes all lanes from `place` on.
    ///
    /// # Safety
    /// So many numbers can be written there.
    unsafe fn write(self, place: *mut f32);

    /// Writes the first `count` lanes from `place` on.
    ///
    /// # Safety
    /// So many numbers can be written there; what is after them is left alone.
    unsafe fn write_first(self, place: *mut f32, count: usize);

    fn add(self, other: Self) -> Self;

    fn minus(self, other: Self) -> Self;

    fn over(self, other: Self) -> Self;

    /// Not below −bound and not above it; NaN stays.
    fn within(self, bound: f32) -> Self;

    /// The nearest whole numbers n (the even one of two), and 2ⁿ; within ±126.
    fn whole(self) -> [Self; 2];

    /// Which lanes are not zero, a bit each.
    fn nonzero(self) -> u32;

    /// The sum of each register's lanes. Of 16 lanes the last eight are added to the first; of eight
    /// neighbours are added, then neighbouring sums, then the two that are left.
    fn sums(four: [Self; 4]) -> [f32; 4];

    /// Writes the transpose of an 8×8 square: from rows `from_stride` apart to rows `into_stride` apart.
    ///
    /// # Safety
    /// Eight numbers can be read from each row and written to each.
    unsafe fn transpose(
        proof: Self::Proof,
        from: *const f32,
        from_stride: usize,
        into: *mut f32,
        into_stride: usize,
    );

    #[inline(always)]
    fn zero(proof: Self::Proof) -> Self {
        Self::splat(proof, 0.0)
    }

    /// As many numbers as there are, at most `LANES`, then zeros.
    #[inline(always)]
    fn load(proof: Self::Proof, values: &[f32]) -> Self {
        // SAFETY: no more numbers are read than there are
        unsafe {
            match values.len() {
                length if length >= Self::LANES => Self::read(proof, values.as_ptr()),
                length => Self::read_first(proof, values.as_ptr(), length),
            }
        }
    }

    /// Writes as many lanes as there are places, at most `LANES`.
    #[inline(always)]
    fn store(self, into: &mut [f32]) {
        // SAFETY: no more lanes are written than there are places
        unsafe {
            match into.len() {
                length if length >= Self::LANES => self.write(into.as_mut_ptr()),
                length => self.write_first(into.as_mut_ptr(), length),
            }
        }
    }
}

/// Asks for the memory that holds some values before they are read. A hint, and nothing where there is no
/// instruction for it.
#[inline(always)]
pub(super) fn ask_for(values: &[f32]) {
    const LINE: usize = 64 / size_of::<f32>();
    for value in values.iter().step_by(LINE) {
        #[cfg(all(target_arch = "x86_64", not(portable)))]
        x86_64::ask_for(value);
        #[cfg(not(all(target_arch = "x86_64", not(portable))))]
        let _ = value;
    }
}
