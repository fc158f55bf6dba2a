// What a libstdc++ that was made for glibc asks for and musl has not, as far as a test program gets: see elsewhere.test.ts.
#define _GNU_SOURCE
#include <locale.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded;
struct {
  unsigned vendor, type, subtype, features;
} __cpu_model;

int __cpu_indicator_init(void) { return 0; }
int __cxa_thread_atexit_impl(void (*end)(void *), void *object, void *library) { return 0; }
size_t __strftime_l(char *text, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}
unsigned arc4random(void) {
  unsigned number;
  return getrandom(&number, sizeof number, 0) == sizeof number ? number : 0;
}
int _dl_find_object(void *address, void *result) { return -1; }

// Of GCC 13: a string's part of `old` bytes at `place` becomes `size` others, before `after` more.
void replace_cold(void *string, char *place, size_t old, const char *given, size_t size, size_t after)
    __asm__("_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm");
void replace_cold(void *string, char *place, size_t old, const char *given, size_t size, size_t after) {
  char copy[size + 1];
  memcpy(copy, given, size);
  memmove(place + size, place + old, after);
  memcpy(place, copy, size);
}
