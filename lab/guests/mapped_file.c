// Maps the file `mapped.bin` beside it and stores to it. Without an argument: what two views, ReadFile and WriteFile see of
// it. With 1: stores, flushes, says so, and waits for input. With 2: reads, waits for input, and reads on, whatever became of
// the file meanwhile.
#include "guest.h"

enum { PAGES = 10, ALL = PAGES * PAGE_BYTES };

enum { GENERIC_READ_WRITE = (int)0xC0000000u, CREATE_ALWAYS = 2, OPEN_EXISTING = 3, FILE_MAP_ALL = 0xF001F };

#define STATUS_IN_PAGE_ERROR 0xC0000006u
#define NO_FILE ((Handle)-1)

IMPORT Handle CALL CreateFileA(const char *name, u32 access, u32 share, void *security, u32 how, u32 flags, Handle like);
IMPORT Handle CALL CreateFileMappingA(Handle file, void *security, u32 protect, u32 high, u32 low, const char *name);
IMPORT i32 CALL CloseHandle(Handle handle);
IMPORT i32 CALL FlushViewOfFile(const void *base, usize bytes);
IMPORT void *CALL MapViewOfFile(Handle mapping, u32 access, u32 high, u32 low, usize bytes);
IMPORT i32 CALL SetEndOfFile(Handle file);
IMPORT u32 CALL SetFilePointer(Handle file, i32 low, i32 *high, u32 from);
IMPORT i32 CALL UnmapViewOfFile(const void *base);

static Handle file;
static volatile u8 *view;

static void open_file(u32 how) {
    file = CreateFileA("mapped.bin", (u32)GENERIC_READ_WRITE, 3, 0, how, 0, 0);
    if (file == NO_FILE) fail("CreateFile");
}

static volatile u8 *map(u32 bytes) {
    Handle mapping = CreateFileMappingA(file, 0, PAGE_READWRITE, 0, bytes, 0);
    if (!mapping) fail("CreateFileMapping");
    volatile u8 *base = MapViewOfFile(mapping, FILE_MAP_ALL, 0, 0, 0);
    if (!base) fail("MapViewOfFile");
    CloseHandle(mapping);
    return base;
}

static void flush(void) {
    if (!FlushViewOfFile((const void *)view, 0)) fail("FlushViewOfFile");
}

static void wait_for_input(void) {
    char byte;
    u32 done;
    ReadFile(GetStdHandle((u32)STD_INPUT), &byte, 1, &done, 0);
}

static void show(const char *what, u32 value) {
    put(what);
    put(" ");
    put_decimal(value);
    end_line();
}

static i32 CALL report(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    if (record->code != STATUS_IN_PAGE_ERROR) return CONTINUE_SEARCH;
    put("in-page error: ");
    put_decimal(record->parameter_count);
    put(" parameters, access ");
    put_decimal(record->parameters[0]);
    put(", offset ");
    put_hex(record->parameters[1] - (usize)view);
    put(", status ");
    put_hex((u32)record->parameters[2]);
    end_line();
    ExitProcess(0);
}

// Every way to the bytes shows them as they are at that moment.
static void agree(void) {
    open_file(CREATE_ALWAYS);
    view = map(ALL);
    volatile u8 *other = map(0);
    poke(view + 0x2001, 7);
    show("the other view", other[0x2001]);
    u8 bytes[2] = {0, 0};
    u32 done;
    SetFilePointer(file, 0x2000, 0, 0);
    if (!ReadFile(file, bytes, 2, &done, 0)) fail("ReadFile");
    show("the file", bytes[1]);
    bytes[0] = 9;
    SetFilePointer(file, 0x2002, 0, 0);
    if (!WriteFile(file, bytes, 1, &done, 0)) fail("WriteFile");
    show("what was written, in a view", view[0x2002]);
    show("beside it", other[0x2001]);
    SetFilePointer(file, 0x1000, 0, 0);
    u32 cut = (u32)SetEndOfFile(file);
    show("a cut", cut);
    show("its error", cut ? 0 : GetLastError());
    UnmapViewOfFile((const void *)other);
    UnmapViewOfFile((const void *)view);
    cut = (u32)SetEndOfFile(file);
    show("a cut afterwards", cut);
}

static void store_and_wait(void) {
    open_file(CREATE_ALWAYS);
    view = map(ALL);
    for (u32 page = 0; page < PAGES; page++) poke(view + page * PAGE_BYTES, (u8)(page + 1));
    flush();
    say("flushed");
    wait_for_input();
}

static void read_on(void) {
    open_file(OPEN_EXISTING);
    view = map(0);
    show("page 0", view[0]);
    poke(view + 2 * PAGE_BYTES, 99);
    say("mapped");
    wait_for_input();
    AddVectoredExceptionHandler(1, report);
    show("page 0", view[0]);
    show("page 2", view[2 * PAGE_BYTES]);
    flush();
    show("page 1", view[PAGE_BYTES]);
    show("its lost end", view[PAGE_BYTES + 0x800]);
    show("page 9", view[9 * PAGE_BYTES]);
}

void start(void) {
    switch (number_argument(0)) {
    case 0: agree(); break;
    case 1: store_and_wait(); break;
    default: read_on();
    }
    ExitProcess(0);
}
