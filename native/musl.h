// Included before everything else when the addon is cross-built for musl: what the headers of a libstdc++ that was made for
// glibc take for granted and musl has not. None of it changes the layout of anything that the addon uses.
#define __GLIBC_PREREQ(major, minor) 0
#define __locale_t locale_t
#include <bits/c++config.h>
#undef _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT
#undef _GLIBCXX_USE_PTHREAD_MUTEX_CLOCKLOCK
