//! Where the fields of structures are that programs read: offsets in bytes, for 32-bit and 64-bit programs.
//!
//! Figures are those of public symbol files and of Geoff Chappell's and Terminus' published tables; those that
//! `windows-sys` also defines are checked against it.

mod context;
mod exception;
mod loader;
mod parameters;
mod peb;
mod shared_data;
mod teb;

pub use context::{ContextFlags, ContextLayout, FxSave, GPR32, GPR64};
pub use exception::{ExceptionFlags, ExceptionRecordLayout, MAX_EXCEPTION_PARAMETERS};
pub use loader::{LoaderDataLayout, LoaderEntryLayout};
pub use parameters::ParametersLayout;
pub use peb::PebLayout;
pub use shared_data::{SharedData, SystemTime};
pub use teb::TebLayout;

use super::Bitness;

/// All the layouts that differ by bitness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layouts {
    /// `TEB`.
    pub teb: TebLayout,
    /// `PEB`.
    pub peb: PebLayout,
    /// `PEB_LDR_DATA`.
    pub loader_data: LoaderDataLayout,
    /// `LDR_DATA_TABLE_ENTRY`.
    pub loader_entry: LoaderEntryLayout,
    /// `RTL_USER_PROCESS_PARAMETERS`.
    pub parameters: ParametersLayout,
    /// `CONTEXT`.
    pub context: ContextLayout,
    /// `EXCEPTION_RECORD`.
    pub exception_record: ExceptionRecordLayout,
}

/// The layouts of one bitness.
pub const fn layouts(bitness: Bitness) -> &'static Layouts {
    static BITS32: Layouts = Layouts {
        teb: TebLayout::BITS32,
        peb: PebLayout::BITS32,
        loader_data: LoaderDataLayout::BITS32,
        loader_entry: LoaderEntryLayout::BITS32,
        parameters: ParametersLayout::BITS32,
        context: ContextLayout::BITS32,
        exception_record: ExceptionRecordLayout::BITS32,
    };
    static BITS64: Layouts = Layouts {
        teb: TebLayout::BITS64,
        peb: PebLayout::BITS64,
        loader_data: LoaderDataLayout::BITS64,
        loader_entry: LoaderEntryLayout::BITS64,
        parameters: ParametersLayout::BITS64,
        context: ContextLayout::BITS64,
        exception_record: ExceptionRecordLayout::BITS64,
    };
    match bitness {
        Bitness::Bits32 => &BITS32,
        Bitness::Bits64 => &BITS64,
    }
}

/// Defines a struct of offsets and its two instances from one table of `field: offset32, offset64`.
macro_rules! offsets {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $at32:literal, $at64:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u32,)*
        }

        impl $name {
            /// In 32-bit programs.
            pub const BITS32: Self = Self { $($field: $at32,)* };
            /// In 64-bit programs.
            pub const BITS64: Self = Self { $($field: $at64,)* };
        }
    };
}
use offsets;
