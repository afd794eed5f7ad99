/* csv_corpus_test.c - the files of test/corpus/csv, with what must come out of each, written by
 * hand. */
#include "connect/csv/csv_internal.h"
#include "connect/source_test_helper.h"
#include "port/posix/posix.h"

struct corpus_case {
    const char *file;
    const char *rows;    /* NULL: */
    const char *rejects; /* then the text of the error */
    size_t rows_size;    /* 0: strlen; for rows with zero bytes */
};

static const struct corpus_case cases[] = {
    {"plain.csv", "x|1|y\n", "", 0},
    {"crlf.csv", "x|1|y\nq|2|r\n", "", 0},
    {"no-last-newline.csv", "x|1|y\n", "", 0},
    {"bom.csv", "x|1|y\n", "", 0},
    {"empty.csv", "", "", 0},
    {"only-header.csv", "", "", 0},
    {"only-bom.csv", "", "", 0},
    {"blank-lines.csv", "x|1|y\nz|2|w\n", "", 0},
    {"quoted-newline.csv", "two\nlines|1|y\n", "4:2: 'bad' is not an int64 [x,bad,y]\n", 0},
    {"doubled-quotes.csv", "say \"hi\"|1|\"\n", "", 0},
    {"too-few.csv", "x|1|y\n", "2:0: expected 3 fields, found 2 [x,1]\n", 0},
    {"too-many.csv", "x|1|y\n", "2:0: expected 3 fields, found 4 [x,1,y,z]\n", 0},
    {"quote-in-field.csv", "x|1|y\n", "2:1: quote inside an unquoted field [x\"y,1,z]\n", 0},
    {"text-behind-quote.csv", "x|1|y\n", "2:1: text behind a closing quote [\"x\"y,1,z]\n", 0},
    {"space-before-quote.csv", "x|1|y\n", "2:1: quote inside an unquoted field [ \"x\",1,z]\n", 0},
    {"space-behind-quote.csv", "x|1|y\n", "2:1: text behind a closing quote [\"x\" ,1,z]\n", 0},
    {"never-closed.csv", "x|1|y\n",
     "3:3: the quote that opens in line 3 is never closed [x,2,\"y\nz,3,w\n]\n", 0},
    {"lone-quote.csv", "", "2:1: the quote that opens in line 2 is never closed [\"]\n", 0},
    {"three-quotes.csv", "",
     "2:1: the quote that opens in line 2 is never closed [\"\"\",1,y\nx,1,y\n]\n", 0},
    {"bad-number.csv", "x|NULL|y\nx|NULL|y\n",
     "2:2: '12x' is not an int64 [x,12x,y]\n5:2: '' is not an int64 [x,\"\",y]\n", 0},
    {"bad-utf8.csv", "x|1|y\n",
     "2:1: the text is not valid UTF-8 [\xff,1,y]\n3:3: the text is not valid UTF-8 [x,1,\xc3]\n",
     0},
    {"zeros.csv", "\0|1|\0\0\n", NULL, 7},
    {"cr-only.csv", NULL, "has no column 'b'; its header is: a, n", 0},
    {"binary.csv", NULL, "column 1 of the header: quote inside an unquoted field", 0},
    {"gzip.csv.gz", "x|1|y\n", "3:2: 'z' is not an int64 [x,z,y]\n", 0},
    {"gzip-cut.csv.gz", NULL, "gzip-cut.csv.gz: the compressed data ends early", 0},
    {"not-gzip.csv.gz", "x|1|y\n", "", 0},
    {"missing-column.csv", NULL, "missing-column.csv has no column 'n'; its header is: a, b", 0},
    {"double-column.csv", NULL, "the header has the column 'n' twice (columns 2 and 4)", 0},
    {"separators.csv", NULL, "has no column 'a'; its header is: , , , ", 0},
};

static const struct mr_field fields[] = {{.name = "a", .type = MR_UTF8},
                                         {.name = "n", .type = MR_INT64},
                                         {.name = "b", .type = MR_UTF8}};
static const char *const nulls[] = {"NA"};

static void expect_case(const struct corpus_case *c, struct mr_disk *disk, uint64_t split_bytes)
{
    const char *root = getenv("MR_SOURCE_ROOT");
    char path[1000];
    const struct mr_csv_options options = {.path = path,
                                           .fields = fields,
                                           .field_count = 3,
                                           .null_literals = nulls,
                                           .null_literal_count = 1};
    struct mr_source source;
    struct source_result result;
    struct mr_error err;

    (void)snprintf(path, sizeof path, "%s/test/corpus/csv/%s", root != NULL ? root : ".", c->file);
    MR_EXPECT_OK(mr_csv_source(mr_test_heap(), &options, &source, &err), &err);
    if (split_bytes > 0) mri_csv_source_split_bytes(&source, split_bytes);
    result = run_source(&source, mr_test_heap(), disk, (struct source_run){.interleaved = true});
    if (c->rows == NULL) {
        if (result.status == MR_OK) MR_FAIL("%s was read without an error", c->file);
        MR_EXPECT_CONTAINS(result.err.text, c->rejects);
    } else {
        MR_EXPECT_OK(result.status, &result.err);
        if (c->rows_size > 0) {
            MR_EXPECT_EQ_BYTES(result.rows, c->rows, c->rows_size);
        } else {
            MR_EXPECT_EQ_STR(result.rows, c->rows);
        }
        if (c->rejects != NULL && split_bytes == 0) MR_EXPECT_EQ_STR(result.rejects, c->rejects);
    }
    free_result(&result);
    end_source(&source);
}

MR_TEST(csv_corpus, every_file_gives_what_is_written_down)
{
    struct mr_port port;
    struct mr_error err;
    struct mr_disk *disk;

    MR_EXPECT_OK(mr_posix_port_init(&port, 0, 1, &err), &err);
    disk = port.disk_create(port.self, mr_test_heap());
    MR_EXPECT(disk != NULL);
    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        expect_case(&cases[i], disk, 0);
        expect_case(&cases[i], disk, 5);
    }
    port.disk_destroy(port.self, disk);
    mr_posix_port_fini(&port);
}
