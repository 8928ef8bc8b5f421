/* Compiler attributes under one name each. */
#ifndef KANCEL_COMMON_ATTRIBUTES_H
#define KANCEL_COMMON_ATTRIBUTES_H

#define MUST_CHECK           __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, va) __attribute__((format(printf, fmt, va)))

#endif
