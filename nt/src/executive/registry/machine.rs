//! `HKEY_LOCAL_MACHINE` of a new machine: what Windows' own DLLs and common programs read of the system.

use super::startup::{Filler, INSTALLED};
use crate::executive::sid::Sid;
use crate::executive::system_information::{
    PROCESSOR_FAMILY, PROCESSOR_MHZ, PROCESSOR_NAME, PROCESSOR_REVISION, ZONE_NAME,
};
use crate::win32::COMPUTER_NAME;
use vadose_facts::ntdef::{Bitness, Edition};
use vadose_mm::Draws;

const CONTROL: &str = "SYSTEM\\ControlSet001\\Control";
const SERVICES: &str = "SYSTEM\\ControlSet001\\Services";
const WINDOWS_NT: &str = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
const WINDOWS: &str = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion";
/// `FILETIME` units from 1601 to 1970, and in a second.
const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
const PER_SECOND: u64 = 10_000_000;
/// The key of the only time zone.
const ZONE: &str = "UTC";

/// Fills the hives of the machine.
pub(super) fn fill(to: &mut Filler<'_>, edition: &Edition, seed: u64) {
    control(to, edition);
    session_manager(to, edition);
    languages(to);
    zones(to, edition);
    services(to);
    hardware(to);
    version(to, edition);
    folders(to, edition);
    profiles(to, edition);
    cryptography(to, seed);
    classes(to);
}

fn at(folder: &str, rest: &str) -> String {
    format!("{folder}\\{rest}")
}

/// Whether the edition is at least that version.
fn since(edition: &Edition, major: u32, minor: u32) -> bool {
    (edition.version.major, edition.version.minor) >= (major, minor)
}

fn control(to: &mut Filler<'_>, edition: &Edition) {
    to.key("SYSTEM\\ControlSet001\\Hardware Profiles\\0001\\Software");
    to.key("SYSTEM\\ControlSet001\\Hardware Profiles")
        .link("Current", "\\Registry\\Machine\\System\\CurrentControlSet\\Hardware Profiles\\0001");
    to.key("SYSTEM").link("CurrentControlSet", "\\Registry\\Machine\\System\\ControlSet001");
    to.key("SYSTEM\\Select")
        .number("Current", 1)
        .number("Default", 1)
        .number("Failed", 0)
        .number("LastKnownGood", 1);
    to.key(&at(CONTROL, "ProductOptions"))
        .text("ProductType", "WinNT")
        .texts("ProductSuite", &["Terminal Server"]);
    to.key(&at(CONTROL, "Windows"))
        .number("CSDVersion", u32::from(edition.version.service_pack) << 8)
        .expanding("Directory", "%SystemRoot%")
        .expanding("SystemDirectory", "%SystemRoot%\\system32")
        .number("ErrorMode", 0);
    to.key(&at(CONTROL, "ComputerName\\ComputerName")).text("ComputerName", COMPUTER_NAME);
    to.key(&at(CONTROL, "ComputerName\\ActiveComputerName")).text("ComputerName", COMPUTER_NAME);
    to.key(&at(CONTROL, "FileSystem"))
        .number("NtfsDisable8dot3NameCreation", 1)
        .number("LongPathsEnabled", 0);
    to.key(&at(CONTROL, "Keyboard Layouts\\00000409"))
        .text("Layout File", "KBDUS.DLL")
        .text("Layout Text", "US");
    to.key(&at(CONTROL, "Lsa")).number("LimitBlankPasswordUse", 1);
}

fn session_manager(to: &mut Filler<'_>, edition: &Edition) {
    let wide = edition.bitness == Bitness::Bits64;
    let path = "%SystemRoot%\\system32;%SystemRoot%;%SystemRoot%\\System32\\Wbem";
    to.key(&at(CONTROL, "Session Manager"))
        .number("CriticalSectionTimeout", 2_592_000)
        .number("GlobalFlag", 0)
        .number("HeapDeCommitFreeBlockThreshold", 0)
        .number("HeapDeCommitTotalFreeThreshold", 0)
        .number("HeapSegmentCommit", 0)
        .number("HeapSegmentReserve", 0)
        .number("ProcessorControl", 2)
        .number("ProtectionMode", 1)
        .texts("ObjectDirectories", &["\\Windows", "\\RPC Control"]);
    to.key(&at(CONTROL, "Session Manager\\Environment"))
        .expanding("ComSpec", "%SystemRoot%\\system32\\cmd.exe")
        .text("NUMBER_OF_PROCESSORS", "1")
        .text("OS", "Windows_NT")
        .expanding("Path", path)
        .text("PATHEXT", ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC")
        .text("PROCESSOR_ARCHITECTURE", if wide { "AMD64" } else { "x86" })
        .text("PROCESSOR_IDENTIFIER", &format!("{}, GenuineIntel", processor_identifier()))
        .text("PROCESSOR_LEVEL", &PROCESSOR_FAMILY.to_string())
        .text("PROCESSOR_REVISION", &format!("{PROCESSOR_REVISION:04x}"))
        .expanding("TEMP", "%SystemRoot%\\TEMP")
        .expanding("TMP", "%SystemRoot%\\TEMP")
        .text("USERNAME", "SYSTEM")
        .expanding("windir", "%SystemRoot%");
    to.key(&at(CONTROL, "Session Manager\\Memory Management"))
        .number("ClearPageFileAtShutdown", 0)
        .number("DisablePagingExecutive", 0)
        .number("LargeSystemCache", 0)
        .number("NonPagedPoolQuota", 0)
        .number("NonPagedPoolSize", 0)
        .number("PagedPoolQuota", 0)
        .number("PagedPoolSize", 0)
        .number("SecondLevelDataCache", 0)
        .number("SessionPoolSize", 4)
        .number("SessionViewSize", 48)
        .number("SystemPages", 0)
        .texts("PagingFiles", &["?:\\pagefile.sys"]);
}

/// Code pages that there are, and the files of their tables.
const CODE_PAGES: [(&str, &str); 6] = [
    ("437", "c_437.nls"),
    ("1252", "c_1252.nls"),
    ("10000", "c_10000.nls"),
    ("20127", "c_20127.nls"),
    ("28591", "c_28591.nls"),
    ("65001", ""),
];

fn languages(to: &mut Filler<'_>) {
    to.key(&at(CONTROL, "Nls\\CodePage"));
    for (number, file) in CODE_PAGES {
        to.text(number, file);
    }
    to.text("ACP", "1252").text("MACCP", "10000").text("OEMCP", "437").text("OEMHAL", "vgaoem.fon");
    to.key(&at(CONTROL, "Nls\\Language"))
        .text("0409", "l_intl.nls")
        .text("Default", "0409")
        .text("InstallLanguage", "0409");
    to.key(&at(CONTROL, "Nls\\Language Groups")).text("1", "1");
    to.key(&at(CONTROL, "Nls\\Locale")).text("", "00000409").text("00000409", "1");
    to.key(&at(CONTROL, "Nls\\Locale\\Alternate Sorts"));
    to.key(&at(CONTROL, "Nls\\ExtendedLocale"));
    to.key(&at(CONTROL, "Nls\\Sorting\\Versions")).text("", "00060305");
    to.key(&at(CONTROL, "Nls\\MUILangs"));
    to.key(&at(CONTROL, "MUI\\UILanguages\\en-US")).number("LCID", 0x409).number("Type", 0x91);
}

fn zones(to: &mut Filler<'_>, edition: &Edition) {
    to.key(&at(CONTROL, "TimeZoneInformation"))
        .number("ActiveTimeBias", 0)
        .number("Bias", 0)
        .number("DaylightBias", 0)
        .text("DaylightName", ZONE_NAME)
        .bytes("DaylightStart", &[0; 16])
        .number("StandardBias", 0)
        .text("StandardName", ZONE_NAME)
        .bytes("StandardStart", &[0; 16]);
    if since(edition, 6, 0) {
        to.number("DynamicDaylightTimeDisabled", 0).text("TimeZoneKeyName", ZONE);
    }
    to.key(&at(WINDOWS_NT, "Time Zones")).number("TzVersion", 0x07e4_0001);
    to.key(&at(WINDOWS_NT, &format!("Time Zones\\{ZONE}")))
        .text("Display", "(UTC) Coordinated Universal Time")
        .text("Dlt", ZONE_NAME)
        .text("Std", ZONE_NAME)
        .bytes("TZI", &[0; 44]);
}

fn services(to: &mut Filler<'_>) {
    let name = COMPUTER_NAME.to_lowercase();
    to.key(&at(SERVICES, "Tcpip\\Parameters"))
        .expanding("DataBasePath", "%SystemRoot%\\System32\\drivers\\etc")
        .text("Domain", "")
        .text("Hostname", &name)
        .text("NV Domain", "")
        .text("NV Hostname", &name)
        .text("SearchList", "");
    to.key(&at(SERVICES, "Tcpip\\Parameters\\Interfaces"));
}

/// The processor as its own instructions describe it.
fn processor_identifier() -> String {
    let (family, revision) = (PROCESSOR_FAMILY, PROCESSOR_REVISION);
    format!("Intel64 Family {family} Model {} Stepping {}", revision >> 8, revision & 0xff)
}

fn hardware(to: &mut Filler<'_>) {
    to.key("HARDWARE\\DESCRIPTION\\System").text("Identifier", "AT/AT COMPATIBLE");
    to.key("HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0")
        .text("Identifier", &processor_identifier())
        .text("ProcessorNameString", PROCESSOR_NAME)
        .text("VendorIdentifier", "GenuineIntel")
        .number("~MHz", PROCESSOR_MHZ);
    to.key("HARDWARE\\DEVICEMAP");
}

/// Product name and version text of an edition.
fn product(edition: &Edition) -> (&'static str, &'static str) {
    match (edition.version.major, edition.version.minor) {
        (5, _) => ("Microsoft Windows XP", "5.1"),
        (6, 0 | 1) => ("Windows 7 Professional", "6.1"),
        (6, _) => ("Windows 8 Pro", "6.2"),
        (_, _) => ("Windows 10 Pro", "6.3"),
    }
}

fn version(to: &mut Filler<'_>, edition: &Edition) {
    let (name, number) = product(edition);
    let build = edition.version.build.to_string();
    let installed = (INSTALLED.units() - UNIX_EPOCH) / PER_SECOND;
    to.key(WINDOWS_NT)
        .text("CurrentBuild", &build)
        .text("CurrentBuildNumber", &build)
        .text("CurrentType", "Uniprocessor Free")
        .text("CurrentVersion", number)
        .number("InstallDate", installed as u32)
        .text("PathName", "C:\\Windows")
        .text("ProductId", "00000-00000-00000-AAAAA")
        .text("ProductName", name)
        .text("RegisteredOrganization", "")
        .text("RegisteredOwner", "user")
        .text("SoftwareType", "System")
        .text("SystemRoot", "C:\\Windows");
    if edition.version.service_pack > 0 {
        to.text("CSDVersion", &format!("Service Pack {}", edition.version.service_pack));
    }
    if since(edition, 6, 0) {
        to.text("EditionID", "Professional").text("InstallationType", "Client");
    }
    if since(edition, 10, 0) {
        to.number("CurrentMajorVersionNumber", edition.version.major)
            .number("CurrentMinorVersionNumber", edition.version.minor)
            .number("UBR", 0)
            .text("DisplayVersion", "21H2")
            .text("ReleaseId", "2009");
    }
    to.key(&at(WINDOWS_NT, "Winlogon")).text("Shell", "explorer.exe");
    to.key(&at(WINDOWS_NT, "Windows")).text("AppInit_DLLs", "").number("LoadAppInit_DLLs", 0);
    to.key(&at(WINDOWS_NT, "AeDebug")).text("Auto", "1").text("Debugger", "");
    to.key(&at(WINDOWS_NT, "Fonts"));
    to.key(&at(WINDOWS_NT, "FontSubstitutes"));
    to.key(&at(WINDOWS_NT, "Perflib"))
        .number("Base Index", 0x737)
        .number("Last Counter", 0)
        .number("Last Help", 0);
}

fn folders(to: &mut Filler<'_>, edition: &Edition) {
    to.key(WINDOWS)
        .text("CommonFilesDir", "C:\\Program Files\\Common Files")
        .expanding("DevicePath", "%SystemRoot%\\inf")
        .text("ProgramFilesDir", "C:\\Program Files")
        .expanding("ProgramFilesPath", "%ProgramFiles%");
    if edition.bitness == Bitness::Bits64 {
        to.text("CommonFilesDir (x86)", "C:\\Program Files (x86)\\Common Files")
            .text("ProgramFilesDir (x86)", "C:\\Program Files (x86)")
            .text("CommonW6432Dir", "C:\\Program Files\\Common Files")
            .text("ProgramW6432Dir", "C:\\Program Files");
    }
    to.key(&at(WINDOWS, "App Paths"));
    to.key(&at(WINDOWS, "Explorer"));
    to.key(&at(WINDOWS, "Policies\\Explorer"));
    to.key(&at(WINDOWS, "Policies\\System"));
    if since(edition, 6, 0) {
        to.number("EnableLUA", 1).number("ConsentPromptBehaviorUser", 3);
    }
    to.key(&at(WINDOWS, "Run"));
    to.key(&at(WINDOWS, "Uninstall"));
    to.key("SOFTWARE\\Policies\\Microsoft");
    to.key("SOFTWARE\\Clients");
}

/// Where the folders of users are.
pub(super) fn users_folder(edition: &Edition) -> &'static str {
    if since(edition, 6, 0) { "C:\\Users" } else { "C:\\Documents and Settings" }
}

fn profiles(to: &mut Filler<'_>, edition: &Edition) {
    let users = users_folder(edition);
    let data = if since(edition, 6, 0) {
        "%SystemDrive%\\ProgramData"
    } else {
        "%SystemDrive%\\Documents and Settings\\All Users"
    };
    to.key(&at(WINDOWS_NT, "ProfileList"))
        .expanding("Default", &format!("{users}\\Default"))
        .expanding("ProfilesDirectory", users)
        .expanding("ProgramData", data)
        .expanding("Public", &format!("{users}\\Public"));
    let account = Sid::user();
    to.key(&at(WINDOWS_NT, &format!("ProfileList\\{account}")))
        .expanding("ProfileImagePath", &format!("{users}\\user"))
        .bytes("Sid", &account.to_bytes())
        .number("Flags", 0)
        .number("State", 0);
    to.key(&at(WINDOWS_NT, "ProfileList\\S-1-5-18"))
        .expanding("ProfileImagePath", "%systemroot%\\system32\\config\\systemprofile")
        .number("Flags", 12)
        .number("State", 0);
}

/// Providers of the cryptographic API: name, type, number of the type, name of the type.
const PROVIDERS: [(&str, u32, &str); 3] = [
    ("Microsoft Strong Cryptographic Provider", 1, "RSA Full (Signature and Key Exchange)"),
    ("Microsoft Enhanced RSA and AES Cryptographic Provider", 24, "RSA Full and AES"),
    ("Microsoft RSA SChannel Cryptographic Provider", 12, "RSA SChannel"),
];

fn cryptography(to: &mut Filler<'_>, seed: u64) {
    const KEY: &str = "SOFTWARE\\Microsoft\\Cryptography";
    let mut draws = Draws::new(seed, "identity of the machine");
    // A random identifier: version 4, variant 1.
    let [a, b, c, d, e] = [32, 16, 12, 14, 48].map(|bits| draws.bits(bits));
    to.key(KEY).text("MachineGuid", &format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{e:012x}", d | 0x8000));
    for (name, kind, type_name) in PROVIDERS {
        to.key(&at(KEY, &format!("Defaults\\Provider\\{name}")))
            .text("Image Path", "rsaenh.dll")
            .number("Type", kind)
            .bytes("Signature", &[0; 4]);
        to.key(&at(KEY, &format!("Defaults\\Provider Types\\Type {kind:03}")))
            .text("Name", name)
            .text("TypeName", type_name);
    }
}

fn classes(to: &mut Filler<'_>) {
    for (extension, class, title, content) in [
        (".bat", "batfile", "Windows Batch File", ""),
        (".cmd", "cmdfile", "Windows Command Script", ""),
        (".com", "comfile", "MS-DOS Application", ""),
        (".dll", "dllfile", "Application Extension", "application/x-msdownload"),
        (".exe", "exefile", "Application", "application/x-msdownload"),
        (".txt", "txtfile", "Text Document", "text/plain"),
    ] {
        to.key(&format!("SOFTWARE\\Classes\\{extension}")).text("", class);
        if !content.is_empty() {
            to.text("Content Type", content);
        }
        to.key(&format!("SOFTWARE\\Classes\\{class}")).text("", title);
    }
    to.key("SOFTWARE\\Classes\\CLSID");
    to.key("SOFTWARE\\Classes\\Interface");
    to.key("SOFTWARE\\Classes\\TypeLib");
}
