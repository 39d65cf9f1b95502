// The lab `shared-section`: two views of page-file memory are one page (SPEC F12, F31, I32, I39).
#include "lab.h"

IMPORT Handle CALL CreateFileMappingA(Handle file, void *security, u32 protect, u32 high, u32 low, const char *name);
IMPORT void *CALL MapViewOfFile(Handle section, u32 access, u32 high, u32 low, usize bytes);
IMPORT i32 CALL UnmapViewOfFile(const void *view);

enum { FILE_MAP_WRITE = 2, FILE_MAP_READ = 4, SECTION_BYTES = 65536 };

static Handle section;

static u8 *map(u32 access) {
    u8 *view = MapViewOfFile(section, access, 0, 0, 0);
    if (!view) fail("MapViewOfFile");
    return view;
}

void start(void) {
    section = CreateFileMappingA((Handle)-1, 0, PAGE_READWRITE, 0, SECTION_BYTES, 0);
    if (!section) fail("CreateFileMapping");
    u8 *first = map(FILE_MAP_WRITE);
    u8 *second = map(FILE_MAP_READ);
    step("mapped");
    with("first", first);
    with("second", second);
    stop();
    poke(first, 7);
    step("written");
    with("first", first);
    with("second", second);
    stop();
    expect(peek(second) == 7, "the second view shows what was stored through the first");
    step("read");
    with("first", first);
    with("second", second);
    stop();
    if (!UnmapViewOfFile(first) || !UnmapViewOfFile(second)) fail("UnmapViewOfFile");
    step("unmapped");
    with("first", first);
    with("second", second);
    stop();
    u8 *third = map(FILE_MAP_READ);
    expect(peek(third) == 7, "the section keeps what was stored");
    stop_at("mapped-again", "third", third);
    ExitProcess(0);
}
