//! The steps of an input.

use vadose_facts::x86::Access;
use vadose_nt::{Arg, Number};

/// Most steps of one input: what takes more is found by shorter inputs too.
const MAX_STEPS: usize = 200;

/// A service as the script needs to know it.
pub(super) struct Shape {
    pub(super) number: Number,
    pub(super) arguments: &'static [Arg],
}

/// The part of an input that says what the guest does.
pub(super) struct Script<'a> {
    bytes: &'a [u8],
    shapes: &'a [Shape],
    native: usize,
    left: usize,
}

/// An argument, to be made when it is known where the thread's memory is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// What it is: the low half chooses, the high half varies.
    pub(super) kind: u8,
    /// Which of that.
    pub(super) detail: u8,
    /// Its width.
    pub(super) arg: Arg,
}

/// What the guest does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Calls a service; `stack` says where the arguments are claimed to be, if not where they are.
    Call { number: Number, arguments: Vec<Choice>, stack: Option<Choice> },
    /// Reads, writes or executes a byte.
    Touch { access: Access, at: Choice },
    /// Runs into an exception, by a number to choose it with.
    Exception(u8),
}

impl<'a> Script<'a> {
    /// A script over services: native ones first, as the table has them.
    pub(super) fn new(bytes: &'a [u8], shapes: &'a [Shape]) -> Self {
        let native = shapes.iter().take_while(|shape| shape.number < Number::new(0x1000)).count();
        Self { bytes, shapes, native, left: MAX_STEPS }
    }

    /// The next step, if there is one.
    pub(super) fn next(&mut self) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        let (what, which) = (self.byte()?, self.byte()?);
        let at = usize::from(which) | usize::from(what & 0x0f) << 8;
        match what >> 4 {
            // Native services are what unmodified system DLLs call.
            0..=9 => self.call(&self.shapes[at % self.native]),
            10 => self.call_elsewhere(&self.shapes[at % self.shapes.len()]),
            11 | 12 => self.call(&self.shapes[self.native + at % (self.shapes.len() - self.native)]),
            13 => {
                let access = [Access::Read, Access::Write, Access::Execute][usize::from(what) % 3];
                Some(Step::Touch { access, at: self.choice(Arg::Word)? })
            }
            14 => Some(Step::Exception(which)),
            _ => {
                let number = Number::new(u32::from(what) << 24 | at as u32);
                Some(Step::Call { number, arguments: Vec::new(), stack: None })
            }
        }
    }

    fn call(&mut self, shape: &Shape) -> Option<Step> {
        let arguments = shape.arguments.iter().map(|arg| self.choice(*arg)).collect::<Option<Vec<_>>>()?;
        Some(Step::Call { number: shape.number, arguments, stack: None })
    }

    fn call_elsewhere(&mut self, shape: &Shape) -> Option<Step> {
        Some(Step::Call { number: shape.number, arguments: Vec::new(), stack: Some(self.choice(Arg::Word)?) })
    }

    fn choice(&mut self, arg: Arg) -> Option<Choice> {
        Some(Choice { kind: self.byte()?, detail: self.byte()?, arg })
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }
}
