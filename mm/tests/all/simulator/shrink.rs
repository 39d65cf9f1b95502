//! Cutting a run that fails down to the steps, and the arguments, that matter.

use super::report::Failure;
use super::{Mismatch, PLENTY_FRAMES, Setting};
use crate::model::Step;

/// Most runs that are tried on the way.
const MOST_TRIALS: usize = 3000;

/// The shortest run found that fails in any way.
pub(super) fn shortest(setting: Setting, steps: Vec<Step>, mismatch: Mismatch) -> Failure {
    let of = steps.len();
    let mut found = Shrinking { setting, steps, mismatch, trials: 0 };
    if found.trial(setting, found.steps.clone()) == Trial::Passed {
        // Only what all processes leave behind shows at the end: every step stays.
        return Failure { setting, drawn: setting, steps: found.steps, of, mismatch: found.mismatch };
    }
    found.trial(Setting { frames: PLENTY_FRAMES, ..setting }, found.steps.clone());
    found.leave_out();
    found.simplify();
    found.leave_out();
    let Shrinking { setting: shrunk, steps, mismatch, .. } = found;
    Failure { setting: shrunk, drawn: setting, steps, of, mismatch }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trial {
    Failed,
    Passed,
}

struct Shrinking {
    setting: Setting,
    steps: Vec<Step>,
    mismatch: Mismatch,
    trials: usize,
}

impl Shrinking {
    /// Runs other steps, and keeps them if they fail as well.
    fn trial(&mut self, setting: Setting, mut steps: Vec<Step>) -> Trial {
        self.trials += 1;
        if self.trials > MOST_TRIALS {
            return Trial::Passed;
        }
        let Err((reached, mismatch)) = setting.replay(&steps) else { return Trial::Passed };
        steps.truncate(reached + 1);
        (self.setting, self.steps, self.mismatch) = (setting, steps, mismatch);
        Trial::Failed
    }

    /// Leaves out steps, many at a time and then one by one.
    fn leave_out(&mut self) {
        let mut chunk = self.steps.len().div_ceil(2);
        while chunk > 0 {
            let mut from = 0;
            while from < self.steps.len() {
                let mut fewer = self.steps.clone();
                fewer.drain(from..(from + chunk).min(fewer.len()));
                if self.trial(self.setting, fewer) == Trial::Passed {
                    from += chunk;
                }
            }
            chunk /= 2;
        }
    }

    /// Puts plainer arguments where they fail as well.
    fn simplify(&mut self) {
        let mut at = 0;
        while at < self.steps.len() {
            let plainer = self.steps[at].plainer().into_iter().find(|plain| {
                let mut other = self.steps.clone();
                other[at] = plain.clone();
                self.trial(self.setting, other) == Trial::Failed
            });
            if plainer.is_none() {
                at += 1;
            }
        }
    }
}
