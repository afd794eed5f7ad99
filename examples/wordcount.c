/* wordcount.c - counts words, fast: a batch function cuts lines into words without copying them.
 *
 * A word is a maximal run of bytes other than space, \t, \n, \v, \f and \r. Any bytes may come, so
 * lines and words are binary. The function sees a whole batch of lines as arrays and writes arrays
 * of words that point into the lines' memory; everything behind it (counting per instance, exchange
 * by word, adding up) is the engine's.
 */
#include <millrace/millrace.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BLOCK 64u /* bytes that are looked at in one step: one bit each */

/* Bit i is set if byte i of the block is white space. */
static uint64_t space_bits(const char *block)
{
    uint64_t bits = 0;

#if defined(__SSE2__)
    for (uint32_t i = 0; i < BLOCK / 16; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i));
        __m128i from_tab = _mm_sub_epi8(bytes, _mm_set1_epi8('\t'));
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(from_tab, _mm_set1_epi8(4)), from_tab);
        __m128i space = _mm_or_si128(control, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')));
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(space) << (16 * i);
    }
#else
    for (uint32_t i = 0; i < BLOCK; i++) {
        bool space = block[i] == ' ' || (block[i] >= '\t' && block[i] <= '\r');
        bits |= (uint64_t)space << i;
    }
#endif
    return bits;
}

/* Where words go: an array that the emitter lends out piece by piece. */
struct words {
    struct mr_emitter *out;
    const struct mr_batch *batch;
    struct mr_view *views;
    uint32_t count;
    uint32_t room;
};

static enum mr_status next_piece(struct words *words)
{
    enum mr_status status = MR_OK;

    if (words->room > 0) status = mr_emit_close(words->out, words->count);
    if (status == MR_OK) status = mr_emit_open(words->out, 1024, &words->room);
    words->count = 0;
    words->views = mr_emit_texts_of(words->out, 0, words->batch, 0);
    return status;
}

/* Its last bytes, less than a block, are copied and padded with white space: a word ends there, and
 * twelve bytes may be read from anywhere in it. */
struct line {
    const char *data;
    uint32_t size;
    uint32_t buffer; /* where it lies, if it is long; words in it lie there too */
    uint32_t offset;
    uint32_t tail_at;
    char tail[BLOCK + MR_VIEW_INLINE];
};

static void line_init(struct line *line, const struct mr_texts *texts, const struct mr_view *view)
{
    line->data = mr_text_data(texts, view);
    line->size = view->size_bytes;
    line->buffer = line->size > MR_VIEW_INLINE ? view->u.far.buffer : 0;
    line->offset = line->size > MR_VIEW_INLINE ? view->u.far.offset : 0;
    line->tail_at = line->size / BLOCK * BLOCK;
    memset(line->tail, ' ', sizeof line->tail);
    if (line->size > line->tail_at) {
        memcpy(line->tail, line->data + line->tail_at, line->size - line->tail_at);
    }
}

/* Most words are short: copy twelve bytes, whatever the size, and blank those behind the word. */
static struct mr_view word_view(const struct line *line, uint32_t start, uint32_t end)
{
    static const unsigned char keep[2 * MR_VIEW_INLINE] = {255, 255, 255, 255, 255, 255,
                                                           255, 255, 255, 255, 255, 255};
    uint32_t size = end - start;
    const char *bytes =
        start >= line->tail_at ? line->tail + (start - line->tail_at) : line->data + start;
    struct mr_view view;
    uint64_t head, head_keep;
    uint32_t tail, tail_keep;

    if (size > MR_VIEW_INLINE || (start < line->tail_at && start + MR_VIEW_INLINE > line->size)) {
        return mr_view_make(line->data + start, size, line->buffer, line->offset + start);
    }
    memcpy(&head, bytes, 8);
    memcpy(&tail, bytes + 8, 4);
    memcpy(&head_keep, keep + MR_VIEW_INLINE - size, 8);
    memcpy(&tail_keep, keep + MR_VIEW_INLINE - size + 8, 4);
    head &= head_keep;
    tail &= tail_keep;
    view.size_bytes = size;
    memcpy(view.u.inlined, &head, 8);
    memcpy(view.u.inlined + 8, &tail, 4);
    return view;
}

static uint32_t first_bit(uint64_t bits)
{
    return bits == 0 ? BLOCK : (uint32_t)__builtin_ctzll(bits);
}

/* The words of one block: each ends at a bit of `ends`; the first began at *start. */
static enum mr_status put_words(struct words *words, const struct line *line, uint32_t at,
                                uint64_t starts, uint64_t ends, uint32_t *start)
{
    for (; ends != 0; ends &= ends - 1, starts &= starts - 1) {
        if (words->count == words->room) {
            enum mr_status status = next_piece(words);
            if (status != MR_OK) return status;
        }
        words->views[words->count++] = word_view(line, *start, at + first_bit(ends));
        *start = at + first_bit(starts);
    }
    return MR_OK;
}

static enum mr_status split_line(struct words *words, const struct line *line)
{
    uint64_t before = 1; /* was the byte before this block white space? */
    uint32_t start = 0;  /* of the word that is under way */
    enum mr_status status = MR_OK;

    for (uint32_t at = 0; status == MR_OK && at <= line->tail_at; at += BLOCK) {
        uint64_t space = space_bits(at == line->tail_at ? line->tail : line->data + at);
        uint64_t edges = space ^ (space << 1 | before); /* bits where words begin or end */
        uint64_t starts = edges & ~space;

        if (before == 1) {
            start = at + first_bit(starts);
            starts &= starts - 1;
        }
        before = space >> (BLOCK - 1);
        status = put_words(words, line, at, starts, edges & space, &start);
    }
    return status;
}

static enum mr_status split_lines(void *user, const struct mr_batch *batch, struct mr_emitter *out)
{
    struct mr_texts lines = mr_batch_texts(batch, 0);
    struct words words = {.out = out, .batch = batch};

    (void)user;
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) {
        struct line line;
        enum mr_status status;

        line_init(&line, &lines, &lines.views[i]);
        status = split_line(&words, &line);
        if (status != MR_OK) return status;
    }
    return words.room > 0 ? mr_emit_close(out, words.count) : MR_OK;
}

static void build(struct mr_job *job, const struct mr_arguments *arguments)
{
    struct mr_read_text_options input = {.size = sizeof input};
    struct mr_field word = {.name = "word", .type = MR_BINARY, .not_null = true};
    struct mr_function_options split = {.size = sizeof split, .id = "split"};
    const char *key = "word";
    struct mr_aggregate count = {.name = "count", .function = "count"};
    struct mr_stream *lines, *words;

    input.path = mr_input_path(arguments);
    input.rate = mr_input_rate(arguments);
    input.binary = true;
    input.pieces = true; /* a line may be as long as it likes: words matter, not lines */
    split.fields = &word;
    split.field_count = 1;
    lines = mr_read_text(job, &input);
    words = mr_map_batches(lines, split_lines, NULL, &split);
    mr_write_output(mr_aggregate(mr_key_by_columns(words, &key, 1), &count, 1), arguments);
}

int main(int argc, char **argv)
{
    static const struct mr_command command = {
        .size = sizeof command,
        .name = "wordcount",
        .summary = "Counts the words of text files: runs of bytes other than white space. "
                   "Output columns: word, count.",
        .example = "bin/examples/wordcount --input README.md",
        .needs_input = true,
    };

    return mr_command_run(&command, build, argc, argv);
}
