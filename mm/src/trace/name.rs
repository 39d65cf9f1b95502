//! Whose page a frame holds: from the entry that owns it up to the top table of a process, or to its section.

use crate::id::ProcessId;
use crate::pfn::PfnFlags;
use crate::state::Mm;
use crate::system::directory;
use crate::verb::UNMAPPED;
use crate::{AreaId, FileId};
use vadose_facts::addr::{PAGE_SHIFT, Pfn, PhysAddr, Vpn};
use vadose_facts::x86::{PagingMode, PhysicalMemory};

/// Whose page it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageName {
    /// A private page of a process.
    Private {
        /// Whose.
        process: ProcessId,
        /// Which.
        vpn: Vpn,
    },
    /// A page table of a process.
    Table {
        /// Whose.
        process: ProcessId,
        /// The lowest page that is mapped through it.
        vpn: Vpn,
    },
    /// A page of a section, whoever maps it.
    Section {
        /// What the section is of.
        area: AreaId,
        /// The page's number in it.
        page: u32,
        /// The file of an image or of data; `None` for memory of page files.
        file: Option<FileId>,
    },
}

/// The most tables on the way from an entry to the top.
const MOST_LEVELS: usize = 5;

impl<R: PhysicalMemory> Mm<R> {
    /// The page in a frame, if an entry owns it.
    pub(crate) fn page_name(&self, pfn: Pfn) -> Option<PageName> {
        let entry = self.pfn.get(pfn);
        if entry.pte == UNMAPPED || entry.flags.intersects(PfnFlags::PHYSICAL | PfnFlags::LARGE) {
            return None;
        }
        if entry.flags.contains(PfnFlags::PROTOTYPE) {
            return self.areas.iter().find_map(|(id, area)| {
                let page = area.page_of_prototype(entry.pte)?;
                Some(PageName::Section { area: id, page, file: area.file() })
            });
        }
        let (process, vpn) = self.mapped_by(entry.pte)?;
        Some(if entry.flags.contains(PfnFlags::PAGE_TABLE) {
            PageName::Table { process, vpn }
        } else {
            PageName::Private { process, vpn }
        })
    }

    /// The process that an entry of its tables belongs to, and the lowest page that is mapped through it.
    pub(crate) fn mapped_by(&self, entry: PhysAddr) -> Option<(ProcessId, Vpn)> {
        let bytes = self.edition.paging.entry_bytes();
        let (mut indices, mut at) = (Vec::new(), entry);
        while indices.len() < MOST_LEVELS {
            indices.push(at.frame_offset() / bytes);
            let table = at.pfn().base();
            if let Some((process, above)) = self.root_above(table) {
                indices.extend(above);
                let levels = self.edition.paging.levels();
                let parts = indices
                    .iter()
                    .rev()
                    .zip(levels)
                    .map(|(index, level)| index << (level.shift - PAGE_SHIFT));
                return Some((process, Vpn::new(parts.sum())));
            }
            at = self.pfn.get(table.pfn()).pte;
            if at == UNMAPPED {
                return None;
            }
        }
        None
    }

    /// The process whose top table is in a frame, or with PAE one of its page directories.
    pub(crate) fn top_table_of(&self, pfn: Pfn) -> Option<ProcessId> {
        let own = self.processes.iter().find(|(_, process)| process.root.pfn() == pfn);
        own.map(|(id, _)| id).or_else(|| self.root_above(pfn.base()).map(|(id, _)| id))
    }

    /// The process whose top table this is; with PAE a page directory, and which of the four.
    fn root_above(&self, table: PhysAddr) -> Option<(ProcessId, Option<u64>)> {
        let mode = self.edition.paging;
        self.processes.iter().find_map(|(id, process)| match mode {
            PagingMode::Pae => {
                let number =
                    (0..4).find(|number| directory(&self.ram, mode, process.root, *number) == table)?;
                Some((id, Some(number as u64)))
            }
            PagingMode::Legacy | PagingMode::Long4 | PagingMode::Long5 => {
                (process.root == table).then_some((id, None))
            }
        })
    }
}
