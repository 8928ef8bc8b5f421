/* What goes wrong with sending, as a test wants it. Stands before the C library's send(), for
 * libcurl too; of each thread's own, so that the server's sending goes on. */
#ifndef KANCEL_TESTS_UNIT_IO_SUPPORT_SENDING_H
#define KANCEL_TESTS_UNIT_IO_SUPPORT_SENDING_H

struct sending {
    unsigned failures; /* so many times from now on nothing is sent, and the connection is broken */
    int buffer_bytes;  /* what a socket takes before it is full, about; 0: as the system has it */
};

extern _Thread_local struct sending sending;

#endif
