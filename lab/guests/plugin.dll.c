// A DLL that exports by name and by ordinal, notes why its entry point is called, and loads another from there.
#include "plugin.h"

Seen seen;
Diary *diary;
Handle second;
// How often the other's entry point had run when LoadLibraryA came back.
u32 second_calls;

u32 add(u32 a, u32 b) {
    return a + b;
}

u32 multiply(u32 a, u32 b) {
    return a * b;
}

static i32 load_second(void) {
    second = LoadLibraryA("plugin2.dll");
    if (!second) return 0;
    const Seen *other = GetProcAddress(second, "seen");
    if (!other) return 0;
    second_calls = other->calls;
    return 1;
}

i32 CALL DllMain(Handle module, u32 reason, void *reserved) {
    (void)module;
    seen.calls++;
    seen.last_reason = reason;
    seen.reserved = reserved;
    note(diary, 1, reason);
    if (reason == PROCESS_ATTACH) return load_second();
    // At the end of the process the other is told by itself.
    if (reason == PROCESS_DETACH && !reserved) FreeLibrary(second);
    return 1;
}
