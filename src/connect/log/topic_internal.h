/* topic_internal.h - what the files of a topic share: small files, read and written whole.
 *
 * Owns:    none.
 * Thread:  confined; waits for the disk.
 * Fails:   status and text of the disk.
 * Cost:    cold.
 */
#ifndef MR_CONNECT_LOG_TOPIC_INTERNAL_H
#define MR_CONNECT_LOG_TOPIC_INTERNAL_H

#include "connect/log/topic.h"

enum mr_status mri_topic_nomem(struct mr_error *err);
enum mr_status mri_topic_read_file(struct mr_disk *disk, const char *path, struct mr_buffer *out,
                                   struct mr_error *err) MR_MUST_USE;
/* Writes `bytes` to the new file `file`, syncs and closes it, and renames it from `beside`. */
enum mr_status mri_topic_fill_and_rename(struct mr_disk *disk, uint32_t file, const char *directory,
                                         const char *beside, const char *path,
                                         const struct mr_buffer *bytes,
                                         struct mr_error *err) MR_MUST_USE;
enum mr_status mri_topic_sync_directory(struct mr_disk *disk, const char *path,
                                        struct mr_error *err) MR_MUST_USE;
/* The first record of a segment. */
enum mr_status mri_topic_head_parse(const struct mri_topic *topic,
                                    const struct mri_topic_record *record, uint32_t partition,
                                    uint64_t generation, uint64_t segment, const char *path,
                                    struct mri_topic_head *out, struct mr_error *err) MR_MUST_USE;

#endif
