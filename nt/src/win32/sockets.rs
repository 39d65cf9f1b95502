//! ws2_32 of a machine without a network: Winsock starts as on any Windows, and there is nothing to make a socket of.

use crate::service::{Answer, Arg, Call, Dll, Export, Failure};
use vadose_facts::ntdef::{Bitness, Win32Error};

use Arg::{U32, Word};

/// `WSAVERNOTSUPPORTED`.
const VERSION_NOT_SUPPORTED: u64 = 10092;
/// `WSANOTINITIALISED`: before a start.
const NOT_STARTED: Win32Error = Win32Error::new(10093);
/// `WSAENETDOWN`: no network.
const NETWORK_DOWN: Win32Error = Win32Error::new(10050);
/// `WSAENOTSOCK`: no handle is a socket.
const NOT_A_SOCKET: Win32Error = Win32Error::new(10038);
/// `SOCKET_ERROR`, and `INVALID_SOCKET`.
const SOCKET_ERROR: u64 = u64::MAX;
/// Winsock 2.2, major version in the low byte.
const NEWEST: u16 = 0x0202;

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("WSAStartup", &[U32, Word], wsa_startup).only_in(Dll::Ws2_32),
    Export::library("WSACleanup", &[], wsa_cleanup).on_failure(SOCKET_ERROR).only_in(Dll::Ws2_32),
    Export::library("WSAGetLastError", &[], get_last_error).only_in(Dll::Ws2_32),
    Export::library("WSASetLastError", &[U32], set_last_error).only_in(Dll::Ws2_32),
    Export::library("WSAGetOverlappedResult", &[Word, Word, Word, U32, Word], no_socket).only_in(Dll::Ws2_32),
    Export::library("WSASocketW", &[U32, U32, U32, Word, U32, U32], no_network)
        .on_failure(SOCKET_ERROR)
        .only_in(Dll::Ws2_32),
    Export::library("closesocket", &[Word], no_socket).on_failure(SOCKET_ERROR).only_in(Dll::Ws2_32),
];

/// Where a `WSADATA` has its parts.
struct DataLayout {
    description: u64,
    status: u64,
    max_sockets: u64,
    size: u64,
}

const fn data_layout(bitness: Bitness) -> DataLayout {
    match bitness {
        Bitness::Bits32 => DataLayout { description: 4, status: 261, max_sockets: 390, size: 400 },
        Bitness::Bits64 => DataLayout { description: 16, status: 273, max_sockets: 4, size: 408 },
    }
}

/// `WSAStartup(version, *data)`: the error is the result, and the last error stays as it is.
fn wsa_startup(call: &mut Call<'_>) -> Answer {
    let (wanted, data) = (call.u32(0) as u16, call.ptr(1));
    if wanted & 0xff == 0 {
        return Ok(VERSION_NOT_SUPPORTED);
    }
    let layout = data_layout(call.nt.edition.bitness);
    let agreed = if wanted.swap_bytes() < NEWEST.swap_bytes() { wanted } else { NEWEST };
    call.write(data, &vec![0; layout.size as usize])?;
    call.write_u16(data, agreed)?;
    call.write_u16(data.offset(2), NEWEST)?;
    call.write(data.offset(layout.description), b"WinSock 2.0")?;
    call.write(data.offset(layout.status), b"Running")?;
    if agreed & 0xff < 2 {
        // Winsock 1 tells how many sockets there can be, and the largest datagram.
        call.write_u16(data.offset(layout.max_sockets), 32767)?;
        call.write_u16(data.offset(layout.max_sockets + 2), 65467)?;
    }
    call.nt.process_mut().win32.socket_starts += 1;
    Ok(0)
}

/// `WSACleanup()`: one for each start.
fn wsa_cleanup(call: &mut Call<'_>) -> Answer {
    require_start(call)?;
    call.nt.process_mut().win32.socket_starts -= 1;
    Ok(0)
}

fn require_start(call: &Call<'_>) -> Result<(), Failure> {
    if call.nt.process().win32.socket_starts == 0 { Err(NOT_STARTED.into()) } else { Ok(()) }
}

/// What needs a network.
fn no_network(call: &mut Call<'_>) -> Answer {
    require_start(call)?;
    Err(NETWORK_DOWN.into())
}

/// What needs a socket.
fn no_socket(call: &mut Call<'_>) -> Answer {
    require_start(call)?;
    Err(NOT_A_SOCKET.into())
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
