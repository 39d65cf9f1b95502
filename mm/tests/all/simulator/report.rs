//! How a failure is told: the seed, the few steps that fail, and what each side said.

use super::{Mismatch, Setting};
use crate::model::{Image, Model, Seen, Step};
use std::fmt;

/// A run in which the memory manager and the model differ.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The machine that the steps fail on.
    pub(super) setting: Setting,
    /// The machine that the seed drew.
    pub(super) drawn: Setting,
    pub(super) steps: Vec<Step>,
    /// Steps of the run before it was cut down.
    pub(super) of: usize,
    pub(super) mismatch: Mismatch,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Setting { edition, seed, .. }, frames) = (self.drawn, self.setting.frames);
        writeln!(
            f,
            "seed {seed} fails on {} after {} steps; {} are enough",
            edition.name,
            self.of,
            self.steps.len()
        )?;
        writeln!(f, "on a machine of {frames} frames, with the answers of the model:")?;
        let words: Vec<String> = self.steps.iter().map(Step::to_string).collect();
        for (step, answer) in words.iter().zip(self.answers()) {
            writeln!(f, "    {step} -> {answer}")?;
        }
        let Mismatch { what, model, manager } = &self.mismatch;
        writeln!(
            f,
            "then they differ in: {what}\n    the model:          {model}\n    the memory manager: {manager}"
        )?;
        write!(f, "in one line: {}", words.join("; "))
    }
}

impl Failure {
    /// What the model says to each step.
    fn answers(&self) -> Vec<String> {
        let edition = self.setting.edition;
        let mut model = Model::new(edition, Image::new(edition), super::pair::PROCESSES, self.setting.frames);
        let seen = Seen { answer: String::new(), chargeable: u64::MAX, frames: u64::MAX };
        self.steps.iter().map(|step| model.step(step, &seen)).collect()
    }
}
