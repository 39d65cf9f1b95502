// Runs eight integer instructions per turn, for as many turns as its argument says: for measuring speed.
#include "guest.h"

enum { DEFAULT_TURNS = 100000000 };

void start(void) {
    usize turns = number_argument(DEFAULT_TURNS);
    usize sum = 1, mix = 2, total = 3, left = 4, place = 5;
    if (turns == 0) ExitProcess(2);
    put_decimal(turns);
    put(" turns");
    end_line();
    __asm__ volatile("1:\n\t"
                     "add %[turns], %[sum]\n\t"
                     "xor %[sum], %[mix]\n\t"
                     "rol $3, %[mix]\n\t"
                     "add %[mix], %[total]\n\t"
                     "sub %[sum], %[left]\n\t"
                     "lea 1(%[place],%[left]), %[place]\n\t"
                     "dec %[turns]\n\t"
                     "jnz 1b"
                     : [turns] "+r"(turns), [sum] "+r"(sum), [mix] "+r"(mix), [total] "+r"(total), [left] "+r"(left),
                       [place] "+r"(place)
                     :
                     : "cc");
    put("result ");
    put_hex(sum ^ mix ^ total ^ left ^ place);
    end_line();
    ExitProcess(0);
}
