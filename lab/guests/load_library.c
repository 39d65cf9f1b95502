// Loads a DLL that loads another, calls it, looks at both, and unloads them (SPEC G25, G30).
#include "plugin.h"

typedef u32 Binary(u32, u32);

static Diary diary;

static void say_if(i32 is_so, const char *text) {
    put(is_so ? "  " : "  NOT: ");
    say(text);
}

static void *address_of(Handle module, const char *name) {
    void *address = GetProcAddress(module, name);
    if (!address) fail(name);
    return address;
}

static void say_result(const char *what, u32 value) {
    put("  ");
    put(what);
    put(" is ");
    put_decimal(value);
    end_line();
}

static void say_error(const char *what, const void *answer) {
    u32 error = GetLastError();
    put(what);
    put(answer ? ": found" : ": null, error ");
    if (!answer) put_decimal(error);
    end_line();
}

static void look_before(void) {
    Handle kernel32 = GetModuleHandleA("kernel32.dll");
    Handle program = GetModuleHandleA(0);
    say("before");
    say_if(kernel32 && kernel32 == GetModuleHandleA("KERNEL32"), "kernel32 is there, by each spelling");
    say_if(GetProcAddress(kernel32, "ExitProcess") != 0, "it has ExitProcess");
    say_if(program && query(program).allocation_base == program, "the program is at its handle");
    say_error("  plugin.dll", GetModuleHandleA("plugin.dll"));
}

static void look_at_plugin(Handle plugin) {
    const Seen *seen = address_of(plugin, "seen");
    Binary *add = address_of(plugin, "add");
    Binary *multiply = address_of(plugin, (const char *)(usize)MULTIPLY_ORDINAL);
    char path[64];
    say("plugin.dll");
    if (!GetModuleFileNameA(plugin, path, sizeof path)) fail("GetModuleFileNameA");
    put("  is ");
    say(path);
    say_if((usize)plugin == PREFERRED_BASE, "is where it prefers to be");
    say_result("add(40, 2)", add(40, 2));
    say_result("ordinal 7 of 6 and 7", multiply(6, 7));
    say_result("count of entry point calls", seen->calls);
    say_result("reason", seen->last_reason);
    say_if(!seen->reserved, "it was told that the process was running already");
    say_result("count of the other's calls by then", *(const u32 *)address_of(plugin, "second_calls"));
}

static void check_pointers(const char *what, const Pointers *pointers, const u32 *numbers) {
    say_if(pointers->first == numbers && pointers->last == numbers + 2, what);
    say_result("sum by its function pointer", pointers->function());
    put("  its text is ");
    say(pointers->text);
}

static void look_at_second(Handle plugin) {
    Handle second = *(Handle *)address_of(plugin, "second");
    const Seen *seen = address_of(second, "seen");
    const u32 *numbers = address_of(second, "numbers");
    const Straddling *straddling = address_of(second, "straddling");
    say("plugin2.dll");
    say_if(second == GetModuleHandleA("Plugin2"), "is the one that plugin.dll loaded");
    say_if((usize)second != PREFERRED_BASE, "is not where it prefers to be");
    say_result("count of entry point calls", seen->calls);
    say_result("reason", seen->last_reason);
    check_pointers("its constant pointers are right", address_of(second, "read_only_pointers"), numbers);
    check_pointers("its variable pointers are right", address_of(second, "pointers"), numbers);
    say_if(straddling->pointer == numbers + 1, "its pointer on two pages is right");
    say_result("number there", *straddling->pointer);
    put("  constants are ");
    put_protection(query(numbers).protect);
    end_line();
}

static void say_pages(const char *what, Handle module, const void *address) {
    Region region = query(address);
    put("  ");
    put(what);
    put(": ");
    put_state(region.state);
    put(" ");
    put_protection(region.protect);
    put(", ");
    put_type(region.type);
    put(", allocated as ");
    put_protection(region.allocation_protect);
    put(region.allocation_base == module ? " at the handle" : " elsewhere");
    end_line();
}

static void look_at_pages(Handle plugin) {
    say("pages of plugin.dll");
    say_pages("header", plugin, plugin);
    say_pages("code", plugin, address_of(plugin, "add"));
    say_pages("written variable", plugin, address_of(plugin, "seen"));
}

static void ask_for_what_is_missing(Handle plugin) {
    say("missing");
    say_error("  missing.dll", LoadLibraryA("missing.dll"));
    say_error("  subtract", GetProcAddress(plugin, "subtract"));
    say_error("  ADD", GetProcAddress(plugin, "ADD"));
}

static void say_diary(void) {
    for (u32 i = 0; i < diary.count; i++) {
        put("  entry point of DLL ");
        put_decimal(diary.notes[i].dll);
        put(" called with reason ");
        put_decimal(diary.notes[i].reason);
        end_line();
    }
}

static void unload(Handle plugin) {
    Handle second = *(Handle *)address_of(plugin, "second");
    *(Diary **)address_of(plugin, "diary") = &diary;
    *(Diary **)address_of(second, "diary") = &diary;
    say("unloading");
    say_if(LoadLibraryA("PLUGIN") == plugin, "loaded again, it is the same");
    if (!FreeLibrary(plugin)) fail("FreeLibrary");
    say_if(diary.count == 0 && GetModuleHandleA("plugin.dll") == plugin, "freed once, it is still there");
    if (!FreeLibrary(plugin)) fail("FreeLibrary");
    say_diary();
    say_error("  plugin.dll", GetModuleHandleA("plugin.dll"));
    say_error("  plugin2.dll", GetModuleHandleA("plugin2.dll"));
    say_if(query(plugin).state == MEM_FREE && query(second).state == MEM_FREE, "their pages are free");
}

static void load_again(void) {
    Handle plugin = LoadLibraryA("C:\\work\\plugin.dll");
    if (!plugin) fail("LoadLibraryA");
    say("loaded anew by its path");
    say_if((usize)plugin == PREFERRED_BASE, "is where it prefers to be");
    say_result("count of entry point calls", ((const Seen *)address_of(plugin, "seen"))->calls);
    diary.count = 0;
    if (!FreeLibrary(plugin)) fail("FreeLibrary");
}

static void load_refusing(const char *name) {
    put("loading ");
    say(name);
    say_error("  LoadLibraryA", LoadLibraryA(name));
    say_error("  refusing.dll", GetModuleHandleA("refusing.dll"));
    say_error("  relying.dll", GetModuleHandleA("relying.dll"));
}

void start(void) {
    look_before();
    Handle plugin = LoadLibraryA("plugin.dll");
    if (!plugin) fail("LoadLibraryA");
    look_at_plugin(plugin);
    look_at_second(plugin);
    look_at_pages(plugin);
    ask_for_what_is_missing(plugin);
    unload(plugin);
    load_again();
    load_refusing("refusing.dll");
    load_refusing("relying.dll");
    ExitProcess(0);
}
