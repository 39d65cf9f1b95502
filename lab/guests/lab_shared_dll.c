// The lab `shared-dll`: two instances map one copy of a DLL's code and of a program's data, until one of them stores
// (SPEC G15, I24, I33).
#include "lab_pair.h"

static volatile u8 variable[PAGE_BYTES] __attribute__((aligned(4096))) = {7};

static void look(const char *mark, const char *code, const char *data) {
    step(mark);
    with(code, GetProcAddress(GetModuleHandleA("kernel32.dll"), "OutputDebugStringA"));
    with(data, variable);
    stop();
}

void start(void) {
    if (is_first()) {
        expect(peek(variable) == 7, "the variable begins with what the file has");
        look("first-loaded", "first-code", "first-data");
        give_turn(1);
        wait_for_turn(2);
        expect(peek(variable) == 7, "what the other one stored is not here");
        look("first-after", "first-code", "first-data");
        give_turn(3);
    } else {
        wait_for_turn(1);
        expect(peek(variable) == 7, "the variable begins with what the file has");
        look("second-loaded", "second-code", "second-data");
        poke(variable, 8);
        look("second-written", "second-code", "second-data");
        give_turn(2);
        wait_for_turn(3);
    }
    ExitProcess(0);
}
