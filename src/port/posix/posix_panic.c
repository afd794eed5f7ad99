/* posix_panic.c - what happens when an assertion does not hold: say it and stop. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void mr_panic(const char *file, int line, const char *what)
{
    (void)fprintf(
        stderr,
        "millrace: internal error at %s:%d: %s\n"
        "This is a bug in millrace, not in the job or its data. The process stops here.\n",
        file, line, what);
    (void)fflush(stderr);
    abort();
}
