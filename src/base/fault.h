/* fault.h - places where tests make things go wrong; nothing in the release build.
 *
 * MR_CRASH(id)   a crash point, named in sim/README.md: the process may end here.
 * MR_PROBE(name) a rare state that tests must have reached.
 * MR_BUGGIFY()   true now and then: take the rare way (flush early, come short, be slow).
 * MR_PLANT(id)   true when the test runs with this known bug planted: the museum.
 *
 * Compiled in with -Dfaults=true; who decides is the simulator or a test, through one table.
 *
 * Owns:    the table's pointer, the only global of the engine, and only in that build.
 * Thread:  set before threads start.
 * Fails:   none. MR_CRASH may not return.
 * Cost:    none in the release build.
 */
#ifndef MR_BASE_FAULT_H
#define MR_BASE_FAULT_H

#include "base/compiler.h"

#ifdef MR_FAULTS

struct mr_faults {
    void *self;
    void (*crash)(void *self, const char *id);
    void (*probe)(void *self, const char *name);
    bool (*buggify)(void *self, const char *file, int line);
    bool (*plant)(void *self, const char *id);
};
extern const struct mr_faults *mr_faults; /* NULL: all is well */

#define MR_CRASH(id) \
    (mr_faults != NULL && mr_faults->crash != NULL ? mr_faults->crash(mr_faults->self, id) : (void)0)
#define MR_PROBE(name) \
    (mr_faults != NULL && mr_faults->probe != NULL ? mr_faults->probe(mr_faults->self, name) : (void)0)
#define MR_BUGGIFY()                                   \
    (mr_faults != NULL && mr_faults->buggify != NULL && \
     mr_faults->buggify(mr_faults->self, __FILE__, __LINE__))
#define MR_PLANT(id) \
    (mr_faults != NULL && mr_faults->plant != NULL && mr_faults->plant(mr_faults->self, id))

#else

#define MR_CRASH(id)   ((void)0)
#define MR_PROBE(name) ((void)0)
#define MR_BUGGIFY()   false
#define MR_PLANT(id)   false

#endif
#endif
