/*
 * Places where the chaos tests end or hang the worker. Only the tests' program kancel-crash defines
 * KANCEL_CRASH_POINTS (tests/system/crash_point.c says how it is told); in the worker itself a
 * point is nothing.
 */
#ifndef KANCEL_WORKER_IO_CRASH_POINT_H
#define KANCEL_WORKER_IO_CRASH_POINT_H

#ifdef KANCEL_CRASH_POINTS
/* Ends the process as kill -9 does when this is the point and the passage that were named. */
void crash_point(const char *name);
/* The limit that the test sets instead, or `limit_ms`. */
int crash_point_limit(int limit_ms);
#define CRASH_POINT(name)           crash_point(name)
#define CRASH_POINT_LIMIT(limit_ms) crash_point_limit(limit_ms)
#else
#define CRASH_POINT(name)           ((void)0)
#define CRASH_POINT_LIMIT(limit_ms) (limit_ms)
#endif

#endif
