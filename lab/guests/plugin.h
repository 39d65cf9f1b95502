// What the program `load_library` and its DLLs, `plugin` and `plugin2`, know about each other.
#ifndef PLUGIN_H
#define PLUGIN_H
#include "guest.h"

enum { PROCESS_DETACH = 0, PROCESS_ATTACH = 1, MULTIPLY_ORDINAL = 7, NOTES = 8 };

// Where build.txt links both DLLs to: whichever is loaded second has to move.
#define PREFERRED_BASE (sizeof(usize) == 8 ? (usize)0x6f0000000ull : (usize)0x6f000000)

// One call of an entry point: whose it was, and why.
typedef struct {
    u32 dll;
    u32 reason;
} Note;

// Calls of entry points in their order; the program owns one, which outlives the DLLs.
typedef struct {
    u32 count;
    Note notes[NOTES];
} Diary;

static void note(Diary *diary, u32 dll, u32 reason) {
    if (!diary || diary->count == NOTES) return;
    diary->notes[diary->count].dll = dll;
    diary->notes[diary->count].reason = reason;
    diary->count++;
}

// What an entry point saw while its DLL was in memory.
typedef struct {
    u32 calls;
    u32 last_reason;
    // Not 0 only where the process itself starts or ends.
    void *reserved;
} Seen;

// The pointers of plugin2: each has to point into wherever it was loaded.
typedef struct {
    const u32 *first;
    const u32 *last;
    u32 (*function)(void);
    const char *text;
} Pointers;

// A pointer whose bytes lie on two pages.
typedef struct __attribute__((packed, aligned(4096))) {
    u8 before[PAGE_BYTES - 2];
    const u32 *pointer;
} Straddling;

#endif
