//! Questions about a working set as Win32 functions, in kernel32 and under their old names in psapi (SPEC D30 to D35).

use super::counters::{get_performance_info, get_process_memory_info};
use super::working_set::empty;
use crate::executive::{working_set_attributes, working_set_list};
use crate::service::{Answer, Arg, Call, Dll, Export};

use Arg::{U32, Word};

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("K32QueryWorkingSet", &[Word, Word, U32], query_list).set("core-psapi").since(6, 1),
    Export::system("K32QueryWorkingSetEx", &[Word, Word, U32], query_attributes)
        .set("core-psapi")
        .since(6, 1),
    Export::system("QueryWorkingSet", &[Word, Word, U32], query_list).only_in(Dll::Psapi),
    Export::system("QueryWorkingSetEx", &[Word, Word, U32], query_attributes).only_in(Dll::Psapi).since(6, 0),
    Export::system("EmptyWorkingSet", &[Word], empty).only_in(Dll::Psapi),
    Export::system("GetProcessMemoryInfo", &[Word, Word, U32], get_process_memory_info).only_in(Dll::Psapi),
    Export::system("GetPerformanceInfo", &[Word, U32], get_performance_info).only_in(Dll::Psapi),
];

/// `QueryWorkingSet(process, *list, bytes)`.
fn query_list(call: &mut Call<'_>) -> Answer {
    let (process, buffer, length) = (call.handle(0), call.ptr(1), u64::from(call.u32(2)));
    working_set_list(call, process, buffer, length)?;
    Ok(1)
}

/// `QueryWorkingSetEx(process, *entries, bytes)`.
fn query_attributes(call: &mut Call<'_>) -> Answer {
    let (process, buffer, length) = (call.handle(0), call.ptr(1), u64::from(call.u32(2)));
    working_set_attributes(call, process, buffer, length)?;
    Ok(1)
}
