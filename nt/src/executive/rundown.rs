//! The end of a process, at whatever moment: what it has goes back to the memory manager and to the host.

use super::process::{Ending, ProcessState};
use super::{Object, ObjectId};
use crate::kernel::Kernel;

impl Kernel<'_> {
    /// Takes from a process all that it has: its threads, its address space, its images, and its handles. What it stored
    /// to views of files reaches them (SPEC F46), and whoever waits for its end goes on. Its threads may be anywhere; none
    /// of them runs again.
    ///
    /// # Panics
    ///
    /// If there is no such process.
    pub fn end_process(&mut self, pid: u32) {
        self.attached(pid, |kernel| {
            let process = kernel.nt.process_mut();
            match process.state {
                ProcessState::Ended => return,
                ProcessState::Ending => kernel.nt.ending -= 1,
                ProcessState::Running => {}
            }
            kernel.take_apart(pid);
        });
    }

    fn take_apart(&mut self, pid: u32) {
        let process = self.nt.process();
        let (id, code) = (process.id, process.ending.as_ref().map_or(0, Ending::exit_code));
        let threads: Vec<u32> = self.nt.threads.living_of(pid).map(|thread| thread.tid).collect();
        for tid in threads {
            self.stop_thread(tid, code);
        }
        self.write_file_pages();
        self.write_mapped_files();
        let unmapped = self.mm.end_process(id);
        self.settle_unmapped(unmapped);
        for section in
            std::mem::take(&mut self.nt.process_mut().modules).iter().filter_map(|module| module.section)
        {
            self.drop_image_section(section);
        }
        self.close_all_handles();
        self.leave_job(pid);
        self.forget_unmapped_files();
        let process = self.nt.process_mut();
        process.state = ProcessState::Ended;
        let object = process.object;
        self.object_signalled(object);
        self.release_object(object);
    }

    fn close_all_handles(&mut self) {
        let open = self.nt.process().handles.iter().map(|(_, id, ..)| id);
        let is_job = |id: &ObjectId| matches!(self.nt.objects.get(*id), Object::Job(_));
        let mut jobs: Vec<ObjectId> = open.filter(is_job).collect();
        for (object, gone) in self.nt.handles_mut().remove_all() {
            jobs.retain(|job| *job != object);
            self.object_is_gone(object, gone);
        }
        for job in jobs {
            self.handle_to_job_closed(job);
        }
    }
}
