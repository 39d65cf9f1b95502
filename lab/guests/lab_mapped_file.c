// The lab `mapped-file`: a file's page comes in when it is read, and goes back when it is flushed (SPEC F46, I17, I35).
#include "lab.h"

IMPORT Handle CALL CreateFileA(const char *name, u32 access, u32 share, void *security, u32 how, u32 flags, Handle like);
IMPORT i32 CALL CloseHandle(Handle handle);
IMPORT Handle CALL CreateFileMappingA(Handle file, void *security, u32 protect, u32 high, u32 low, const char *name);
IMPORT void *CALL MapViewOfFile(Handle section, u32 access, u32 high, u32 low, usize bytes);
IMPORT i32 CALL FlushViewOfFile(const void *base, usize bytes);
IMPORT i32 CALL UnmapViewOfFile(const void *view);

#define GENERIC_READ_WRITE 0xC0000000u
enum { CREATE_ALWAYS = 2, FILE_MAP_WRITE = 2 };

static u8 content[PAGE_BYTES];

void start(void) {
    u32 done = 0;
    Handle file = CreateFileA("lab.bin", GENERIC_READ_WRITE, 0, 0, CREATE_ALWAYS, 0, 0);
    if (file == (Handle)-1) fail("CreateFile");
    for (u32 i = 0; i < sizeof content; i++) content[i] = 'a';
    if (!WriteFile(file, content, sizeof content, &done, 0) || done != sizeof content) fail("WriteFile");
    Handle section = CreateFileMappingA(file, 0, PAGE_READWRITE, 0, 0, 0);
    if (!section) fail("CreateFileMapping");
    u8 *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    if (!view) fail("MapViewOfFile");
    stop_at("mapped", "view", view);
    expect(peek(view) == 'a', "the view shows the file");
    stop_at("read", "view", view);
    poke(view, 'b');
    stop_at("written", "view", view);
    if (!FlushViewOfFile(view, 0)) fail("FlushViewOfFile");
    stop_at("flushed", "view", view);
    if (!UnmapViewOfFile(view)) fail("UnmapViewOfFile");
    stop_at("unmapped", "view", view);
    CloseHandle(section);
    CloseHandle(file);
    ExitProcess(0);
}
