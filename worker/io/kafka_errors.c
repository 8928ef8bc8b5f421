/* Folding of librdkafka's errors into ours: kafka.h. */
#include "worker/io/kafka.h"

#include "common/banned.h"

/* librdkafka before 2.4 has no name for it. */
enum { STALE_MEMBER_EPOCH = 113 };

static bool is_fencing(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
        return true;
    default:
        return false;
    }
}

/* The kind of an error that carries no flags of its own. */
static enum error_kind kind_of(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__FATAL:
        return ERROR_FATAL;
    case RD_KAFKA_RESP_ERR__FENCED:
        return ERROR_FENCED;
    /* A member whose session timed out is told so of its own former self: it joins anew under the
     * same instance id. Whether there is a twin the consumer learns by its heartbeat. */
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case STALE_MEMBER_EPOCH:
        return ERROR_ABORT;
    case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__CONFLICT:
    case RD_KAFKA_RESP_ERR__STATE:
        return ERROR_INTERNAL;
    default:
        return ERROR_TEMPORARY;
    }
}

int kafka_fold(rd_kafka_error_t *error, const char *what, struct error *err)
{
    if (error == NULL)
        return 0;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    enum error_kind kind = kind_of(code);
    if (rd_kafka_error_is_fatal(error))
        kind = is_fencing(code) ? ERROR_FENCED : ERROR_FATAL;
    else if (rd_kafka_error_txn_requires_abort(error))
        kind = ERROR_ABORT;
    else if (rd_kafka_error_is_retriable(error))
        kind = ERROR_TEMPORARY;
    (void)error_set(err, kind, "%s: %s (%s)", what, rd_kafka_error_string(error),
                    rd_kafka_err2name(code));
    rd_kafka_error_destroy(error);
    return -1;
}

int kafka_fold_code(rd_kafka_resp_err_t code, const char *what, struct error *err)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return error_set(err, kind_of(code), "%s: %s (%s)", what, rd_kafka_err2str(code),
                     rd_kafka_err2name(code));
}

enum delivery_error kafka_fold_delivery(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return DELIVERY_NO_TOPIC;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return DELIVERY_FORBIDDEN;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
        return DELIVERY_TOO_LARGE;
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
        return DELIVERY_REFUSED;
    default:
        return DELIVERY_OK;
    }
}
