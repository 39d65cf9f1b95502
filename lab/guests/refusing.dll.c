// A DLL whose entry point refuses.
#include "guest.h"

u32 number(void) {
    return 1;
}

i32 CALL DllMain(Handle module, u32 reason, void *reserved) {
    (void)module;
    (void)reserved;
    put("  refusing.dll, reason ");
    put_decimal(reason);
    end_line();
    return 0;
}
