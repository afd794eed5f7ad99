/* part_test.c - names and states of output files. */
#include "base/crc.h"
#include "connect/file/part.h"
#include "mr_test.h"

#include <string.h>

static void expect_name(const char *name, uint32_t sink, bool ours)
{
    size_t size;
    uint64_t fence;
    uint32_t instance;

    if (mri_part_parse(name, sink, &size, &fence, &instance) != ours) MR_FAIL("%s", name);
}

MR_TEST(part, a_temporary_name_is_taken_apart_as_it_was_put_together)
{
    struct mr_text text;
    size_t size;
    uint64_t fence;
    uint32_t instance;

    mr_text_init(&text, mr_test_heap(), 0);
    mri_part_temporary(&text, "d/", "a.mr-1-2-3", UINT64_MAX, 7, 12);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "d/.a.mr-1-2-3.mr-18446744073709551615-7-12");
    MR_EXPECT(mri_part_parse(mr_text_get(&text) + 2, 7, &size, &fence, &instance));
    MR_EXPECT_EQ_UINT(size, strlen("a.mr-1-2-3"));
    MR_EXPECT_EQ_UINT(fence, UINT64_MAX);
    MR_EXPECT_EQ_UINT(instance, 12);
    mr_text_fini(&text);
}

MR_TEST(part, names_of_others_are_left_alone)
{
    expect_name(".a.mr-1-2-3", 2, true);
    expect_name(".a.mr-1-2-3", 1, false);
    expect_name("a.mr-1-2-3", 2, false);
    expect_name(".mr-1-2-3", 2, false);
    expect_name(".a.mr-tmp-2-3", 2, false);
    expect_name(".a.mr-1-2-3x", 2, false);
    expect_name(".a.mr-1-2", 2, false);
    expect_name(".a.mr-1-2-", 2, false);
    expect_name(".a.mr-01-2-3", 2, false);
    expect_name(".a.mr-18446744073709551616-2-3", 2, false);
    expect_name(".a.mr-1-2-4294967296", 2, false);
    expect_name(".a.mr-0-2-0", 2, true);
    expect_name("", 2, false);
    expect_name(".", 2, false);
}

static char first_name[] = "part-00000-00001.csv", second_name[] = "x", third_name[] = "y";

static void make_state(struct mri_writer_state *state)
{
    const struct mri_part first = {
        .name = first_name, .fence = 3, .instance = 1, .size_bytes = 99, .sum = {{1, 2, 3, 4}}};
    const struct mri_part second = {.name = second_name, .fence = UINT64_MAX};

    memset(state, 0, sizeof *state);
    mri_part_list_init(&state->rolled, mr_test_heap());
    MR_EXPECT(mri_part_list_add(&state->rolled, &first));
    MR_EXPECT(mri_part_list_add(&state->rolled, &second));
    state->instance = 5;
    state->format = 2;
    state->layout = 77;
    state->next_number = UINT64_MAX;
    state->current = (struct mri_part){.name = third_name, .fence = 9, .size_bytes = 7};
}

MR_TEST(part, a_state_reads_back_as_it_was_written)
{
    struct mri_writer_state state, back;
    struct mr_buffer out, again;
    struct mr_error err;

    make_state(&state);
    mr_buffer_init(&out, mr_test_heap());
    mr_buffer_init(&again, mr_test_heap());
    MR_EXPECT(mri_writer_state_put(&out, &state));
    MR_EXPECT_OK(mri_writer_state_take((struct mr_bytes){out.data, out.size_bytes}, mr_test_heap(),
                                       "o", &back, &err),
                 &err);
    MR_EXPECT_EQ_UINT(back.rolled.count, 2);
    MR_EXPECT_EQ_STR(back.rolled.parts[0].name, first_name);
    MR_EXPECT_EQ_UINT(back.rolled.parts[0].sum.lanes[3], 4);
    MR_EXPECT_EQ_STR(back.current.name, third_name);
    MR_EXPECT_EQ_UINT(back.next_number, UINT64_MAX);
    MR_EXPECT_EQ_UINT(back.format, 2);
    MR_EXPECT(mri_writer_state_put(&again, &back));
    MR_EXPECT_EQ_UINT(again.size_bytes, out.size_bytes);
    MR_EXPECT_EQ_BYTES(again.data, out.data, out.size_bytes);
    mri_writer_state_fini(&back);
    mr_buffer_fini(&out);
    mr_buffer_fini(&again);
    mri_part_list_fini(&state.rolled);
}

static void fix_sum(char *data, size_t size_bytes)
{
    uint32_t sum = mr_crc32c(0, data, size_bytes - 4);

    for (size_t i = 0; i < 4; i++) data[size_bytes - 4 + i] = (char)(sum >> (8 * i) & 0xff);
}

/* Every byte changed, with the checksum wrong and, as an attacker would have it, right. */
MR_TEST(part, damaged_states_are_refused_and_never_crash)
{
    struct mri_writer_state state, back;
    struct mr_buffer out;
    struct mr_error err;

    make_state(&state);
    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_writer_state_put(&out, &state));
    for (size_t at = 0; at < out.size_bytes; at++) {
        for (int change = 1; change < 256; change += 37) {
            struct mr_bytes bytes = {out.data, out.size_bytes};
            enum mr_status st;

            out.data[at] = (char)(out.data[at] ^ change);
            st = mri_writer_state_take(bytes, mr_test_heap(), "o", &back, &err);
            MR_EXPECT(st == MR_E_CORRUPT || (at == 0 && st == MR_E_UNSUPPORTED));
            mri_writer_state_fini(&back);
            fix_sum(out.data, out.size_bytes);
            st = mri_writer_state_take(bytes, mr_test_heap(), "o", &back, &err);
            MR_EXPECT(st == MR_OK || st == MR_E_CORRUPT || st == MR_E_UNSUPPORTED);
            mri_writer_state_fini(&back);
            out.data[at] = (char)(out.data[at] ^ change);
            fix_sum(out.data, out.size_bytes);
        }
    }
    for (size_t size = 0; size < out.size_bytes; size++) {
        MR_EXPECT_STATUS(mri_writer_state_take((struct mr_bytes){out.data, size}, mr_test_heap(),
                                               "o", &back, &err),
                         MR_E_CORRUPT);
        mri_writer_state_fini(&back);
    }
    mr_buffer_fini(&out);
    mri_part_list_fini(&state.rolled);
}

/* It would be a file somewhere else. */
MR_TEST(part, a_name_that_leads_out_of_the_directory_is_refused)
{
    static char names[][8] = {"../x", "a/b", ".", ".."};

    for (size_t i = 0; i < MR_COUNT(names); i++) {
        struct mri_writer_state state = {.current = {.name = names[i]}}, back;
        struct mr_buffer out;
        struct mr_error err;

        mr_buffer_init(&out, mr_test_heap());
        MR_EXPECT(mri_writer_state_put(&out, &state));
        MR_EXPECT_STATUS(mri_writer_state_take((struct mr_bytes){out.data, out.size_bytes},
                                               mr_test_heap(), "o", &back, &err),
                         MR_E_CORRUPT);
        mri_writer_state_fini(&back);
        mr_buffer_fini(&out);
    }
}

MR_TEST(part, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mri_writer_state state;
    struct mr_buffer out;

    make_state(&state);
    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_writer_state_put(&out, &state));
    MR_TORTURE(mr_test_heap()) {
        struct mri_writer_state back;
        struct mr_error err;
        enum mr_status st = mri_writer_state_take((struct mr_bytes){out.data, out.size_bytes},
                                                  mr_test_heap(), "o", &back, &err);

        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        mri_writer_state_fini(&back);
    }
    mr_buffer_fini(&out);
    mri_part_list_fini(&state.rolled);
}
