/* input_test.c - compressed inputs: whole, in pieces, in several members, cut off at every byte. */
#include "base/prng.h"
#include "connect/file/input.h"
#include "memory_disk.h"
#include "mr_test.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <zstd.h>

#define TEXT_BYTES ((size_t)150000)
#define ROOM       (TEXT_BYTES * 2 + 1000)

static char text[TEXT_BYTES];
static char packed[ROOM];
static char unpacked[ROOM];

static void make_text(void)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 31, 1);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + mr_prng_below(&prng, i < TEXT_BYTES / 2 ? 3 : 26));
    }
}

static size_t gzip(const char *data, size_t size_bytes, char *out, size_t room)
{
    struct isal_zstream stream;
    uint8_t *level_buffer = malloc(ISAL_DEF_LVL1_DEFAULT);

    MR_EXPECT(level_buffer != NULL);
    isal_deflate_init(&stream);
    stream.gzip_flag = IGZIP_GZIP;
    stream.end_of_stream = 1;
    stream.level = 1;
    stream.level_buf = level_buffer;
    stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    stream.next_in = (uint8_t *)(uintptr_t)data;
    stream.avail_in = (uint32_t)size_bytes;
    stream.next_out = (uint8_t *)out;
    stream.avail_out = (uint32_t)room;
    MR_EXPECT_EQ_INT(isal_deflate(&stream), COMP_OK);
    free(level_buffer);
    return stream.total_out;
}

static size_t zstd(const char *data, size_t size_bytes, char *out, size_t room)
{
    size_t size = ZSTD_compress(out, room, data, size_bytes, 3);

    MR_EXPECT(!ZSTD_isError(size));
    return size;
}

static enum mr_status read_all(struct memory_disk *disk, const char *name, size_t room,
                               size_t *out_size, struct mr_error *err)
{
    struct mri_files files;
    struct mri_input input;
    enum mr_status st;
    enum mri_flow flow = MRI_MORE;
    size_t got;

    *out_size = 0;
    mri_files_init(&files, mr_test_heap());
    memset(&input, 0, sizeof input);
    MR_GOTO(mri_files_plan(&files, &disk->disk, name, err));
    mri_input_init(&input, mr_test_heap(), &disk->disk, &files.files[0]);
    while (flow != MRI_DONE) {
        MR_GOTO(mri_input_read(&input, unpacked + *out_size, MR_MIN(room, ROOM - *out_size), &got,
                               &flow, err));
        *out_size += got;
    }
done:
    mri_input_fini(&input);
    mri_files_fini(&files);
    return st;
}

static void expect_text(struct memory_disk *disk, const char *name, size_t room, size_t times)
{
    struct mr_error err;
    size_t size;

    memory_disk_find(disk, name)->stream_at = 0;
    MR_EXPECT_OK(read_all(disk, name, room, &size, &err), &err);
    MR_EXPECT_EQ_UINT(size, times * TEXT_BYTES);
    for (size_t i = 0; i < times; i++)
        MR_EXPECT_EQ_BYTES(unpacked + i * TEXT_BYTES, text, TEXT_BYTES);
}

typedef size_t (*pack_fn)(const char *data, size_t size_bytes, char *out, size_t room);

static void expect_unpacks(pack_fn pack)
{
    static const size_t rooms[] = {ROOM, 60000, 1000};
    struct memory_disk disk;
    size_t one, two;

    make_text();
    memory_disk_init(&disk, mr_test_heap());
    one = pack(text, TEXT_BYTES, packed, ROOM);
    two = one + pack(text, TEXT_BYTES, packed + one, ROOM - one);
    MR_EXPECT(one < TEXT_BYTES);
    memory_disk_put(&disk, "one", packed, one);
    memory_disk_put(&disk, "two", packed, two); /* members, as `cat a.gz b.gz` makes them */
    memory_disk_put(&disk, "stdin", packed, two);
    for (size_t i = 0; i < MR_COUNT(rooms); i++) {
        for (size_t piece = 0; piece < 3; piece++) {
            disk.read_bytes_max = piece == 0 ? 0 : piece == 1 ? 1000 : 1;
            disk.late_every = piece == 1 ? 3 : 0;
            disk.stream_pause = piece == 2 ? 3 : 0;
            if (piece == 2 && i > 0) continue;
            expect_text(&disk, "one", rooms[i], 1);
            expect_text(&disk, "two", rooms[i], 2);
        }
    }
    disk.read_bytes_max = 0;
    memory_disk_find(&disk, "stdin")->stream_at = 0;
    memory_disk_find(&disk, "stdin")->stream = true;
    expect_text(&disk, "stdin", ROOM, 2);
    memory_disk_fini(&disk);
}

MR_TEST(input, gzip_of_one_and_of_several_members_is_unpacked)
{
    expect_unpacks(gzip);
}

MR_TEST(input, zstd_of_one_and_of_several_frames_is_unpacked)
{
    expect_unpacks(zstd);
}

/* A half-copied file must not look like a short one. */
static void expect_early_end(pack_fn pack)
{
    struct memory_disk disk;
    struct mr_error err;
    size_t size = pack("some text that is not long, not long", 36, packed, ROOM);
    size_t got;

    memory_disk_init(&disk, mr_test_heap());
    for (size_t cut = 4; cut < size; cut++) {
        memory_disk_put(&disk, "cut", packed, cut);
        MR_EXPECT_STATUS(read_all(&disk, "cut", ROOM, &got, &err), MR_E_RECORD);
        MR_EXPECT_CONTAINS(err.text, "cut: the compressed data ends early");
    }
    memory_disk_fini(&disk);
}

MR_TEST(input, compressed_data_that_ends_early_is_an_error)
{
    expect_early_end(gzip);
    expect_early_end(zstd);
}

static void expect_damage(pack_fn pack)
{
    struct memory_disk disk;
    struct mr_error err;
    size_t size = pack("some text that is not long, not long", 36, packed, ROOM);
    size_t got;

    memory_disk_init(&disk, mr_test_heap());
    for (size_t at = 4; at < size; at++) {
        enum mr_status st;

        packed[at] = (char)(packed[at] ^ 0x55);
        memory_disk_put(&disk, "bad", packed, size);
        st = read_all(&disk, "bad", ROOM, &got, &err);
        packed[at] = (char)(packed[at] ^ 0x55);
        /* Some bytes of a header mean nothing; what is given out must be right all the same. */
        if (st == MR_OK) MR_EXPECT_EQ_TEXT(unpacked, got, "some text that is not long, not long");
        if (st != MR_OK) MR_EXPECT_CONTAINS(err.text, "bad: ");
    }
    memory_disk_fini(&disk);
}

MR_TEST(input, damaged_compressed_data_is_an_error_or_harmless)
{
    expect_damage(gzip);
}

MR_TEST(input, zeros_behind_gzip_are_padding_and_other_bytes_are_an_error)
{
    struct memory_disk disk;
    struct mr_error err;
    size_t size = gzip("text", 4, packed, ROOM);
    size_t got;

    memset(packed + size, 0, 600);
    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "x", packed, size + 600);
    MR_EXPECT_OK(read_all(&disk, "x", ROOM, &got, &err), &err);
    MR_EXPECT_EQ_TEXT(unpacked, got, "text");
    memcpy(packed + size, "more", 4);
    memory_disk_put(&disk, "x", packed, size + 4);
    MR_EXPECT_STATUS(read_all(&disk, "x", ROOM, &got, &err), MR_E_RECORD);
    MR_EXPECT_CONTAINS(err.text, "behind the end of the gzip data");
    memory_disk_fini(&disk);
}

MR_TEST(input, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();
    static const pack_fn packs[] = {gzip, zstd};

    for (size_t i = 0; i < MR_COUNT(packs); i++) {
        struct memory_disk disk;
        size_t size = packs[i]("text", 4, packed, ROOM);

        memory_disk_init(&disk, heap);
        memory_disk_put(&disk, "x", packed, size);
        MR_TORTURE(heap) {
            struct mr_error err;
            size_t got;
            enum mr_status st = read_all(&disk, "x", ROOM, &got, &err);

            MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        }
        memory_disk_fini(&disk);
    }
}
