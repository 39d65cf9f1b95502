// A DLL that counts what its entry point is told, by reason.
#include "guest.h"

u32 calls[4];

i32 CALL DllMain(Handle module, u32 reason, void *reserved) {
    (void)module;
    (void)reserved;
    calls[reason & 3]++;
    return 1;
}
