/* disk.c - see disk.h. */
#include "port/disk.h"

#include "base/status.h"

enum mr_status mr_disk_do(struct mr_disk *disk, struct mr_disk_request *request,
                          struct mr_error *err)
{
    request->done = false;
    disk->submit(disk, request);
    while (!request->done) disk->poll(disk);
    if (request->status != MR_OK && err != NULL) *err = request->error;
    return request->status;
}
