//! The blocks every process has: PEB, TEB, process parameters, environment, stack and default heap.

use super::error::LoadError;
use super::places::spare_places;
use super::pool::READ_WRITE;
use super::start::StartOptions;
use crate::claim::{BadPointer, UserPtr};
use crate::executive::{Object, RegionUse, StackSizes, Thread};
use crate::host::Console;
use crate::kernel::Kernel;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Aslr, Bitness, FreeType, NtStatus, Randomization};
use vadose_facts::pe::{PeImage, Reserve, Subsystem};
use vadose_mm::AllocateRequest;

/// Where PEB and TEBs are on x86 from Windows XP to 7 (SPEC H8).
const CLASSIC_ENVIRONMENT: u64 = 0x7ffd_0000;
/// The end of that allocation unit: without randomisation the PEB is in the last page, and the first TEB below it.
const CLASSIC_END: u64 = CLASSIC_ENVIRONMENT + GRANULARITY_BYTES;
/// `PAGE_READWRITE | PAGE_GUARD`.
const GUARD: u32 = READ_WRITE | 0x100;
/// Heap of a program whose header asks for none.
const DEFAULT_RESERVE_BYTES: u64 = 1 << 20;
/// Access of console handles: `GENERIC_READ | GENERIC_WRITE` as a console grants them.
const CONSOLE_ACCESS: u32 = 0x0012_019f;
/// Offset of the PEB's bit field, and `IsImageDynamicallyRelocated` in it up to Windows 7, whose public layout is used
/// throughout.
const PEB_BIT_FIELD: u64 = 3;
const DYNAMICALLY_RELOCATED: u8 = 1 << 3;
/// Where DLLs are looked for after the program's folder.
const SYSTEM_SEARCH: &str = "C:\\Windows\\System32;C:\\Windows\\System;C:\\Windows;.";
/// Bytes of the text buffer in a TEB.
const STATIC_BUFFER_BYTES: u16 = 522;
/// The pointers in the process parameters are pointers.
const PARAMETERS_NORMALIZED: u32 = 1;

/// A stack's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackMemory {
    /// Its lowest byte.
    pub(crate) base: VirtAddr,
    /// Its lowest committed byte that is not guarded.
    pub(crate) limit: VirtAddr,
    /// The first byte above it.
    pub(crate) top: VirtAddr,
}

impl Kernel<'_> {
    /// Places PEB and TEB (SPEC H8) and makes the first thread.
    pub(crate) fn make_environment_blocks(&mut self) -> Result<(), LoadError> {
        let memory = |status| LoadError::memory("PEB and TEB", status);
        let edition = self.nt.edition;
        let (peb_bytes, teb_bytes) = (self.peb_bytes(), self.teb_bytes());
        let classic = edition.bitness == Bitness::Bits32 && edition.version.major < 8;
        let (peb, teb) = if classic && !self.is_on_wine() {
            assert!(teb_bytes == PAGE_BYTES, "32-bit TEBs have a page");
            let base = VirtAddr::new(CLASSIC_ENVIRONMENT);
            let peb = VirtAddr::new(CLASSIC_END - self.peb_pages_below_end() * PAGE_BYTES);
            let highest = VirtAddr::new(CLASSIC_END - PAGE_BYTES);
            let teb = if peb == highest { VirtAddr::new(peb.raw() - PAGE_BYTES) } else { highest };
            self.private_memory_at(Some(base), GRANULARITY_BYTES, AllocationType::RESERVE).map_err(memory)?;
            for block in [peb, teb] {
                self.private_memory_at(Some(block), PAGE_BYTES, AllocationType::COMMIT).map_err(memory)?;
            }
            let process = self.nt.process_mut();
            process.uses.push((base, RegionUse::PebAndTeb));
            // Later threads' blocks go to the highest place that is left.
            process.spare_tebs = spare_places(base, GRANULARITY_BYTES, [peb, teb]);
            (peb, teb)
        } else {
            let peb = self.private_memory(peb_bytes, RegionUse::Peb).map_err(memory)?;
            let teb = self.private_memory(teb_bytes, RegionUse::Teb).map_err(memory)?;
            (peb.address(), teb.address())
        };
        let process = self.nt.process_mut();
        process.peb = peb;
        let (tid, pid) = (self.nt.next_id(), self.nt.process().pid);
        let object = self.nt.objects.create(Object::Thread(tid));
        let mut thread = Thread::new(tid, pid, object);
        thread.lifetime.0 = self.nt.process().lifetime.0;
        thread.teb = teb;
        self.nt.threads.insert(thread);
        self.nt.threads.set_current(tid);
        Ok(())
    }

    /// Makes the first thread's stack and fills its environment block.
    pub(crate) fn make_stack(&mut self, header: Reserve) -> Result<(), LoadError> {
        let memory = |status| LoadError::memory("the stack", status);
        let wanted = StackSizes { reserve: header.reserve, commit: header.commit };
        let sizes = wanted.round(wanted).ok_or_else(|| memory(NtStatus::NO_MEMORY))?;
        let (stack, later) = self.make_thread_stack(sizes).map_err(memory)?;
        let (tid, teb) = (self.thread().tid, self.thread().teb);
        let thread = self.nt.current_thread_mut();
        (thread.stack, thread.stack_limit_later) = (Some(stack.base), later);
        self.write_teb(tid, teb, VirtAddr::new(0), stack).map_err(|bad| memory(bad.status))
    }

    /// Makes a stack (SPEC E16): one reservation, committed at the top, a guard page below that. Nothing is left of one
    /// that fails.
    pub(crate) fn make_stack_memory(&mut self, sizes: StackSizes) -> Result<StackMemory, NtStatus> {
        self.make_stack_memory_within(sizes, 0)
    }

    /// The same in a part of the address space (SPEC E25).
    pub(crate) fn make_stack_memory_within(
        &mut self,
        sizes: StackSizes,
        zero_bits: u64,
    ) -> Result<StackMemory, NtStatus> {
        let base = self.reserve_scattered(sizes.reserve, zero_bits, READ_WRITE)?;
        self.nt.process_mut().uses.push((base, RegionUse::Stack));
        let top = VirtAddr::new(base.raw() + sizes.reserve);
        let limit = VirtAddr::new(top.raw() - sizes.commit);
        let guard = AllocateRequest {
            base: limit.checked_sub(PAGE_BYTES),
            size: PAGE_BYTES,
            zero_bits: 0,
            kind: AllocationType::COMMIT,
            protection: GUARD,
        };
        let committed = self
            .private_memory_at(Some(limit), sizes.commit, AllocationType::COMMIT)
            .and_then(|_| self.allocate(guard));
        committed.inspect_err(|_| self.free_memory(base))?;
        Ok(StackMemory { base, limit, top })
    }

    /// Makes a zeroed environment block for a further thread.
    pub(crate) fn make_teb(&mut self) -> Result<VirtAddr, NtStatus> {
        let bytes = self.teb_bytes();
        let Some(place) = self.nt.process().spare_tebs.last().copied() else {
            return self.private_memory(bytes, RegionUse::Teb).map(UserPtr::address);
        };
        self.private_memory_at(Some(place), bytes, AllocationType::COMMIT)?;
        self.nt.process_mut().spare_tebs.pop();
        Ok(place)
    }

    /// Gives a thread's environment block back.
    pub(crate) fn free_teb(&mut self, teb: VirtAddr) {
        let bytes = self.teb_bytes();
        let classic = self.nt.process().use_of(VirtAddr::new(CLASSIC_ENVIRONMENT));
        let has_place = (CLASSIC_ENVIRONMENT..CLASSIC_END).contains(&teb.raw());
        if classic == Some(RegionUse::PebAndTeb) && has_place {
            let _gone = self.free(teb, bytes, FreeType::DECOMMIT);
            self.nt.process_mut().spare_tebs.push(teb);
        } else {
            self.free_memory(teb);
        }
    }

    /// Fills a thread's environment block.
    pub(crate) fn write_teb(
        &mut self,
        tid: u32,
        teb: VirtAddr,
        tls_array: VirtAddr,
        stack: StackMemory,
    ) -> Result<(), BadPointer> {
        let layout = self.nt.layouts().teb;
        let process_id = self.nt.process().pid;
        let peb = self.nt.process().peb.raw();
        let at = |offset: u32| UserPtr::new(teb.raw()).offset(u64::from(offset));
        let end_of_chain = match self.nt.edition.bitness {
            Bitness::Bits32 => u64::from(u32::MAX),
            Bitness::Bits64 => 0,
        };
        for (field, value) in [
            (layout.exception_list, end_of_chain),
            (layout.stack_base, stack.top.raw()),
            (layout.stack_limit, stack.limit.raw()),
            (layout.self_pointer, teb.raw()),
            (layout.process_id, u64::from(process_id)),
            (layout.thread_id, u64::from(tid)),
            (layout.tls_pointer, tls_array.raw()),
            (layout.peb, peb),
            (layout.deallocation_stack, stack.base.raw()),
            (layout.system_call, self.nt.process().system_call.raw()),
        ] {
            self.write_word(at(field), value)?;
        }
        let buffer = at(layout.static_unicode_buffer);
        self.write_u16(at(layout.static_unicode_string).offset(2), STATIC_BUFFER_BYTES)?;
        self.write_word(at(layout.static_unicode_string).offset(self.pointer_bytes()), buffer.raw())?;
        self.write_wine_teb(teb)?;
        self.write_u32(at(layout.current_locale), 0x409)
    }

    /// The default heap's first region (SPEC K1, K11): reserved and committed as the header asks.
    pub(super) fn make_heap(&mut self, sizes: Reserve) -> Result<(), LoadError> {
        let memory = |status| LoadError::memory("the process heap", status);
        let reserve = if sizes.reserve == 0 { DEFAULT_RESERVE_BYTES } else { sizes.reserve };
        let commit = sizes.commit.clamp(PAGE_BYTES, reserve.max(PAGE_BYTES));
        let base = self.reserve_heap(reserve).map_err(memory)?;
        self.private_memory_at(Some(base), commit, AllocationType::COMMIT).map_err(memory)?;
        let process = self.nt.process_mut();
        process.uses.push((base, RegionUse::ProcessHeap));
        process.heap = base;
        Ok(())
    }

    /// The process parameters and the environment block, and the handles of the console.
    pub(crate) fn make_parameters(&mut self, options: &StartOptions) -> Result<(), LoadError> {
        let environment = self.make_environment(options);
        let done = environment.and_then(|environment| self.write_parameters(options, environment));
        done.map_err(|status| LoadError::memory("the process parameters", status))
    }

    fn make_environment(&mut self, options: &StartOptions) -> Result<(UserPtr, u64), NtStatus> {
        let mut block: Vec<u16> = Vec::new();
        for (name, value) in &options.environment {
            block.extend(format!("{name}={value}").encode_utf16().chain([0]));
        }
        block.extend(if block.is_empty() { vec![0, 0] } else { vec![0] });
        let bytes = block.len() as u64 * 2;
        let at = self.private_memory(bytes, RegionUse::Environment)?;
        self.write_wide(at, &block).map_err(|bad| bad.status)?;
        Ok((at, bytes))
    }

    fn write_parameters(
        &mut self,
        options: &StartOptions,
        environment: (UserPtr, u64),
    ) -> Result<(), NtStatus> {
        let layout = self.nt.layouts().parameters;
        let folder = format!("{}\\", options.current_directory.as_str().trim_end_matches('\\'));
        let program = options.program.as_str();
        let own = options.program.parent().to_string();
        // A loader of the guest's own looks in the folders that it is told, and nowhere else.
        let search = if self.nt.folder.is_some() { format!("{own};{SYSTEM_SEARCH}") } else { own };
        let texts = [
            (layout.current_directory, folder.as_str()),
            (layout.dll_path, search.as_str()),
            (layout.image_path, program),
            (layout.command_line, options.command_line.as_str()),
            (layout.window_title, program),
            (layout.desktop, "WinSta0\\Default"),
        ];
        let units: usize = texts.iter().map(|(_, text)| text.encode_utf16().count() + 1).sum();
        let bytes = u64::from(layout.size) + units as u64 * 2;
        let at = self.private_memory(bytes, RegionUse::ProcessParameters)?;
        let mut place = at.offset(u64::from(layout.size));
        for (field, text) in texts {
            let text: Vec<u16> = text.encode_utf16().chain([0]).collect();
            self.write_wide(place, &text).map_err(|bad| bad.status)?;
            let bytes = u16::try_from((text.len() - 1) * 2).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
            self.write_unicode_string(at.offset(u64::from(field)), place, bytes)?;
            place = place.offset(text.len() as u64 * 2);
        }
        self.nt.process_mut().parameters = at.address();
        let standard = options.parent.as_ref().and_then(|parent| parent.standard);
        self.write_parameter_numbers(at, bytes, environment, standard).map_err(|bad| bad.status)
    }

    fn write_parameter_numbers(
        &mut self,
        at: UserPtr,
        bytes: u64,
        environment: (UserPtr, u64),
        standard: Option<[u64; 3]>,
    ) -> Result<(), BadPointer> {
        let layout = self.nt.layouts().parameters;
        let field = |offset: u32| at.offset(u64::from(offset));
        self.write_u32(field(layout.maximum_length), bytes as u32)?;
        self.write_u32(field(layout.length), bytes as u32)?;
        self.write_u32(field(layout.flags), PARAMETERS_NORMALIZED)?;
        self.write_word(field(layout.environment), environment.0.raw())?;
        if self.nt.edition.version.major >= 6 || self.is_on_wine() {
            self.write_word(field(layout.environment_size), environment.1)?;
        }
        let streams = [
            (layout.standard_input, Console::Input),
            (layout.standard_output, Console::Output),
            (layout.standard_error, Console::Error),
        ];
        for (index, (place, stream)) in streams.into_iter().enumerate() {
            let handle = match standard {
                Some(chosen) => chosen[index],
                None => {
                    let handle = self.nt.handles_mut().insert(Object::Console(stream), CONSOLE_ACCESS);
                    handle.expect("a new table has room").raw()
                }
            };
            self.write_word(field(place), handle)?;
        }
        Ok(())
    }

    /// Fills the PEB, when the rest is in its place.
    pub(crate) fn write_peb(&mut self, image: &PeImage) -> Result<(), LoadError> {
        let layout = self.nt.layouts().peb;
        let process = self.nt.process();
        let at = UserPtr::new(process.peb.raw());
        let version = self.nt.edition.version;
        let words = [
            (layout.image_base, process.program().base.raw()),
            (layout.process_parameters, process.parameters.raw()),
            (layout.process_heap, process.heap.raw()),
            (layout.heap_segment_reserve, 0x10_0000),
            (layout.heap_segment_commit, 0x2000),
            (layout.heap_decommit_total, 0x1_0000),
            (layout.heap_decommit_block, 0x1000),
            (layout.affinity_mask, 1),
        ];
        let (subsystem, needs) = (subsystem_number(image.subsystem()), image.subsystem_version());
        let numbers = [
            (layout.number_of_processors, 1),
            (layout.number_of_heaps, 1),
            (layout.os_major, version.major),
            (layout.os_minor, version.minor),
            (layout.os_build, version.build & 0xffff | u32::from(version.service_pack) << 24),
            (layout.os_platform, 2),
            (layout.image_subsystem, subsystem),
            (layout.image_subsystem_major, u32::from(needs.major)),
            (layout.image_subsystem_minor, u32::from(needs.minor)),
            (layout.session_id, 1),
        ];
        let moved = self.mm.aslr() != Aslr::Off
            && self.nt.edition.randomization != Randomization::Environment
            && image.is_moved_by_kernel();
        let bits = if moved { DYNAMICALLY_RELOCATED } else { 0 };
        let mut write = || {
            self.write(at.offset(PEB_BIT_FIELD), &[bits])?;
            for (field, value) in words {
                self.write_word(at.offset(u64::from(field)), value)?;
            }
            for (field, value) in numbers {
                self.write_u32(at.offset(u64::from(field)), value)?;
            }
            Ok(())
        };
        write().map_err(|bad: BadPointer| LoadError::memory("the PEB", bad.status))
    }
}

fn subsystem_number(subsystem: Subsystem) -> u32 {
    u32::from(subsystem.raw())
}
