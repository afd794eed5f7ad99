#include "offline.h"

#include "base/status.h"
#include "port/posix/posix.h"

enum mr_status mri_offline_open(struct mri_offline *offline, struct mr_error *err)
{
    *offline = (struct mri_offline){.disk = NULL};
    MR_RET(mr_posix_port_init(&offline->port, 0, 1, err));
    offline->heap = offline->port.heap;
    offline->disk = offline->port.disk_create(offline->port.self, offline->heap);
    if (offline->disk != NULL) return MR_OK;
    mri_offline_close(offline);
    return mr_error_nomem(err, "a disk", 4096);
}

void mri_offline_close(struct mri_offline *offline)
{
    if (offline->disk != NULL) offline->port.disk_destroy(offline->port.self, offline->disk);
    mr_posix_port_fini(&offline->port);
    *offline = (struct mri_offline){.disk = NULL};
}

struct mr_process_id mri_offline_self(void)
{
    return (struct mr_process_id){.pid = mr_posix_pid(), .started_us = mr_posix_started_us()};
}
