/* csv_source_test.c - the CSV source against a slow reader that was written from the rules. */
#include "base/prng.h"
#include "connect/csv/csv_internal.h"
#include "connect/source_test_helper.h"
#include "memory_disk.h"

/* ---- the slow reader ---- */

enum { TEXT_ROOM = 1 << 20 };

struct oracle {
    const char *text;
    size_t size;
    size_t at;
    uint64_t line;
    char delimiter;
    uint32_t columns; /* a text, n number, b text; or fewer */
    FILE *rows;
    FILE *rejects;
};

struct oracle_field {
    char value[400];
    size_t size;
    bool quoted;
    const char *fault;
};

/* One field; answers what ended it: the delimiter, '\n', or 0 for the end of the text. */
static char oracle_field(struct oracle *o, struct oracle_field *field, bool *unclosed)
{
    memset(field, 0, sizeof *field);
    if (o->at < o->size && o->text[o->at] == '"') {
        field->quoted = true;
        for (o->at++;;) {
            if (o->at == o->size) {
                *unclosed = true;
                return 0;
            }
            if (o->text[o->at] == '"') {
                o->at++;
                if (o->at == o->size || o->text[o->at] != '"') break;
            }
            field->value[field->size++] = o->text[o->at++];
        }
    }
    for (;; o->at++) {
        char c;

        if (o->at == o->size) break;
        c = o->text[o->at];
        if (c == o->delimiter || c == '\n') {
            o->at++;
            return c;
        }
        if (c == '\r' && (o->at + 1 == o->size || o->text[o->at + 1] == '\n')) continue;
        if (field->quoted && field->fault == NULL) field->fault = "text behind a closing quote";
        if (!field->quoted && c == '"') field->fault = "quote inside an unquoted field";
        if (!field->quoted) field->value[field->size++] = c;
    }
    return 0;
}

static bool oracle_utf8(const struct oracle_field *field)
{
    for (size_t i = 0; i < field->size; i++) {
        unsigned char c = (unsigned char)field->value[i];

        if (c == 0xc3) {
            if (i + 1 == field->size || (unsigned char)field->value[i + 1] != 0xa9) return false;
            i++;
        } else if (c >= 0x80) {
            return false;
        }
    }
    return true;
}

static bool oracle_number(const struct oracle_field *field)
{
    size_t at = field->size > 0 && (field->value[0] == '-' || field->value[0] == '+');

    if (at == field->size) return false;
    for (; at < field->size; at++) {
        if (field->value[at] < '0' || field->value[at] > '9') return false;
    }
    return true;
}

static void oracle_print(const struct oracle_field *field, bool number, FILE *out)
{
    char digits[64];

    if (field->size == 0 && !field->quoted) {
        (void)fputs("NULL", out);
    } else if (!field->quoted && field->size == 2 && memcmp(field->value, "NA", 2) == 0) {
        (void)fputs("NULL", out);
    } else if (number) {
        memcpy(digits, field->value, field->size);
        digits[field->size] = '\0';
        (void)fprintf(out, "%lld", strtoll(digits, NULL, 10));
    } else {
        (void)fwrite(field->value, 1, field->size, out);
    }
}

static bool oracle_is_null(const struct oracle_field *field)
{
    if (field->quoted) return false;
    return field->size == 0 || (field->size == 2 && memcmp(field->value, "NA", 2) == 0);
}

/* A value as messages show it: control characters and what is no UTF-8 as escapes, 60 bytes at
 * most. */
static void oracle_show(const struct oracle_field *field, char *out)
{
    size_t at = 0;

    *out = '\0';
    while (at < field->size && at < 60) {
        unsigned char c = (unsigned char)field->value[at];
        unsigned char next = at + 1 < field->size ? (unsigned char)field->value[at + 1] : 0;

        if (c == 0xc3 && next == 0xa9) {
            out += sprintf(out, "\xc3\xa9");
            at++;
        } else if (c == '\n' || c == '\r') {
            out += sprintf(out, c == '\n' ? "\\n" : "\\r");
        } else if (c >= 0x80) {
            out += sprintf(out, "\\x%02x", c);
        } else {
            out += sprintf(out, "%c", c);
        }
        at++;
    }
    if (at < field->size) (void)sprintf(out, "...");
}

static void oracle_reject(struct oracle *o, size_t begin, size_t end, uint64_t line,
                          uint32_t column, const char *reason)
{
    if (end > begin && o->text[end - 1] == '\r') end--;
    (void)fprintf(o->rejects, "%llu:%u: %s [%.*s]\n", (unsigned long long)line, column, reason,
                  (int)MR_MIN(end - begin, (size_t)60), o->text + begin);
}

static void oracle_record(struct oracle *o)
{
    struct oracle_field fields[3], extra;
    size_t begin = o->at;
    uint64_t line = o->line;
    uint32_t count = 0, fault_column = 0;
    const char *fault = NULL;
    char reason[300];
    bool unclosed = false;
    size_t record_end;
    char end;

    do {
        struct oracle_field *field = count < 3 ? &fields[count] : &extra;
        size_t field_begin = o->at;

        end = oracle_field(o, field, &unclosed);
        count++;
        if (unclosed) {
            uint64_t quote_line = line;

            for (size_t i = begin; i < field_begin; i++) quote_line += o->text[i] == '\n';
            (void)snprintf(reason, sizeof reason,
                           "the quote that opens in line %llu is never closed",
                           (unsigned long long)quote_line);
            oracle_reject(o, begin, o->size, line, count, reason);
            return;
        }
        if (field->fault != NULL && fault == NULL) {
            fault = field->fault;
            fault_column = count;
        }
    } while (end != 0 && end != '\n');
    for (size_t i = begin; i < o->at; i++) o->line += o->text[i] == '\n';
    record_end = end == '\n' ? o->at - 1 : o->at;
    if (count == 1 && !fields[0].quoted && fields[0].size == 0 && o->columns > 1) return;
    if (fault != NULL) {
        oracle_reject(o, begin, record_end, line, fault_column, fault);
        return;
    }
    if (count != o->columns) {
        (void)snprintf(reason, sizeof reason, "expected %u field%s, found %u", o->columns,
                       o->columns == 1 ? "" : "s", count);
        oracle_reject(o, begin, record_end, line, 0, reason);
        return;
    }
    for (uint32_t c = 0; c < count; c++) {
        if (oracle_is_null(&fields[c])) continue;
        if (c == 1 && !oracle_number(&fields[c])) {
            char shown[200];

            oracle_show(&fields[c], shown);
            (void)snprintf(reason, sizeof reason, "'%s' is not an int64", shown);
            oracle_reject(o, begin, record_end, line, c + 1, reason);
            return;
        }
        if (c != 1 && !oracle_utf8(&fields[c])) {
            oracle_reject(o, begin, record_end, line, c + 1, "the text is not valid UTF-8");
            return;
        }
    }
    for (uint32_t c = 0; c < count; c++) {
        if (c > 0) (void)fputc('|', o->rows);
        oracle_print(&fields[c], c == 1, o->rows);
    }
    (void)fputc('\n', o->rows);
}

static void run_oracle(const char *text, size_t size, uint32_t columns, char **out_rows,
                       char **out_rejects)
{
    size_t rows_size, rejects_size;
    struct oracle o = {.text = text, .size = size, .line = 1, .delimiter = ',', .columns = columns};

    o.rows = open_memstream(out_rows, &rows_size);
    o.rejects = open_memstream(out_rejects, &rejects_size);
    while (o.at < o.size) oracle_record(&o);
    (void)fclose(o.rows);
    (void)fclose(o.rejects);
}

/* Line numbers in the middle of a file are not the reader's business: leave them out. */
static char *without_lines(const char *rejects)
{
    char *out = NULL;
    size_t size;
    FILE *file = open_memstream(&out, &size);

    while (*rejects != '\0') {
        const char *end = strstr(rejects, "]\n");
        const char *colon = strchr(rejects, ':');
        const char *quote = strstr(rejects, "the quote that opens ");
        const char *closed = strstr(rejects, "is never closed");

        end = end != NULL ? end + 2 : rejects + strlen(rejects);
        if (colon != NULL && colon[1] != ' ' && strspn(rejects, "0123456789") > 0) rejects = colon;
        if (quote != NULL && closed != NULL && closed < end && quote < closed) {
            (void)fwrite(rejects, 1, (size_t)(quote - rejects), file);
            rejects = closed;
        }
        (void)fwrite(rejects, 1, (size_t)(end - rejects), file);
        rejects = end;
    }
    (void)fclose(file);
    return out;
}

/* ---- making sources ---- */

static const struct mr_field three[] = {{.name = "a", .type = MR_UTF8},
                                        {.name = "n", .type = MR_INT64},
                                        {.name = "b", .type = MR_UTF8}};
static const char *const nulls[] = {"NA"};

static struct mr_source make_source(const char *path, bool no_header, uint64_t split_bytes)
{
    const struct mr_csv_options options = {.path = path,
                                           .fields = three,
                                           .field_count = MR_COUNT(three),
                                           .no_header = no_header,
                                           .null_literals = nulls,
                                           .null_literal_count = 1};
    struct mr_source source;
    struct mr_error err;

    MR_EXPECT_OK(mr_csv_source(mr_test_heap(), &options, &source, &err), &err);
    if (split_bytes > 0) mri_csv_source_split_bytes(&source, split_bytes);
    return source;
}

/* ---- random texts ---- */

static size_t put(char *out, size_t at, const char *text)
{
    size_t size = strlen(text);

    memcpy(out + at, text, size);
    return at + size;
}

static size_t random_field(struct mr_prng *prng, char *out, size_t at, bool number)
{
    static const char *const numbers[] = {"0",         "-1", "42", "+7",
                                          "123456789", "NA", "",   "1234567890123"};
    static const char *const texts[] = {"",
                                        "NA",
                                        "x",
                                        "plain",
                                        "a text that is long",
                                        "\"\"",
                                        "\"quoted\"",
                                        "\"a,b\"",
                                        "\"line\nend\"",
                                        "\"say \"\"hi\"\"\"",
                                        "\"a longer text, with \"\"quotes\"\"\"",
                                        "caf\xc3\xa9",
                                        "\"NA\"",
                                        "\"\r\n\""};

    if (number) return put(out, at, numbers[mr_prng_below(prng, MR_COUNT(numbers))]);
    return put(out, at, texts[mr_prng_below(prng, MR_COUNT(texts))]);
}

/* Records of three fields, then some bytes broken. */
static size_t random_csv(struct mr_prng *prng, char *out, uint32_t records, uint32_t damage)
{
    static const char bytes[] = "\",\n\r1x\xc3\xa9";
    size_t size = 0;

    for (uint32_t r = 0; r < records; r++) {
        for (uint32_t c = 0; c < 3; c++) {
            if (c > 0) out[size++] = ',';
            size = random_field(prng, out, size, c == 1);
        }
        size = put(out, size, mr_prng_below(prng, 3) == 0 ? "\r\n" : "\n");
        if (mr_prng_below(prng, 9) == 0) out[size++] = '\n';
    }
    if (mr_prng_below(prng, 2) == 0 && size > 0) size--;
    for (uint32_t i = 0; i < damage && size > 0; i++) {
        out[mr_prng_below(prng, size)] = bytes[mr_prng_below(prng, sizeof bytes - 1)];
    }
    return size;
}

static void expect_same(struct mr_source *source, struct memory_disk *disk, struct source_run run,
                        const char *rows, const char *rejects)
{
    struct source_result result = run_source(source, mr_test_heap(), &disk->disk, run);
    char *expected = without_lines(rejects);
    char *actual;

    MR_EXPECT_OK(result.status, &result.err);
    MR_EXPECT_EQ_STR(result.rows, rows);
    actual = without_lines(result.rejects);
    MR_EXPECT_EQ_STR(actual, expected);
    if (result.splits == 1) MR_EXPECT_EQ_STR(result.rejects, rejects);
    free(actual);
    free(expected);
    free_result(&result);
}

/* The master property: whatever the bytes, the cutting, the batches and the disk, the result is
 * that of reading the file in one go. */
MR_TEST(csv_source, any_bytes_give_the_same_rows_for_any_cutting)
{
    static char text[TEXT_ROOM];
    struct mr_prng prng;

    mr_prng_init(&prng, 7, 1);
    for (uint32_t round = 0; round < 120; round++) {
        uint32_t records = 1 + (uint32_t)mr_prng_below(&prng, round % 10 == 0 ? 400 : 12);
        size_t size = random_csv(&prng, text, records, round % 3 == 0 ? 0 : round % 20);
        struct memory_disk disk;
        char *rows, *rejects;

        run_oracle(text, size, 3, &rows, &rejects);
        memory_disk_init(&disk, mr_test_heap());
        memory_disk_put(&disk, "in.csv", text, size);
        memory_disk_put(&disk, "stdin", text, size);
        for (uint32_t i = 0; i < 8; i++) {
            uint64_t split = i == 0 ? 0 : 4 + mr_prng_below(&prng, 60);
            struct mr_source source = make_source(i == 7 ? "-" : "in.csv", true, split);
            struct source_run run = {.row_limit = i % 3 == 1   ? 1
                                                  : i % 3 == 2 ? 3
                                                               : 0,
                                     .interleaved = i % 2 == 1};

            disk.read_bytes_max = i == 2 ? 1 : i == 3 ? 7 : 0;
            disk.late_every = i == 4 ? 2 : 0;
            disk.stream_pause = i == 7 ? 1 + mr_prng_below(&prng, 40) : 0;
            memory_disk_find(&disk, "stdin")->stream_at = 0;
            expect_same(&source, &disk, run, rows, rejects);
            end_source(&source);
        }
        free(rows);
        free(rejects);
        memory_disk_fini(&disk);
    }
}

/* A quoted newline at every byte of a border must not be taken for the end of a record; nor may a
 * quote at a wrong place make the readers of two splits disagree. */
static void expect_any_border(const char *middle)
{
    char text[400];

    for (uint32_t shift = 0; shift < 40; shift++) {
        struct memory_disk disk;
        struct mr_source source = make_source("in.csv", true, 64);
        char *rows, *rejects;
        size_t size = 0;

        for (uint32_t i = 0; i < 30 + shift; i++) text[size++] = 'x';
        size = put(text, size, ",1,y\n");
        size = put(text, size, middle);
        size = put(text, size, "\nlast,2,\"one\"\nreally,3,last\n");
        while (size < 250) size = put(text, size, "more,4,\"\"\n");
        run_oracle(text, size, 3, &rows, &rejects);
        memory_disk_init(&disk, mr_test_heap());
        memory_disk_put(&disk, "in.csv", text, size);
        expect_same(&source, &disk, (struct source_run){.interleaved = true}, rows, rejects);
        expect_same(&source, &disk, (struct source_run){.interleaved = false}, rows, rejects);
        end_source(&source);
        memory_disk_fini(&disk);
        free(rows);
        free(rejects);
    }
}

MR_TEST(csv_source, a_quoted_newline_at_every_byte_of_a_border_is_data)
{
    expect_any_border("\"a\nb\",5,c");
    expect_any_border("\"\n\",5,\"\n\n\"");
    expect_any_border("\"say \"\"\n\"\"\",5,c");
    expect_any_border("\"a\r\nb\",5,\"c\"\r");
}

MR_TEST(csv_source, bad_quotes_at_every_byte_of_a_border_reject_the_same_records)
{
    expect_any_border("a\"b,5,c");
    expect_any_border("\"a\"b,5,c");
    expect_any_border("a,5,\"never closed");
    expect_any_border("\"\"\",5,\"x\"\n\"a,b\",6,c");
    expect_any_border("\"a\"\r,5,c");
}

/* ---- header ---- */

struct header_case {
    const char *text;
    const char *rows; /* or NULL: */
    const char *error;
};

MR_TEST(csv_source, columns_are_found_by_name)
{
    static const struct header_case cases[] = {
        {"a,n,b\nx,1,y\n", "x|1|y\n", NULL},
        {"b,extra,n,a\ny,?,1,x\n", "x|1|y\n", NULL},
        {"\xef\xbb\xbf"
         "a,n,b\nx,1,y\n",
         "x|1|y\n", NULL},
        {"\xef\xbb\xbf\"a\",\"n\",\"b\"\r\nx,1,y\r\n", "x|1|y\n", NULL},
        {"a,n,b", "", NULL},
        {"a,n,b\n", "", NULL},
        {"", "", NULL},
        {"\xef\xbb\xbf", "", NULL},
        {"a,n\nx,1\n", NULL, "in.csv has no column 'b'; its header is: a, n"},
        {"a,n,b,a\nx,1,y,z\n", NULL,
         "in.csv: the header has the column 'a' twice (columns 1 and 4)"},
        {"\n", NULL, "in.csv has no column 'a'; its header is: "},
        {"a,\"n,b\nx,1,y\n", NULL, "in.csv:1: column 2 of the header: a quote is not closed"},
        {"a,n\"o,b\n", NULL, "in.csv:1: column 2 of the header: quote inside an unquoted field"},
        {"x,x,a,n,b\n1,2,x,1,y\n", "x|1|y\n", NULL}, /* doubles that nobody asks for */
    };

    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        for (uint32_t stream = 0; stream < 2; stream++) {
            struct mr_source source = make_source(stream ? "-" : "in.csv", false, 0);
            struct memory_disk disk;
            struct source_result result;

            memory_disk_init(&disk, mr_test_heap());
            memory_disk_put(&disk, "in.csv", cases[i].text, strlen(cases[i].text));
            memory_disk_put(&disk, "stdin", cases[i].text, strlen(cases[i].text));
            disk.stream_pause = 2;
            result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
            if (cases[i].rows != NULL) {
                MR_EXPECT_OK(result.status, &result.err);
                MR_EXPECT_EQ_STR(result.rows, cases[i].rows);
                MR_EXPECT_EQ_STR(result.rejects, "");
            } else {
                MR_EXPECT(result.status == MR_E_SCHEMA || result.status == MR_E_RECORD);
                MR_EXPECT_CONTAINS(result.err.text,
                                   stream ? strchr(cases[i].error, ' ') : cases[i].error);
            }
            free_result(&result);
            end_source(&source);
            memory_disk_fini(&disk);
        }
    }
}

/* ---- types ---- */

struct type_case {
    struct mr_field field;
    const char *text;
    const char *row; /* or NULL: */
    const char *reason;
};

static const struct type_case type_cases[] = {
    {{.name = "v", .type = MR_INT64}, "0", "0", NULL},
    {{.name = "v", .type = MR_INT64}, "-12", "-12", NULL},
    {{.name = "v", .type = MR_INT64}, "12345678", "12345678", NULL},
    {{.name = "v", .type = MR_INT64}, "123456789", "123456789", NULL},
    {{.name = "v", .type = MR_INT64}, "-9223372036854775808", "-9223372036854775808", NULL},
    {{.name = "v", .type = MR_INT64},
     "9223372036854775808",
     NULL,
     "'9223372036854775808' does not fit int64"},
    {{.name = "v", .type = MR_INT64}, "+5", "5", NULL},
    {{.name = "v", .type = MR_INT64}, "\"17\"", "17", NULL},
    {{.name = "v", .type = MR_INT64}, "007", "7", NULL},
    {{.name = "v", .type = MR_INT64}, "12x", NULL, "'12x' is not an int64"},
    {{.name = "v", .type = MR_INT64}, "1:", NULL, "'1:' is not an int64"},
    {{.name = "v", .type = MR_INT64}, "/1", NULL, "'/1' is not an int64"},
    {{.name = "v", .type = MR_INT64}, "-", NULL, "'-' is not an int64"},
    {{.name = "v", .type = MR_INT64}, "--1", NULL, "'--1' is not an int64"},
    {{.name = "v", .type = MR_INT64}, " 1", NULL, "' 1' is not an int64"},
    {{.name = "v", .type = MR_INT64}, "\"\"", NULL, "'' is not an int64"},
    {{.name = "v", .type = MR_INT64}, "1.0", NULL, "'1.0' is not an int64"},
    {{.name = "v", .type = MR_INT8}, "127", "127", NULL},
    {{.name = "v", .type = MR_INT8}, "-128", "-128", NULL},
    {{.name = "v", .type = MR_INT8}, "128", NULL, "'128' does not fit int8"},
    {{.name = "v", .type = MR_INT16}, "-32768", "-32768", NULL},
    {{.name = "v", .type = MR_INT16}, "32768", NULL, "'32768' does not fit int16"},
    {{.name = "v", .type = MR_INT32}, "2147483647", "2147483647", NULL},
    {{.name = "v", .type = MR_INT32}, "-2147483649", NULL, "'-2147483649' does not fit int32"},
    {{.name = "v", .type = MR_FLOAT64}, "1.5", "1.5", NULL},
    {{.name = "v", .type = MR_FLOAT64}, "1e3", "1000", NULL},
    {{.name = "v", .type = MR_FLOAT64}, "0.1", "0.10000000000000001", NULL},
    {{.name = "v", .type = MR_FLOAT64}, "inf", "inf", NULL},
    {{.name = "v", .type = MR_FLOAT64}, "1.5.", NULL, "'1.5.' is not a float64"},
    {{.name = "v", .type = MR_FLOAT64}, "1e999", NULL, "'1e999' does not fit float64"},
    {{.name = "v", .type = MR_FLOAT32}, "0.5", "0.5", NULL},
    {{.name = "v", .type = MR_FLOAT32}, "x", NULL, "'x' is not a float32"},
    {{.name = "v", .type = MR_BOOL}, "true", "1", NULL},
    {{.name = "v", .type = MR_BOOL}, "FALSE", "0", NULL},
    {{.name = "v", .type = MR_BOOL}, "t", "1", NULL},
    {{.name = "v", .type = MR_BOOL}, "0", "0", NULL},
    {{.name = "v", .type = MR_BOOL}, "yes", NULL, "'yes' is not a bool"},
    {{.name = "v", .type = MR_DECIMAL, .precision = 5, .scale = 2}, "12.5", "1250*2", NULL},
    {{.name = "v", .type = MR_DECIMAL, .precision = 5, .scale = 2}, "-999.99", "-99999*2", NULL},
    {{.name = "v", .type = MR_DECIMAL, .precision = 5, .scale = 2},
     "1000",
     NULL,
     "'1000' does not fit decimal(5,2)"},
    {{.name = "v", .type = MR_DECIMAL, .precision = 5, .scale = 2},
     "1.005",
     NULL,
     "'1.005' does not fit decimal(5,2)"},
    {{.name = "v", .type = MR_DECIMAL, .precision = 5, .scale = 2}, "1,0", NULL, NULL},
    {{.name = "v", .type = MR_DATE}, "1970-01-02", "1", NULL},
    {{.name = "v", .type = MR_DATE}, "2013-02-29", NULL, "'2013-02-29' is not a date"},
    {{.name = "v", .type = MR_DATE}, "2013-1-1", NULL, "'2013-1-1' is not a date"},
    {{.name = "v", .type = MR_TIME}, "00:00:01", "1000000", NULL},
    {{.name = "v", .type = MR_TIME}, "25:00:00", NULL, "'25:00:00' is not a time"},
    {{.name = "v", .type = MR_TIMESTAMP}, "1970-01-01 00:00:02", "2000000", NULL},
    {{.name = "v", .type = MR_TIMESTAMP}, "1970-01-01T00:00:02.5", "2500000", NULL},
    {{.name = "v", .type = MR_TIMESTAMP},
     "1970-01-01T00:00:02Z",
     NULL,
     "'1970-01-01T00:00:02Z' is not a timestamp"},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ}, "1970-01-01T00:00:02Z", "2000000", NULL},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ}, "2013-01-01T10:00:00Z", "1357034400000000", NULL},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ}, "1970-01-01T01:00:02+01:00", "2000000", NULL},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ}, "1969-12-31T23:59:59Z", "-1000000", NULL},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ},
     "1970-01-01T24:00:00Z",
     NULL,
     "'1970-01-01T24:00:00Z' is not a timestamp_ltz"},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ},
     "1970-01-01T10:60:00Z",
     NULL,
     "'1970-01-01T10:60:00Z' is not a timestamp_ltz"},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ},
     "1970-01-01T10-00-00Z",
     NULL,
     "'1970-01-01T10-00-00Z' is not a timestamp_ltz"},
    {{.name = "v", .type = MR_TIMESTAMP_LTZ},
     "1970-01-01T1a:00:00Z",
     NULL,
     "'1970-01-01T1a:00:00Z' is not a timestamp_ltz"},
    {{.name = "v", .type = MR_INTERVAL}, "1h", "3600000000", NULL},
    {{.name = "v", .type = MR_INTERVAL}, "later", NULL, "'later' is not an interval"},
    {{.name = "v", .type = MR_UTF8}, "NA", "NULL", NULL},
    {{.name = "v", .type = MR_UTF8}, "\"NA\"", "NA", NULL},
    {{.name = "v", .type = MR_UTF8}, "", "NULL", NULL},
    {{.name = "v", .type = MR_UTF8}, "\"\"", "", NULL},
    {{.name = "v", .type = MR_UTF8}, "twelve bytes", "twelve bytes", NULL},
    {{.name = "v", .type = MR_UTF8}, "thirteenbytes", "thirteenbytes", NULL},
    {{.name = "v", .type = MR_UTF8},
     "\"he said \"\"hello there\"\"\"",
     "he said \"hello there\"",
     NULL},
    {{.name = "v", .type = MR_UTF8}, "\xff", NULL, "the text is not valid UTF-8"},
    {{.name = "v", .type = MR_BINARY}, "\xff", "\xff", NULL},
    {{.name = "v", .type = MR_INT64, .not_null = true},
     "NA",
     NULL,
     "the field is null, but the column must not be"},
};

MR_TEST(csv_source, values_of_every_type_are_read_or_named)
{
    for (size_t i = 0; i < MR_COUNT(type_cases); i++) {
        const struct type_case *c = &type_cases[i];
        const struct mr_csv_options options = {.path = "in.csv",
                                               .fields = &c->field,
                                               .field_count = 1,
                                               .no_header = true,
                                               .null_literals = nulls,
                                               .null_literal_count = 1};
        struct mr_source source;
        struct memory_disk disk;
        struct source_result result;
        struct mr_error err;
        char text[300];

        /* A good row before and behind it: neither is disturbed. */
        (void)snprintf(text, sizeof text, "NA\n%s\nNA\n", c->text);
        if (c->field.not_null) (void)snprintf(text, sizeof text, "1\n%s\n1\n", c->text);
        memory_disk_init(&disk, mr_test_heap());
        memory_disk_put(&disk, "in.csv", text, strlen(text));
        MR_EXPECT_OK(mr_csv_source(mr_test_heap(), &options, &source, &err), &err);
        result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
        MR_EXPECT_OK(result.status, &result.err);
        if (c->row != NULL) {
            (void)snprintf(text, sizeof text, "NULL\n%s\nNULL\n", c->row);
            MR_EXPECT_EQ_STR(result.rows, text);
            MR_EXPECT_EQ_STR(result.rejects, "");
        } else {
            MR_EXPECT_EQ_STR(result.rows, c->field.not_null ? "1\n1\n" : "NULL\nNULL\n");
            if (c->reason != NULL) MR_EXPECT_CONTAINS(result.rejects, c->reason);
            MR_EXPECT_EQ_TEXT(result.rejects, 2, "2:");
        }
        free_result(&result);
        end_source(&source);
        memory_disk_fini(&disk);
    }
}

/* ---- options ---- */

MR_TEST(csv_source, options_that_make_no_sense_are_refused)
{
    static const struct mr_field list = {
        .name = "l", .type = MR_LIST, .child_count = 1, .children = three};
    struct mr_csv_options options = {.path = "x", .fields = three, .field_count = 3};
    struct mr_source source;
    struct mr_error err;

    options.delimiter = '"';
    MR_EXPECT_STATUS(mr_csv_source(mr_test_heap(), &options, &source, &err), MR_E_INVALID);
    options.delimiter = 0;
    options.path = "";
    MR_EXPECT_STATUS(mr_csv_source(mr_test_heap(), &options, &source, &err), MR_E_INVALID);
    options.path = "x";
    options.field_count = 0;
    MR_EXPECT_STATUS(mr_csv_source(mr_test_heap(), &options, &source, &err), MR_E_INVALID);
    options.field_count = 1;
    options.fields = &list;
    MR_EXPECT_STATUS(mr_csv_source(mr_test_heap(), &options, &source, &err), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(err.text, "column 'l'");
}

MR_TEST(csv_source, another_delimiter_is_taken_literally)
{
    const struct mr_csv_options options = {
        .path = "in.csv", .fields = three, .field_count = 3, .delimiter = ';'};
    static const char text[] = "a;n;b\nx,y;1;\"p;q\"\n";
    struct mr_source source;
    struct memory_disk disk;
    struct source_result result;
    struct mr_error err;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, sizeof text - 1);
    MR_EXPECT_OK(mr_csv_source(mr_test_heap(), &options, &source, &err), &err);
    result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
    MR_EXPECT_EQ_STR(result.rows, "x,y|1|p;q\n");
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
}

/* NUL is a byte like others. */
MR_TEST(csv_source, zero_bytes_are_data)
{
    static const char text[] = "a\0b,1,\"c\0\"\n";
    struct mr_source source = make_source("in.csv", true, 0);
    struct memory_disk disk;
    struct source_result result;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, sizeof text - 1);
    result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
    MR_EXPECT_EQ_BYTES(result.rows, "a\0b|1|c\0\n", 9);
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
}

MR_TEST(csv_source, columns_that_nobody_wants_are_null_and_not_judged)
{
    static const char text[] = "x,not a number,y\nz,1,\xff\n\"a\"b,1,c\n";
    const uint64_t only_first = 1;
    struct mr_source source = make_source("in.csv", true, 0);
    struct memory_disk disk;
    struct source_result result;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, sizeof text - 1);
    result = run_source(&source, mr_test_heap(), &disk.disk,
                        (struct source_run){.projection = &only_first});
    MR_EXPECT_EQ_STR(result.rows, "x|NULL|NULL\nz|NULL|NULL\n");
    MR_EXPECT_EQ_STR(result.rejects, "3:1: text behind a closing quote [\"a\"b,1,c]\n");
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
}

/* ---- long records ---- */

static void expect_long(size_t size_bytes, bool fits, uint64_t split_bytes)
{
    struct mr_source source = make_source("in.csv", true, split_bytes);
    struct memory_disk disk;
    struct source_result result;
    size_t size = 0;
    char *text = malloc(size_bytes + 100);

    MR_EXPECT(text != NULL);
    size = put(text, size, "a,1,b\n");
    memset(text + size, 'x', size_bytes);
    size = put(text, size + size_bytes - 5, ",2,\"\"\nc,3,d\n");
    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, size);
    result =
        run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){.interleaved = true});
    MR_EXPECT_OK(result.status, &result.err);
    MR_EXPECT_EQ_UINT(result.row_count, fits ? 3 : 2);
    if (fits) {
        MR_EXPECT_EQ_STR(result.rejects, "");
    } else {
        MR_EXPECT_EQ_STR(result.rows, "a|1|b\nc|3|d\n");
        MR_EXPECT_CONTAINS(result.rejects, "the record is longer than");
        MR_EXPECT_EQ_INT(strchr(result.rejects, '\n')[1], 0); /* one only */
    }
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
    free(text);
}

MR_TEST(csv_source, records_above_the_limit_are_rejected_once_and_reading_goes_on)
{
    expect_long(MRI_RECORD_BYTES_MAX, true, 0);
    expect_long(MRI_RECORD_BYTES_MAX + 1, false, 0);
    expect_long(MRI_RECORD_BYTES_MAX + 70, false, 0);
    expect_long((size_t)3 << 20, false, 0);
    expect_long((size_t)1 << 20, false, 10000);
    expect_long(MRI_RECORD_BYTES_MAX, true, 1000);
}

/* More separators than any index has room for. */
MR_TEST(csv_source, a_record_of_many_fields_is_counted_right)
{
    struct mr_source source = make_source("in.csv", true, 0);
    struct memory_disk disk;
    struct source_result result;
    size_t size = 0;
    char *text = malloc(300000);

    MR_EXPECT(text != NULL);
    size = put(text, size, "a,1,b\n");
    memset(text + size, ',', 200000);
    size = put(text, size + 200000, "\nc,3,d\n");
    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, size);
    result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
    MR_EXPECT_EQ_STR(result.rows, "a|1|b\nc|3|d\n");
    MR_EXPECT_CONTAINS(result.rejects, "2:0: expected 3 fields, found 200001 [,,,");
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
    free(text);
}

MR_TEST(csv_source, many_rows_of_every_kind_fill_many_chunks)
{
    size_t size = 0;
    char *text = malloc((size_t)4 << 20);
    char *rows, *rejects;
    struct memory_disk disk;
    struct mr_prng prng;

    MR_EXPECT(text != NULL);
    mr_prng_init(&prng, 9, 1);
    size = random_csv(&prng, text, 60000, 50);
    run_oracle(text, size, 3, &rows, &rejects);
    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, size);
    for (uint32_t i = 0; i < 4; i++) {
        struct mr_source source = make_source("in.csv", true, i < 2 ? 0 : 300000);
        struct source_run run = {.interleaved = i == 3,
                                 .keep_batches = i % 2 == 0 ? 0 : 5,
                                 .quota_bytes = i == 1 ? (size_t)1 << 20 : 0};

        expect_same(&source, &disk, run, rows, rejects);
        end_source(&source);
    }
    memory_disk_fini(&disk);
    free(rows);
    free(rejects);
    free(text);
}

/* Back-pressure with as little memory as a reader can do with must not stop it for good. */
MR_TEST(csv_source, a_small_quota_is_slow_but_enough)
{
    static char text[TEXT_ROOM];
    static const size_t quotas[] = {32 * 1024, 64 * 1024, 200 * 1024, 512 * 1024};
    struct memory_disk disk;
    struct mr_prng prng;
    char *rows, *rejects;
    size_t size;

    mr_prng_init(&prng, 10, 1);
    size = random_csv(&prng, text, 3000, 30);
    run_oracle(text, size, 3, &rows, &rejects);
    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, size);
    for (size_t i = 0; i < MR_COUNT(quotas); i++) {
        struct mr_source source = make_source("in.csv", true, 0);

        expect_same(&source, &disk,
                    (struct source_run){.quota_bytes = quotas[i], .keep_batches = 2}, rows,
                    rejects);
        end_source(&source);
    }
    memory_disk_fini(&disk);
    free(rows);
    free(rejects);
}

/* ---- streams, changes, failures ---- */

/* A person types a line: its row must be there before the next line is. */
MR_TEST(csv_source, rows_of_a_stream_come_as_soon_as_their_line_is_there)
{
    static const char text[] = "a,n,b\nx,1,y\npartial,2,";
    struct mr_source source = make_source("-", false, 0);
    struct memory_disk disk;
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {mr_test_heap(), &disk.disk, true};
    struct mr_reader_context context = {.heap = mr_test_heap(), .disk = &disk.disk};
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_error err;
    struct mr_batch *batch = NULL;
    enum mr_source_flow flow;
    void *reader;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "stdin", text, sizeof text - 1);
    disk.stream_pause = sizeof text - 1;
    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(mr_pool_create(mr_test_heap(), (size_t)8 << 20, &pool, &err), &err);
    mr_quota_init(&quota, pool, "test", (size_t)2 << 20);
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    MR_EXPECT(!list.bounded);
    MR_EXPECT_OK(source.ops->open(source.spec, list.splits, &context, &reader, &err), &err);
    for (int i = 0; i < 5 && batch == NULL; i++) {
        MR_EXPECT_OK(source.ops->read(reader, &quota, 100, &flow, &batch, &err), &err);
    }
    MR_EXPECT(batch != NULL && batch->row_count == 1);
    mr_batch_release(batch);
    source.ops->close(reader);
    mr_pool_destroy(pool);
    mr_arena_fini(&arena);
    end_source(&source);
    memory_disk_fini(&disk);
}

/* Changes a planned file in between: plans, changes, opens and reads. */
static void expect_changed(const char *text_after, bool replaced, const char *part)
{
    static const char text[] = "a,1,b\nc,2,d\n";
    struct mr_source source = make_source("in.csv", true, 0);
    struct memory_disk disk;
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {mr_test_heap(), &disk.disk, false};
    struct mr_reader_context context = {.heap = mr_test_heap(), .disk = &disk.disk};
    struct memory_file *file;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_error err;
    struct mr_batch *batch = NULL;
    enum mr_source_flow flow;
    enum mr_status st;
    void *reader;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, sizeof text - 1);
    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(mr_pool_create(mr_test_heap(), (size_t)8 << 20, &pool, &err), &err);
    mr_quota_init(&quota, pool, "test", (size_t)2 << 20);
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    file = memory_disk_put(&disk, "in.csv", text_after, strlen(text_after));
    file->modified_us++;
    if (replaced) file->identity++;
    MR_EXPECT_OK(source.ops->open(source.spec, list.splits, &context, &reader, &err), &err);
    do {
        st = source.ops->read(reader, &quota, 100, &flow, &batch, &err);
    } while (st == MR_OK && flow != MR_SOURCE_DONE && batch == NULL);
    if (part != NULL) {
        MR_EXPECT_STATUS(st, MR_E_CHANGED);
        MR_EXPECT_CONTAINS(err.text, part);
    } else {
        MR_EXPECT_OK(st, &err);
        MR_EXPECT_EQ_UINT(batch->row_count, 2); /* what was planned, not what was appended */
    }
    mr_batch_release(batch);
    source.ops->close(reader);
    mr_pool_destroy(pool);
    mr_arena_fini(&arena);
    end_source(&source);
    memory_disk_fini(&disk);
}

MR_TEST(csv_source, a_file_that_changed_after_planning_is_refused_by_name)
{
    expect_changed("a,1,b\n", false, "in.csv became shorter");
    expect_changed("a,1,b\nc,3,d\n", false, "in.csv was changed");
    expect_changed("a,1,b\nc,2,d\n", true, "in.csv was replaced");
    expect_changed("a,1,b\nc,2,d\nappended,3,e\n", false, NULL);
}

/* The size was checked at open; then the file shrinks: a short read, no signal, no half row. */
MR_TEST(csv_source, a_file_that_shrinks_while_it_is_read_is_refused_by_name)
{
    struct mr_source source = make_source("in.csv", true, 0);
    struct memory_disk disk;
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {mr_test_heap(), &disk.disk, false};
    struct mr_reader_context context = {.heap = mr_test_heap(), .disk = &disk.disk};
    struct memory_file *file;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_error err;
    struct mr_batch *batch;
    enum mr_source_flow flow;
    enum mr_status st;
    void *reader;

    memory_disk_init(&disk, mr_test_heap());
    file = memory_disk_put(&disk, "in.csv", "a,1,b\nc,2,d\ne,3,f\n", 18);
    disk.read_bytes_max = 6;
    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(mr_pool_create(mr_test_heap(), (size_t)8 << 20, &pool, &err), &err);
    mr_quota_init(&quota, pool, "test", (size_t)2 << 20);
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    MR_EXPECT_OK(source.ops->open(source.spec, list.splits, &context, &reader, &err), &err);
    do {
        st = source.ops->read(reader, &quota, 100, &flow, &batch, &err);
        mr_batch_release(batch);
        file->size_bytes = 8;
    } while (st == MR_OK && flow != MR_SOURCE_DONE);
    MR_EXPECT_STATUS(st, MR_E_CHANGED);
    MR_EXPECT_CONTAINS(err.text, "in.csv became shorter");
    source.ops->close(reader);
    mr_pool_destroy(pool);
    mr_arena_fini(&arena);
    end_source(&source);
    memory_disk_fini(&disk);
}

MR_TEST(csv_source, when_a_reject_is_refused_then_reading_ends_with_that_status)
{
    static const char text[] = "a,1,b\nc,x,d\n";
    struct mr_source source = make_source("in.csv", true, 0);
    struct memory_disk disk;
    struct source_result result;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, sizeof text - 1);
    result = run_source(&source, mr_test_heap(), &disk.disk,
                        (struct source_run){.fail_on_reject = true});
    MR_EXPECT_STATUS(result.status, MR_E_RECORD);
    MR_EXPECT_EQ_STR(result.rejects, "2:2: 'x' is not an int64 [c,x,d]\n");
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
}

/* ---- locate ---- */

/* Whatever row of a batch: locate gives its line and its text. */
MR_TEST(csv_source, any_row_is_found_again)
{
    static const char text[] = "a,n,b\n"
                               "x1,1,y\n"
                               "\n"
                               "\"x2\nx\",2,y\r\n"
                               "bad,row\n"
                               "x3,3,\"y\"\n"
                               "x4,nonsense,y\n"
                               "x5,5,y";
    static const struct {
        uint64_t row;
        uint64_t line;
        const char *raw;
    } cases[] = {{0, 2, "x1,1,y"},     {1, 4, "\"x2\nx\",2,y"}, {2, 6, "bad,row"},
                 {3, 7, "x3,3,\"y\""}, {4, 8, "x4,nonsense,y"}, {5, 9, "x5,5,y"}};
    struct mr_source source = make_source("in.csv", false, 16);
    struct memory_disk disk;
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {mr_test_heap(), &disk.disk, false};
    struct mr_error err;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in.csv", text, sizeof text - 1);
    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    for (size_t round = 0; round < 2; round++) { /* the second time from remembered places */
        for (size_t i = 0; i < MR_COUNT(cases); i++) {
            for (size_t from = 0; from <= i; from++) {
                struct mr_reject found = {0};
                const char *begin = strstr(text, cases[from].raw);
                uint64_t offset = (uint64_t)(begin - text);
                const struct mr_split *split = &list.splits[offset / 16];

                MR_EXPECT_OK(source.ops->locate(source.spec, &plan, split, offset,
                                                cases[i].row - cases[from].row, &arena, &found,
                                                &err),
                             &err);
                MR_EXPECT_EQ_UINT(found.line, cases[i].line);
                MR_EXPECT_EQ_TEXT(found.raw.data, found.raw.size_bytes, cases[i].raw);
            }
        }
    }
    mr_arena_fini(&arena);
    end_source(&source);
    memory_disk_fini(&disk);
}

/* ---- memory ---- */

MR_TEST(csv_source, when_any_allocation_fails_then_nothing_is_lost)
{
    static const char text[] =
        "a,n,b\nx,1,\"a \"\"quoted\"\" text\"\nbad\ny,z,2\nlong enough a text,7,x\n";
    struct mr_heap *heap = mr_test_heap();
    struct memory_disk disk;

    memory_disk_init(&disk, heap);
    memory_disk_put(&disk, "in.csv", text, sizeof text - 1);
    MR_TORTURE(heap) {
        const struct mr_csv_options options = {.path = "in.csv",
                                               .fields = three,
                                               .field_count = 3,
                                               .null_literals = nulls,
                                               .null_literal_count = 1};
        struct mr_source source;
        struct mr_error err;
        enum mr_status st = mr_csv_source(heap, &options, &source, &err);

        if (st == MR_OK) {
            struct source_result result;

            mri_csv_source_split_bytes(&source, 20);
            result =
                run_source(&source, heap, &disk.disk, (struct source_run){.interleaved = true});
            st = result.status;
            if (st == MR_OK) {
                MR_EXPECT_EQ_STR(result.rows, "x|1|a \"quoted\" text\nlong enough a text|7|x\n");
            }
            free_result(&result);
            end_source(&source);
        }
        /* A batch that got no memory is asked for again: some refusals leave no trace. */
        MR_EXPECT(st == MR_OK || (st == MR_E_NOMEM && mr_test_refused(heap)));
    }
    memory_disk_fini(&disk);
}
