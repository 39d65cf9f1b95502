//! Failing transfers of page files: decided where pages move, told of where it is known what the guest was doing.

use super::inject::MAX_LISTED_FAILURES;
use super::plan::{FailKind, FailPlan};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::NtStatus;
use vadose_mm::{PagingTransfer, TransferDirection};

/// What a transfer that was ordered to fail ends with.
const REFUSAL: NtStatus = NtStatus::IO_DEVICE_ERROR;

/// The orders for page files, and what was made of them.
#[derive(Debug, Default)]
pub struct PageOrders {
    plan: FailPlan,
    failed: u64,
    untold: Vec<PageFailure>,
}

/// A transfer that failed because it was ordered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFailure {
    /// A read or a write.
    pub kind: FailKind,
    /// Which transfer of its kind it was, from 1 on.
    pub number: u64,
    /// What it failed with.
    pub status: NtStatus,
    /// The page file and where in it: `page file 1 at 0x4000`.
    pub subject: String,
}

impl PageOrders {
    /// These orders, of which nothing has come yet.
    pub(crate) fn new(plan: FailPlan) -> Self {
        Self { plan, ..Self::default() }
    }

    /// The rules, with what was counted.
    pub const fn plan(&self) -> &FailPlan {
        &self.plan
    }

    /// How many transfers failed.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// Counts a transfer; a status if it is to fail.
    pub(crate) fn judge(&mut self, transfer: &PagingTransfer) -> Result<(), NtStatus> {
        let kind = match transfer.direction {
            TransferDirection::Read => FailKind::PagefileRead,
            TransferDirection::Write => FailKind::PagefileWrite,
        };
        if !self.plan.should_fail(kind) {
            return Ok(());
        }
        self.failed += 1;
        if self.untold.len() < MAX_LISTED_FAILURES {
            // The memory manager counts page files from 0 and the pages of each from 1.
            let at = (u64::from(transfer.first_page) - 1) * PAGE_BYTES;
            let subject = format!("page file {} at {at:#x}", u32::from(transfer.file) + 1);
            let number = self.plan.asked(kind);
            self.untold.push(PageFailure { kind, number, status: REFUSAL, subject });
        }
        Err(REFUSAL)
    }

    /// Failures since this was asked last.
    pub(crate) fn take_untold(&mut self) -> Vec<PageFailure> {
        std::mem::take(&mut self.untold)
    }
}
