//! Reads a mapped image through the guest's own pages, as the loader of Windows does.

use crate::claim::UserPtr;
use crate::kernel::Kernel;
use vadose_facts::addr::VirtAddr;
use vadose_facts::pe::{PeError, RvaReader};

/// An image in guest memory.
pub(super) struct ImageReader<'k, 'a> {
    pub(super) kernel: &'k mut Kernel<'a>,
    pub(super) base: VirtAddr,
}

impl RvaReader for ImageReader<'_, '_> {
    fn read_rva(&mut self, rva: u32, into: &mut [u8]) -> Result<(), PeError> {
        let at = UserPtr::new(self.base.raw()).offset(u64::from(rva));
        self.kernel.read(at, into).map_err(|bad| PeError::new(bad.status, "cannot be read in memory"))
    }
}

impl<'a> Kernel<'a> {
    pub(super) fn image_at(&mut self, base: VirtAddr) -> ImageReader<'_, 'a> {
        ImageReader { kernel: self, base }
    }
}
