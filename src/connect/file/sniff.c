/* sniff.c - what kind of file the first bytes announce; see files.h. */
#include "connect/file/files.h"

#include <string.h>

struct magic {
    const char *bytes;
    uint8_t size;
    const char *tail; /* also required at the end of the file; four bytes, '?' is any byte */
    const char *what;
};

/* Where a magic number consists of letters that a text could begin with, the tail decides. */
static const struct magic magics[] = {
    {"PAR1", 4, "PAR1", "a Parquet file; convert it to CSV first"},
    {"ORC", 3, "ORC?", "an ORC file; convert it to CSV first"},
    {"Obj\x01", 4, NULL, "an Avro file; convert it to CSV first"},
    {"ARROW1\0\0", 8, NULL, "an Arrow file; convert it to CSV first"},
    {"SQLite format 3\0", 16, NULL, "a SQLite database; export its tables as CSV first"},
    {"\xfd"
     "7zXZ\0",
     6, NULL, "compressed with xz; decompress it with `xz -d` first"},
    {"BZh91AY&SY", 10, NULL, "compressed with bzip2; decompress it with `bunzip2` first"},
    {"PK\x03\x04", 4, NULL, "a ZIP archive; unpack it with `unzip` first"},
    {"7z\xbc\xaf\x27\x1c", 6, NULL, "a 7z archive; unpack it first"},
    {"\x04\x22\x4d\x18", 4, NULL, "compressed with LZ4; decompress it with `lz4 -d` first"},
};

static const unsigned char gzip_magic[2] = {0x1f, 0x8b};
static const unsigned char zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

/* Skippable frames 0x184D2A50..5F may come before the first zstd frame. */
static bool begins_zstd_skippable(const unsigned char *data, size_t size_bytes)
{
    return size_bytes >= 4 && (data[0] & 0xf0) == 0x50 && data[1] == 0x2a && data[2] == 0x4d &&
           data[3] == 0x18;
}

enum mri_compression mri_sniff(const char *text, size_t size_bytes, bool final)
{
    const unsigned char *data = (const unsigned char *)text;
    size_t gzip = MR_MIN(size_bytes, sizeof gzip_magic);
    size_t zstd = MR_MIN(size_bytes, sizeof zstd_magic);

    if (size_bytes == 0) return final ? MRI_PLAIN : MRI_UNKNOWN;
    if (memcmp(data, gzip_magic, gzip) == 0) {
        if (gzip == sizeof gzip_magic) return MRI_GZIP;
        return final ? MRI_PLAIN : MRI_UNKNOWN;
    }
    if (memcmp(data, zstd_magic, zstd) == 0) {
        if (zstd == sizeof zstd_magic) return MRI_ZSTD;
        return final ? MRI_PLAIN : MRI_UNKNOWN;
    }
    return begins_zstd_skippable(data, size_bytes) ? MRI_ZSTD : MRI_PLAIN;
}

static bool tail_matches(const char *pattern, const char *tail)
{
    for (int i = 0; i < 4; i++) {
        if (pattern[i] != '?' && pattern[i] != tail[i]) return false;
    }
    return true;
}

const char *mri_sniff_binary(const char *data, size_t size_bytes, const char *tail)
{
    for (size_t i = 0; i < MR_COUNT(magics); i++) {
        const struct magic *magic = &magics[i];

        if (size_bytes < magic->size || memcmp(data, magic->bytes, magic->size) != 0) continue;
        if (magic->tail != NULL && (tail == NULL || !tail_matches(magic->tail, tail))) continue;
        return magic->what;
    }
    return NULL;
}
