// A DLL that prefers the place where plugin.dll is, and is full of pointers into itself.
#include "plugin.h"

Seen seen;
Diary *diary;

const u32 numbers[] = {11, 22, 33};

static u32 answer(void) {
    return numbers[0] + numbers[1] + numbers[2];
}

const Pointers read_only_pointers = {numbers, numbers + 2, answer, "a text"};
Pointers pointers = {numbers, numbers + 2, answer, "a text"};
Straddling straddling = {{0}, numbers + 1};

i32 CALL DllMain(Handle module, u32 reason, void *reserved) {
    (void)module;
    seen.calls++;
    seen.last_reason = reason;
    seen.reserved = reserved;
    note(diary, 2, reason);
    return 1;
}
