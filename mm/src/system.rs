//! The kernel half of every address space: built once at boot, copied into each new process's top table.

use crate::pfn::{PfnDatabase, PfnFlags};
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr, VirtAddr};
use vadose_facts::ntdef::Edition;
use vadose_facts::x86::{EntryBits, EntryRights, PagingMode, PhysicalMemory};

/// What the boot built.
#[derive(Clone, Debug)]
pub(crate) struct System {
    /// The system's own top table; processes copy its kernel entries.
    pub(crate) root: PhysAddr,
    /// The frame of `KUSER_SHARED_DATA`.
    pub(crate) shared_data: Pfn,
    /// The frame of the processor's tables.
    pub(crate) processor: Pfn,
    /// Where the page tables appear.
    pub(crate) self_map: VirtAddr,
}

/// The tables whose kernel entries every process has a copy of, with the index of the first such entry: one top table,
/// or with PAE the two page directories of the upper half.
pub(crate) fn kernel_tables(mode: PagingMode) -> &'static [(usize, u64)] {
    match mode {
        PagingMode::Legacy => &[(0, 512)],
        PagingMode::Pae => &[(2, 0), (3, 0)],
        PagingMode::Long4 | PagingMode::Long5 => &[(0, 256)],
    }
}

/// Bits of a kernel table's entry in its parent.
const KERNEL_TABLE: u64 = 0x63;

impl System {
    /// Builds the kernel half: self-map, `KUSER_SHARED_DATA`, the processor's page (SPEC H5, H11 to H18).
    ///
    /// # Panics
    ///
    /// If RAM has no room for it: the caller checked the size.
    pub(crate) fn boot<R: PhysicalMemory>(
        ram: &R,
        pfn: &mut PfnDatabase,
        edition: &Edition,
        self_map: VirtAddr,
    ) -> Self {
        let root = new_root(ram, edition.paging, &mut || take(pfn));
        let shared_data = take(pfn);
        let processor = take(pfn);
        let system = Self { root, shared_data, processor, self_map };
        write_self_map(ram, edition.paging, root, self_map);
        let data = EntryBits::PRESENT | EntryBits::WRITABLE | EntryBits::ACCESSED | EntryBits::DIRTY;
        let no_execute = match edition.no_execute {
            vadose_facts::x86::NoExecute::Enforced => EntryBits::NO_EXECUTE,
            vadose_facts::x86::NoExecute::Off => EntryBits::empty(),
        };
        let mut map = |va, frame: Pfn, bits: EntryBits| {
            system.map(ram, edition.paging, va, frame.base().raw() | bits.bits(), &mut || take(pfn));
        };
        map(edition.system.shared_data, shared_data, data | no_execute);
        map(edition.system.processor, processor, data);
        system
    }

    /// Maps one kernel page in the system's tables, creating tables on the way. Returns the entry of a table that every
    /// process copies, if one was written there, so that the copies can follow.
    pub(crate) fn map<R: PhysicalMemory>(
        &self,
        ram: &R,
        mode: PagingMode,
        va: VirtAddr,
        leaf: u64,
        take: &mut dyn FnMut() -> Pfn,
    ) -> Option<CopiedEntry> {
        let mut table = self.root;
        let mut copied = None;
        let levels = mode.levels();
        for (depth, level) in levels.iter().enumerate() {
            let at = table.offset(level.index(va) * mode.entry_bytes());
            let entry = read_entry(ram, mode, at);
            if level.shift == 12 {
                write_entry(ram, mode, at, leaf);
                return copied;
            }
            if entry & 1 == 0 {
                let bits = if level.rights == EntryRights::None { 1 } else { KERNEL_TABLE };
                let value = take().base().raw() | bits;
                write_entry(ram, mode, at, value);
                if is_copied_level(mode, depth) {
                    copied = Some(CopiedEntry {
                        directory: directory_of(mode, va),
                        index: level.index(va),
                        value,
                    });
                }
            }
            table = frame_base(read_entry(ram, mode, at));
        }
        unreachable!("the last level ends at bit 12")
    }

    /// The entry of a kernel page that was mapped.
    ///
    /// # Panics
    ///
    /// If the page's tables do not exist.
    pub(crate) fn leaf<R: PhysicalMemory>(&self, ram: &R, mode: PagingMode, va: VirtAddr) -> PhysAddr {
        let mut table = self.root;
        for level in mode.levels() {
            let at = table.offset(level.index(va) * mode.entry_bytes());
            if level.shift == 12 {
                return at;
            }
            let entry = read_entry(ram, mode, at);
            assert!(entry & 1 != 0, "a kernel page that was mapped has tables");
            table = frame_base(entry);
        }
        unreachable!("the last level ends at bit 12")
    }
}

/// A kernel entry that stands in every process's own tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopiedEntry {
    /// Which of the process's directories: 0 for a single top table, 2 or 3 with PAE.
    pub(crate) directory: usize,
    /// Index in it.
    pub(crate) index: u64,
    /// The entry.
    pub(crate) value: u64,
}

fn is_copied_level(mode: PagingMode, depth: usize) -> bool {
    match mode {
        PagingMode::Pae => depth == 1,
        PagingMode::Legacy | PagingMode::Long4 | PagingMode::Long5 => depth == 0,
    }
}

fn directory_of(mode: PagingMode, va: VirtAddr) -> usize {
    match mode {
        PagingMode::Pae => (va.raw() >> 30) as usize,
        PagingMode::Legacy | PagingMode::Long4 | PagingMode::Long5 => 0,
    }
}

/// A new top table: one zeroed frame, and with PAE the four page directories that it points to.
pub(crate) fn new_root<R: PhysicalMemory>(
    ram: &R,
    mode: PagingMode,
    take: &mut dyn FnMut() -> Pfn,
) -> PhysAddr {
    let root = take().base();
    if mode == PagingMode::Pae {
        for index in 0..4 {
            write_entry(ram, mode, root.offset(index * 8), take().base().raw() | 1);
        }
    }
    root
}

/// The process's own directories that hold kernel entries: the top table, or the PAE page directories.
pub(crate) fn directory<R: PhysicalMemory>(
    ram: &R,
    mode: PagingMode,
    root: PhysAddr,
    number: usize,
) -> PhysAddr {
    match mode {
        PagingMode::Pae => frame_base(ram.read_u64(root.offset(number as u64 * 8))),
        PagingMode::Legacy | PagingMode::Long4 | PagingMode::Long5 => root,
    }
}

/// Copies the kernel half and sets the process's own self-map.
pub(crate) fn copy_kernel_half<R: PhysicalMemory>(
    ram: &R,
    mode: PagingMode,
    system: &System,
    root: PhysAddr,
) {
    for &(number, first) in kernel_tables(mode) {
        let from = directory(ram, mode, system.root, number);
        let to = directory(ram, mode, root, number);
        for index in first..mode.entries_per_page() {
            let offset = index * mode.entry_bytes();
            write_entry(ram, mode, to.offset(offset), read_entry(ram, mode, from.offset(offset)));
        }
    }
    write_self_map(ram, mode, root, system.self_map);
}

/// Makes the page tables appear at `self_map`: the directories map themselves (SPEC H17, H18).
fn write_self_map<R: PhysicalMemory>(ram: &R, mode: PagingMode, root: PhysAddr, self_map: VirtAddr) {
    match mode {
        PagingMode::Legacy => {
            let at = root.offset((self_map.raw() >> 22) * 4);
            write_entry(ram, mode, at, root.raw() | KERNEL_TABLE);
        }
        PagingMode::Pae => {
            let holder = directory(ram, mode, root, (self_map.raw() >> 30) as usize);
            for number in 0..4_usize {
                let own = directory(ram, mode, root, number).raw() | KERNEL_TABLE;
                write_entry(ram, mode, holder.offset(number as u64 * 8), own);
            }
        }
        PagingMode::Long4 | PagingMode::Long5 => {
            let top = mode.levels()[0];
            let at = root.offset(top.index(self_map) * 8);
            write_entry(ram, mode, at, root.raw() | KERNEL_TABLE);
        }
    }
}

#[inline]
pub(crate) fn read_entry<R: PhysicalMemory>(ram: &R, mode: PagingMode, at: PhysAddr) -> u64 {
    match mode {
        PagingMode::Legacy => u64::from(ram.read_u32(at)),
        PagingMode::Pae | PagingMode::Long4 | PagingMode::Long5 => ram.read_u64(at),
    }
}

#[inline]
pub(crate) fn write_entry<R: PhysicalMemory>(ram: &R, mode: PagingMode, at: PhysAddr, value: u64) {
    match mode {
        PagingMode::Legacy => ram.write_u32(at, u32::try_from(value).expect("a 4-byte entry")),
        PagingMode::Pae | PagingMode::Long4 | PagingMode::Long5 => ram.write_u64(at, value),
    }
}

#[inline]
pub(crate) fn frame_base(entry: u64) -> PhysAddr {
    EntryBits::frame(entry).base()
}

fn take(pfn: &mut PfnDatabase) -> Pfn {
    let frame = pfn.take_system().expect("RAM was checked to have room for the system");
    pfn.activate(frame, PhysAddr::new(0), 0, PfnFlags::empty());
    debug_assert!(frame.base().raw().is_multiple_of(PAGE_BYTES));
    frame
}
