//! The steps at an input's end.

use vadose_facts::x86::Access;

/// Most steps of one input: what takes more is found by shorter inputs too.
const MAX_STEPS: usize = 85;

/// Bytes of one step.
const STEP_BYTES: usize = 3;

/// The part of an input that says what happens.
pub(super) struct Script<'a> {
    bytes: &'a [u8],
    /// A free choice, for the edition.
    pub(super) choice: u8,
}

/// One step. Pages and addresses are raw numbers, to be wrapped into what there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// 0 or 1.
    pub(super) process: usize,
    /// A number to pick a page by.
    pub(super) page: u8,
    /// A free number: an offset, a byte, a protection.
    pub(super) detail: u8,
    pub(super) verb: Verb,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Touch(Access),
    /// A touch whose file reads fail.
    TouchBroken(Access),
    /// A touch that leaves its read under way.
    TouchAndLeave(Access),
    /// Ends the oldest read under way, well or badly.
    EndRead(Ending),
    Protect,
    Map,
    MapAt,
    Unmap,
    CloseSection,
    /// Ends the process and starts another in its place.
    Restart,
}

/// How a read ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Well,
    Badly,
}

impl<'a> Script<'a> {
    /// Cuts an input into the file and its script.
    pub(super) fn split(data: &'a [u8]) -> (&'a [u8], Self) {
        let Some((&count, rest)) = data.split_last() else { return (data, Self { bytes: &[], choice: 0 }) };
        let steps = usize::from(count).min(MAX_STEPS).min(rest.len() / STEP_BYTES);
        let (file, bytes) = rest.split_at(rest.len() - steps * STEP_BYTES);
        (file, Self { bytes, choice: bytes.first().map_or(count, |first| first >> 6) })
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = Step> {
        self.bytes.chunks_exact(STEP_BYTES).map(Step::decode)
    }
}

impl Step {
    fn decode(bytes: &[u8]) -> Self {
        let [what, page, detail] = bytes else { panic!("a step has three bytes") };
        Self {
            process: usize::from(what >> 5 & 1),
            page: *page,
            detail: *detail,
            verb: Verb::of(what & 0x1f),
        }
    }
}

impl Verb {
    fn of(number: u8) -> Self {
        match number {
            0 | 1 => Self::Touch(Access::Read),
            2 | 3 => Self::Touch(Access::Write),
            4 => Self::Touch(Access::Execute),
            5 => Self::TouchBroken(Access::Read),
            6 => Self::TouchBroken(Access::Write),
            7 => Self::TouchAndLeave(Access::Read),
            8 => Self::TouchAndLeave(Access::Write),
            9 => Self::EndRead(Ending::Well),
            10 => Self::EndRead(Ending::Badly),
            11 => Self::Protect,
            12 => Self::Map,
            13 => Self::MapAt,
            14 => Self::Unmap,
            15 => Self::CloseSection,
            16 => Self::Restart,
            // Touching is what most steps are for.
            other if other % 2 == 0 => Self::Touch(Access::Read),
            _ => Self::Touch(Access::Write),
        }
    }
}
