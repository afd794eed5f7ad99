/* arrow.h - the two structs of the Arrow C data interface.
 *
 * This is the binary interface that Arrow's specification fixes; names and layout are Arrow's, not
 * ours. Whoever receives a struct calls its `release` once and then does not use it any more; a
 * released struct has release == NULL. The guard macro is the one of the specification, so that a
 * program may include other copies of it. Columns already lie in memory as Arrow wants them
 * (data/column.h); the conversion is not here.
 *
 * Owns:    each struct says by `release` who frees what it points to.
 * Thread:  any; a struct belongs to one thread at a time.
 * Fails:   none.
 * Cost:    none.
 */
#ifndef MR_DATA_ARROW_H
#define MR_DATA_ARROW_H

#include <stdint.h>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE           2
#define ARROW_FLAG_MAP_KEYS_SORTED    4

struct ArrowSchema {
    const char *format; /* type, for instance "l" for int64, "vu" for string views */
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count; /* -1: not known */
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */
#endif
