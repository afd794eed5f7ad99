/* blobs.c - see blobs.h. */
#include "exec/aggregate/blobs.h"

static bool store_resize(void *self, struct mr_blob *blob, uint32_t size_bytes)
{
    return mr_store_blob_resize(self, blob, size_bytes);
}

static void store_release(void *self, struct mr_blob *blob)
{
    mr_store_blob_free(self, blob);
}

struct mri_blobs mri_blobs_of_store(struct mr_store *store)
{
    return (struct mri_blobs){store, store_resize, store_release};
}

static bool heap_resize(void *self, struct mr_blob *blob, uint32_t size_bytes)
{
    struct mri_blob_heap *memory = self;
    uint32_t capacity = MR_MAX(MR_MAX(size_bytes, 32u), blob->capacity_bytes * 2);
    char *data;

    if (size_bytes <= blob->capacity_bytes && blob->data != NULL) {
        blob->size_bytes = size_bytes;
        return true;
    }
    if (blob->capacity_bytes > UINT32_MAX / 4) capacity = size_bytes;
    data = mr_realloc(memory->heap, blob->data, blob->capacity_bytes, capacity);
    if (data == NULL) return false;
    memory->used_bytes += capacity - blob->capacity_bytes;
    *blob = (struct mr_blob){data, size_bytes, capacity};
    return true;
}

static void heap_release(void *self, struct mr_blob *blob)
{
    struct mri_blob_heap *memory = self;

    if (blob->data == NULL) return;
    mr_free(memory->heap, blob->data, blob->capacity_bytes);
    memory->used_bytes -= blob->capacity_bytes;
    *blob = (struct mr_blob){NULL, 0, 0};
}

struct mri_blobs mri_blobs_of_heap(struct mri_blob_heap *memory)
{
    return (struct mri_blobs){memory, heap_resize, heap_release};
}
