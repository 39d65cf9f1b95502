// What every sample guest shares: the Windows calls it makes, console output, and reading its command line.
//
// There is no C runtime here. A guest is one .c file that includes this one, starts at `start`, and imports
// nothing but the kernel32 functions declared below.
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef __SIZE_TYPE__ usize;
typedef void *Handle;

#define CALL __stdcall
#define IMPORT __attribute__((dllimport))
#define NORETURN __attribute__((noreturn))
#define NOINLINE __attribute__((noinline))

enum {
    STD_INPUT = -10,
    STD_OUTPUT = -11,

    PAGE_NOACCESS = 0x01,
    PAGE_READONLY = 0x02,
    PAGE_READWRITE = 0x04,
    PAGE_WRITECOPY = 0x08,
    PAGE_EXECUTE = 0x10,
    PAGE_EXECUTE_READ = 0x20,
    PAGE_EXECUTE_READWRITE = 0x40,
    PAGE_EXECUTE_WRITECOPY = 0x80,
    PAGE_GUARD = 0x100,

    MEM_COMMIT = 0x1000,
    MEM_RESERVE = 0x2000,
    MEM_DECOMMIT = 0x4000,
    MEM_RELEASE = 0x8000,
    MEM_FREE = 0x10000,

    MEM_PRIVATE = 0x20000,
    MEM_MAPPED = 0x40000,
    MEM_IMAGE = 0x1000000,

    CONTINUE_EXECUTION = -1,
    CONTINUE_SEARCH = 0,

    PAGE_BYTES = 4096,
};

#define STATUS_GUARD_PAGE_VIOLATION 0x80000001u
#define STATUS_ACCESS_VIOLATION 0xC0000005u
#define MIB ((usize)1 << 20)

// One run of pages, as VirtualQuery tells it.
typedef struct {
    u8 *base;
    u8 *allocation_base;
    u32 allocation_protect;
    usize size_bytes;
    u32 state;
    u32 protect;
    u32 type;
} Region;

typedef struct ExceptionRecord {
    u32 code;
    u32 flags;
    struct ExceptionRecord *nested;
    void *address;
    u32 parameter_count;
    usize parameters[15];
} ExceptionRecord;

typedef struct {
    ExceptionRecord *record;
    void *context;
} ExceptionPointers;

typedef i32 CALL ExceptionHandler(ExceptionPointers *);

typedef struct {
    u16 architecture;
    u16 reserved;
    u32 page_bytes;
    void *lowest_address;
    void *highest_address;
    usize processor_mask;
    u32 processors;
    u32 processor_type;
    u32 granularity_bytes;
    u16 processor_level;
    u16 processor_revision;
} SystemInfo;

typedef struct {
    u32 length;
    u32 load_percent;
    u64 physical_total;
    u64 physical_available;
    u64 commit_limit;
    u64 commit_available;
    u64 virtual_total;
    u64 virtual_available;
    u64 virtual_extended;
} MemoryStatus;

// The sizes Windows has, 64-bit and 32-bit: a slip in a declaration must not become a wrong answer.
#define SIZE_IS(type, wide, narrow) _Static_assert(sizeof(type) == (sizeof(usize) == 8 ? wide : narrow), #type)
SIZE_IS(Region, 48, 28);
SIZE_IS(ExceptionRecord, 152, 80);
SIZE_IS(SystemInfo, 48, 36);
SIZE_IS(MemoryStatus, 64, 64);

IMPORT void *CALL AddVectoredExceptionHandler(u32 first, ExceptionHandler *handler);
IMPORT u32 CALL RemoveVectoredExceptionHandler(void *registration);
IMPORT void *CALL AddVectoredContinueHandler(u32 first, ExceptionHandler *handler);
IMPORT u32 CALL RemoveVectoredContinueHandler(void *registration);
IMPORT void CALL NORETURN ExitProcess(u32 code);
IMPORT char *CALL GetCommandLineA(void);
IMPORT u32 CALL GetLastError(void);
IMPORT Handle CALL GetStdHandle(u32 which);
IMPORT void CALL GetSystemInfo(SystemInfo *info);
IMPORT i32 CALL GlobalMemoryStatusEx(MemoryStatus *status);
IMPORT i32 CALL ReadFile(Handle file, void *buffer, u32 bytes, u32 *done, void *overlapped);
IMPORT i32 CALL WriteFile(Handle file, const void *buffer, u32 bytes, u32 *done, void *overlapped);
IMPORT void *CALL VirtualAlloc(void *base, usize bytes, u32 type, u32 protect);
IMPORT i32 CALL VirtualFree(void *base, usize bytes, u32 type);
IMPORT i32 CALL VirtualProtect(void *base, usize bytes, u32 protect, u32 *old_protect);
IMPORT i32 CALL VirtualLock(void *base, usize bytes);
IMPORT i32 CALL VirtualUnlock(void *base, usize bytes);
IMPORT i32 CALL GetProcessWorkingSetSize(Handle process, usize *minimum, usize *maximum);
IMPORT i32 CALL SetProcessWorkingSetSize(Handle process, usize minimum, usize maximum);
IMPORT usize CALL VirtualQuery(const void *address, Region *region, usize region_bytes);

IMPORT i32 CALL FreeLibrary(Handle module);
IMPORT u32 CALL GetModuleFileNameA(Handle module, char *path, u32 room);
IMPORT Handle CALL GetModuleHandleA(const char *name);
IMPORT void *CALL GetProcAddress(Handle module, const char *name);
IMPORT Handle CALL LoadLibraryA(const char *name);

typedef i32 CALL OnceCallback(void **state, void *parameter, void **context);
typedef void CALL FiberSlotCallback(void *value);
typedef i32 CALL LocaleCallback(const u16 *number);

IMPORT i32 CALL EnumSystemLocalesW(LocaleCallback *callback, u32 flags);
IMPORT u32 CALL FlsAlloc(FiberSlotCallback *callback);
IMPORT i32 CALL FlsFree(u32 slot);
IMPORT void *CALL FlsGetValue(u32 slot);
IMPORT i32 CALL FlsSetValue(u32 slot, void *value);
IMPORT i32 CALL InitOnceExecuteOnce(void **state, OnceCallback *callback, void *parameter, void **context);
IMPORT void CALL RaiseException(u32 code, u32 flags, u32 count, const usize *parameters);
IMPORT void CALL RtlCaptureContext(void *context);
IMPORT void *CALL SetUnhandledExceptionFilter(ExceptionHandler *filter);
IMPORT i32 CALL UnhandledExceptionFilter(ExceptionPointers *pointers);
IMPORT void CALL RaiseFailFastException(ExceptionRecord *record, void *context, u32 flags);
IMPORT u32 CALL TlsAlloc(void);
IMPORT i32 CALL TlsFree(u32 slot);
IMPORT void *CALL TlsGetValue(u32 slot);
IMPORT i32 CALL TlsSetValue(u32 slot, void *value);

IMPORT Handle CALL GetProcessHeap(void);
IMPORT void *CALL HeapAlloc(Handle heap, u32 flags, usize bytes);
IMPORT i32 CALL HeapFree(Handle heap, u32 flags, void *block);
IMPORT void *CALL HeapReAlloc(Handle heap, u32 flags, void *block, usize bytes);
IMPORT usize CALL HeapSize(Handle heap, u32 flags, const void *block);

void start(void);

// Output is gathered into one line and written with one call at its end.
static char line[256];
static u32 line_length;

static void end_line(void) {
    u32 done = 0;
    line[line_length++] = '\n';
    WriteFile(GetStdHandle((u32)STD_OUTPUT), line, line_length, &done, 0);
    line_length = 0;
}

static void put_char(char c) {
    // The last place is kept for the newline.
    if (line_length < sizeof line - 1) line[line_length++] = c;
}

static void put(const char *text) {
    while (*text) put_char(*text++);
}

static void say(const char *text) {
    put(text);
    end_line();
}

static void put_hex(usize value) {
    i32 shift = 8 * sizeof value - 4;
    put("0x");
    while (shift > 0 && (value >> shift) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) put_char("0123456789abcdef"[(value >> shift) & 15]);
}

static void put_decimal(usize value) {
    char digits[20];
    u32 count = 0;
    do {
        digits[count++] = '0' + (char)(value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0) put_char(digits[--count]);
}

// Ends the run when a call that has to work did not.
static NORETURN void fail(const char *what) {
    u32 error = GetLastError();
    put(what);
    put(" failed, last error ");
    put_decimal(error);
    end_line();
    ExitProcess(1);
}

static Region query(const void *address) {
    Region region;
    if (VirtualQuery(address, &region, sizeof region) != sizeof region) fail("VirtualQuery");
    return region;
}

// Writes a byte that may raise an exception: everything before is done by then, everything after is not begun.
static void poke(volatile u8 *byte, u8 value) {
    __asm__ volatile("" ::: "memory");
    *byte = value;
    __asm__ volatile("" ::: "memory");
}

static u8 *allocate(void *base, usize bytes, u32 type, u32 protect) {
    u8 *memory = VirtualAlloc(base, bytes, type, protect);
    if (!memory) fail("VirtualAlloc");
    return memory;
}

static void protect(void *base, usize bytes, u32 protection) {
    u32 old;
    if (!VirtualProtect(base, bytes, protection, &old)) fail("VirtualProtect");
}

static void put_state(u32 state) {
    switch (state) {
    case MEM_COMMIT: put("commit"); break;
    case MEM_RESERVE: put("reserve"); break;
    case MEM_FREE: put("free"); break;
    default: put_hex(state);
    }
}

static void put_protection(u32 protection) {
    switch (protection & 0xff) {
    case 0: put("none"); break;
    case PAGE_NOACCESS: put("noaccess"); break;
    case PAGE_READONLY: put("readonly"); break;
    case PAGE_READWRITE: put("readwrite"); break;
    case PAGE_WRITECOPY: put("writecopy"); break;
    case PAGE_EXECUTE: put("execute"); break;
    case PAGE_EXECUTE_READ: put("execute_read"); break;
    case PAGE_EXECUTE_READWRITE: put("execute_readwrite"); break;
    case PAGE_EXECUTE_WRITECOPY: put("execute_writecopy"); break;
    default: put_hex(protection & 0xff);
    }
    if (protection & PAGE_GUARD) put("+guard");
}

static void put_type(u32 type) {
    switch (type) {
    case 0: put("none"); break;
    case MEM_PRIVATE: put("private"); break;
    case MEM_MAPPED: put("mapped"); break;
    case MEM_IMAGE: put("image"); break;
    default: put_hex(type);
    }
}

// Finds the first argument: the text after the program's name, which may be quoted.
static const char *first_argument(void) {
    const char *text = GetCommandLineA();
    if (*text == '"') {
        for (text++; *text && *text != '"'; text++) {}
        if (*text) text++;
    } else {
        while (*text && *text != ' ' && *text != '\t') text++;
    }
    while (*text == ' ' || *text == '\t') text++;
    return text;
}

// The first argument as a decimal number, or `otherwise` when there is none.
static usize number_argument(usize otherwise) {
    const char *text = first_argument();
    usize value = 0;
    if (*text < '0' || *text > '9') return otherwise;
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (usize)(*text - '0');
    return value;
}

#endif
