#include "tests/unit/io/support/sending.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/banned.h"

_Thread_local struct sending sending;

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    if (sending.failures > 0) {
        sending.failures--;
        errno = EPIPE;
        return -1;
    }
    if (sending.buffer_bytes > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sending.buffer_bytes,
                         sizeof(sending.buffer_bytes));
    return sendto(fd, data, len, flags, NULL, 0);
}
