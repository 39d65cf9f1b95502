// The lab `aslr`: where a boot puts what a program does not choose the place of (SPEC G29, G34).
#include "lab.h"

void start(void) {
    u8 local = 0;
    step("placed");
    with("program", (void *)GetModuleHandleA(0));
    with("kernel32", (void *)GetModuleHandleA("kernel32.dll"));
    with("stack", &local);
    with("heap", (void *)GetProcessHeap());
    with("memory", allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    stop();
    ExitProcess(0);
}
