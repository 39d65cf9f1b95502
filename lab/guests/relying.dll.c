// A DLL that imports one whose entry point refuses, so that its own may never be called.
#include "guest.h"

IMPORT u32 number(void);

u32 other_number(void) {
    return number();
}

i32 CALL DllMain(Handle module, u32 reason, void *reserved) {
    (void)module;
    (void)reserved;
    put("  relying.dll, reason ");
    put_decimal(reason);
    end_line();
    return 1;
}
