//! ws2_32 of a machine without a network: every start fails, so that a program knows and goes on or says so.

use crate::service::{Answer, Arg, Call, Dll, Export};
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// `WSASYSNOTREADY`: the network is not there.
const NOT_READY: u64 = 10091;
/// `WSANOTINITIALISED`: no start has succeeded.
const NOT_STARTED: Win32Error = Win32Error::new(10093);
/// `SOCKET_ERROR`, and `INVALID_SOCKET`.
const SOCKET_ERROR: u64 = u64::MAX;

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("WSAStartup", &[U32, Word], wsa_startup).only_in(Dll::Ws2_32),
    Export::library("WSACleanup", &[], not_started).on_failure(SOCKET_ERROR).only_in(Dll::Ws2_32),
    Export::library("WSAGetLastError", &[], get_last_error).only_in(Dll::Ws2_32),
    Export::library("WSASetLastError", &[U32], set_last_error).only_in(Dll::Ws2_32),
    Export::library("WSAGetOverlappedResult", &[Word, Word, Word, U32, Word], not_started)
        .only_in(Dll::Ws2_32),
    Export::library("WSASocketW", &[U32, U32, U32, Word, U32, U32], not_started)
        .on_failure(SOCKET_ERROR)
        .only_in(Dll::Ws2_32),
    Export::library("closesocket", &[Word], not_started).on_failure(SOCKET_ERROR).only_in(Dll::Ws2_32),
];

/// `WSAStartup(version, *data)`: the error is the result, and the last error stays as it is.
fn wsa_startup(_: &mut Call<'_>) -> Answer {
    Ok(NOT_READY)
}

/// What needs a start that has succeeded.
fn not_started(_: &mut Call<'_>) -> Answer {
    Err(NOT_STARTED.into())
}

/// The last error of sockets is the thread's.
fn get_last_error(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.last_error()?.raw()))
}

fn set_last_error(call: &mut Call<'_>) -> Answer {
    let error = Win32Error::new(call.u32(0));
    call.set_last_error(error);
    Ok(0)
}
