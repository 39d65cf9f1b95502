//! What an export of a built-in DLL is: name, arguments, where it lives, and who serves it.

use super::call::{Answer, Call};
use crate::builtin::Assembler;
use vadose_facts::ntdef::{Bitness, Edition};

/// One argument of an export, as the calling convention passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arg {
    /// A pointer, a handle, a `SIZE_T`: as wide as a pointer.
    Word,
    /// A `DWORD`, a `BOOL`, an `int`: the upper half of a 64-bit register is junk and is dropped.
    U32,
    /// A 64-bit value: takes two stack slots on x86.
    U64,
}

impl Arg {
    /// Stack slots of 4 bytes that the argument takes on x86.
    pub const fn slots32(self) -> u16 {
        match self {
            Self::Word | Self::U32 => 1,
            Self::U64 => 2,
        }
    }
}

/// A service's code in the host.
pub type Handler = fn(&mut Call<'_>) -> Answer;

/// How a handler's failure reaches the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The result is an `NTSTATUS`; a bad pointer is the status of the access.
    Native,
    /// A Win32 function over a system call: the failure value is returned and the last error set; a bad pointer is
    /// `ERROR_NOACCESS` (SPEC E10).
    System {
        /// What the function returns when it fails.
        failure: u64,
    },
    /// A Win32 function that is user-mode code in Windows: as [`Style::System`], but a bad pointer raises the access
    /// violation in the guest that the real function would have run into.
    Library {
        /// What the function returns when it fails.
        failure: u64,
    },
}

/// Who pops the arguments on x86.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// The callee: `stdcall`.
    Stdcall,
    /// The caller: `cdecl`, and every function with a variable number of arguments.
    Cdecl,
}

/// Guest code that the generated DLL carries.
#[derive(Clone, Copy)]
pub struct CodeBody {
    /// Assembles the function for one bitness.
    pub emit: fn(&mut Assembler) -> Result<(), iced_x86::IcedError>,
    /// The services that it calls, by name; they get stubs in the same DLL.
    pub calls: &'static [&'static str],
}

/// What stands behind an export.
#[derive(Clone, Copy)]
pub enum Body {
    /// A system-call stub.
    Service {
        /// The host's code.
        handler: Handler,
        /// How it fails.
        style: Style,
    },
    /// Guest code.
    Code(CodeBody),
    /// A forwarder: `DLL.Function`.
    Forward(&'static str),
}

/// A built-in DLL that exports functions of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dll {
    /// `ntdll.dll`.
    Ntdll,
    /// `kernel32.dll`.
    Kernel32,
    /// `kernelbase.dll`.
    KernelBase,
    /// `psapi.dll`.
    Psapi,
    /// `advapi32.dll`.
    Advapi32,
    /// `bcryptprimitives.dll`.
    BcryptPrimitives,
    /// `winmm.dll`.
    Winmm,
    /// `ws2_32.dll`.
    Ws2_32,
}

impl Dll {
    /// All of them, in load order.
    pub const ALL: [Self; 8] = [
        Self::Ntdll,
        Self::KernelBase,
        Self::Kernel32,
        Self::Advapi32,
        Self::BcryptPrimitives,
        Self::Winmm,
        Self::Ws2_32,
        Self::Psapi,
    ];

    /// The file name.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Ntdll => "ntdll.dll",
            Self::Kernel32 => "kernel32.dll",
            Self::KernelBase => "kernelbase.dll",
            Self::Psapi => "psapi.dll",
            Self::Advapi32 => "advapi32.dll",
            Self::BcryptPrimitives => "bcryptprimitives.dll",
            Self::Winmm => "winmm.dll",
            Self::Ws2_32 => "ws2_32.dll",
        }
    }
}

/// Where an export is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Only(Dll),
    Kernel32AndBase,
    /// A service without a name for programs: guest code of the built-in DLLs calls it.
    Hidden,
}

/// One export of the built-in DLLs. Made by the `const` builders below, in tables named `EXPORTS`.
#[derive(Clone, Copy)]
pub struct Export {
    /// The name in the export table.
    pub name: &'static str,
    /// The arguments.
    pub args: &'static [Arg],
    /// Who pops them on x86.
    pub convention: Convention,
    /// What stands behind it.
    pub body: Body,
    /// The API set that also offers it, without `api-ms-win-` and version: `core-memory`. Empty for none.
    pub api_set: &'static str,
    home: Home,
    /// Major and minor version of the first Windows that has it.
    since: (u32, u32),
}

impl Export {
    const fn new(name: &'static str, args: &'static [Arg], body: Body, home: Home) -> Self {
        Self { name, args, convention: Convention::Stdcall, body, api_set: "", home, since: (0, 0) }
    }

    /// A service of ntdll: the result is an `NTSTATUS`.
    pub const fn native(name: &'static str, args: &'static [Arg], handler: Handler) -> Self {
        Self::new(name, args, Body::Service { handler, style: Style::Native }, Home::Only(Dll::Ntdll))
    }

    /// Takes it out of the export tables: a service that only guest code of the built-in DLLs calls.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.home = Home::Hidden;
        self
    }

    /// A Win32 function over a system call, in kernel32 and kernelbase; fails with 0 unless
    /// [`on_failure`](Self::on_failure) says otherwise.
    pub const fn system(name: &'static str, args: &'static [Arg], handler: Handler) -> Self {
        let style = Style::System { failure: 0 };
        Self::new(name, args, Body::Service { handler, style }, Home::Kernel32AndBase)
    }

    /// A Win32 function that is user-mode code in Windows, in kernel32 and kernelbase.
    pub const fn library(name: &'static str, args: &'static [Arg], handler: Handler) -> Self {
        let style = Style::Library { failure: 0 };
        Self::new(name, args, Body::Service { handler, style }, Home::Kernel32AndBase)
    }

    /// Guest code, in kernel32 and kernelbase.
    pub const fn code(name: &'static str, args: &'static [Arg], body: CodeBody) -> Self {
        Self::new(name, args, Body::Code(body), Home::Kernel32AndBase)
    }

    /// A forwarder in kernel32 and kernelbase to `DLL.Function`.
    pub const fn forward(name: &'static str, to: &'static str) -> Self {
        Self::new(name, &[], Body::Forward(to), Home::Kernel32AndBase)
    }

    /// Moves the export to ntdll: run-time library functions (`Rtl*`), which keep their style.
    #[must_use]
    pub const fn in_ntdll(mut self) -> Self {
        self.home = Home::Only(Dll::Ntdll);
        self
    }

    /// Moves the export to one of the smaller DLLs.
    #[must_use]
    pub const fn only_in(mut self, dll: Dll) -> Self {
        self.home = Home::Only(dll);
        self
    }

    /// Leaves it out of kernelbase.
    #[must_use]
    pub const fn only_in_kernel32(mut self) -> Self {
        self.home = Home::Only(Dll::Kernel32);
        self
    }

    /// What the function returns when it fails: `u64::MAX` for `INVALID_HANDLE_VALUE` and `INVALID_FILE_SIZE`.
    #[must_use]
    pub const fn on_failure(mut self, value: u64) -> Self {
        self.body = match self.body {
            Body::Service { handler, style: Style::System { .. } } => {
                Body::Service { handler, style: Style::System { failure: value } }
            }
            Body::Service { handler, style: Style::Library { .. } } => {
                Body::Service { handler, style: Style::Library { failure: value } }
            }
            other => other,
        };
        self
    }

    /// The API set that also offers it: `core-memory`.
    #[must_use]
    pub const fn set(mut self, api_set: &'static str) -> Self {
        self.api_set = api_set;
        self
    }

    /// Leaves it out of editions before a version of Windows: 6.0 is Vista, 6.1 Windows 7, 6.2 Windows 8, 6.3 Windows 8.1.
    #[must_use]
    pub const fn since(mut self, major: u32, minor: u32) -> Self {
        self.since = (major, minor);
        self
    }

    /// Whether the edition has it.
    pub const fn exists_in(&self, edition: &Edition) -> bool {
        let (version, (major, minor)) = (edition.version, self.since);
        version.major > major || version.major == major && version.minor >= minor
    }

    /// The caller pops the arguments on x86.
    #[must_use]
    pub const fn cdecl(mut self) -> Self {
        self.convention = Convention::Cdecl;
        self
    }

    /// Whether the DLL's export table has it.
    pub fn is_exported_by(&self, dll: Dll) -> bool {
        match self.home {
            Home::Only(home) => dll == home,
            Home::Kernel32AndBase => matches!(dll, Dll::Kernel32 | Dll::KernelBase),
            Home::Hidden => false,
        }
    }

    /// Bytes that the function pops on x86.
    pub fn popped_bytes(&self) -> u16 {
        match self.convention {
            Convention::Stdcall => self.args.iter().map(|arg| arg.slots32() * 4).sum(),
            Convention::Cdecl => 0,
        }
    }

    /// Stack slots of the arguments: 4 bytes each on x86; 8 bytes each on x64, where the first four are in registers.
    pub fn slots(&self, bitness: Bitness) -> usize {
        match bitness {
            Bitness::Bits32 => self.args.iter().map(|arg| usize::from(arg.slots32())).sum(),
            Bitness::Bits64 => self.args.len(),
        }
    }
}
