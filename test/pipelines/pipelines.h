/* pipelines.h - test pipelines: C builders registered by name, each with input and golden result.
 *
 * A builder makes streams in a job and hands the last one to `collect`. The golden results in
 * golden/NAME.csv are made by golden/make.py with DuckDB or plain Python from the same input; they
 * are never copied from our own output. pipelines_test.c runs every pipeline in many ways that must
 * all agree.
 *
 * Owns:    none.
 * Thread:  builders run on the test's thread; functions inside them must be stateless.
 * Fails:   none.
 * Cost:    each pipeline runs some hundred times: keep inputs below a few thousand rows.
 */
#ifndef MR_TEST_PIPELINES_H
#define MR_TEST_PIPELINES_H

#include <millrace/millrace.h>

struct pipeline {
    const char *name;
    void (*build)(struct mr_job *job);
    bool ordered;        /* rows must come in the golden order (sort, top) */
    bool streaming_only; /* late rows: a batch run has none */
    enum mr_on_error on_error;
    /* Expected counts; UINT64_MAX: not checked. */
    uint64_t rows_late;
    uint64_t rows_rejected;
};

extern const struct pipeline pipelines[];
extern const unsigned pipeline_count;

/* Where files of test/pipelines/data are: valid until the next call. */
const char *pipeline_data(const char *name);
/* Ends a pipeline: its rows are what the golden file is compared with. */
void collect(struct mr_stream *in);

#endif
