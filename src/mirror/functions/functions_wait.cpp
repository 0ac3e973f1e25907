// dbnet.wait_synced(): waits until what the caller has committed is settled at the servers. Polls shared memory and
// dbnet.object; a cancel, a termination and statement_timeout end it at once. Runs in backends.
#include "mirror/definition/mirror_store.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "pg/shared_memory.hpp"

#include <algorithm>

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "utils/xid8.h"
}

namespace dbnet::mirror {
namespace {

constexpr long first_pause_ms = 1, longest_pause_ms = 20;

const pg::Statement transaction_status{"SELECT pg_xact_status($1::xid8)"};

// $1 mirror or NULL, $2 transaction or NULL, $3 whether objects must be ready too.
#define OBJECTS_IN_QUESTION                                                                                            \
    " FROM dbnet.object_status WHERE ($1 IS NULL OR relation = $1) AND ($2 IS NULL OR transaction = $2::xid8)"
// What waits for an offline server may wait for ever.
const pg::Statement anything_waiting{
    "SELECT EXISTS (SELECT" OBJECTS_IN_QUESTION
    " AND (waiting OR ($3 AND transaction IS NOT NULL AND health IN ('in_progress', 'terminating')))"
    " AND NOT EXISTS (SELECT FROM dbnet.mirrored_relation AS mirror"
    " WHERE mirror.relation = object_status.relation AND dbnet.is_offline(mirror.server)))",
    pg::Planned::by_values};
const pg::Statement select_rest{
    "SELECT relation, key, phase, health, coalesce(message, health_message), next_step" OBJECTS_IN_QUESTION
    " AND (waiting OR needs_action OR ($3 AND transaction IS NOT NULL AND health <> "
    "'ready')) ORDER BY relation::text, key",
    pg::Planned::by_values};
#undef OBJECTS_IN_QUESTION

struct Question {
    std::optional<Oid> relation;
    std::optional<std::string> transaction;
    bool ready = false;
};

TimestampTz deadline_of(FunctionCallInfo call_info) {
    if (call_info->args[0].isnull)
        required(std::nullopt, "timeout");
    const Datum timeout = call_info->args[0].value;
    return pg::call([&] {
        return DatumGetTimestampTz(
            DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()), timeout));
    });
}

void check_caller_transaction() {
    if (IsolationUsesXactSnapshot())
        throw pg::error(ERRCODE_ACTIVE_SQL_TRANSACTION, "dbnet.wait_synced() sees nothing new in this transaction")
            .hint("Call it in a transaction with isolation level READ COMMITTED.");
    if (FullTransactionIdIsValid(GetTopFullTransactionIdIfAny()))
        pg::warning(ERRCODE_ACTIVE_SQL_TRANSACTION, "what this transaction has changed is sent after its commit",
                    "Commit first, then call dbnet.wait_synced().");
}

// True once the transaction is over; its commit then lies before the current end of the WAL.
bool has_committed(const std::string &transaction) {
    const pg::Result status = pg::execute(transaction_status, transaction);
    if (status.text(0, 0) == "aborted")
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "transaction " + transaction + " was rolled back")
            .hint("Nothing of it is sent anywhere.");
    return status.text(0, 0) != "in progress";
}

// What is waited for: this session's commits, and those of others that were over when it asked. Of those before the
// server's last start only the compare tells, so that it is waited for even when there was none since.
XLogRecPtr newest_commit() {
    constexpr XLogRecPtr anything = 1;
    pg::WorkerSlot *slot = pg::find_slot(MyDatabaseId, pg::WorkerKind::mirror);
    return std::max({XactLastCommitEnd, slot ? XLogRecPtr{pg_atomic_read_u64(&slot->published_lsn)} : 0, anything});
}

bool has_worker() {
    pg::WorkerSlot *slot = pg::find_slot(MyDatabaseId, pg::WorkerKind::mirror);
    return slot && pg_atomic_read_u32(&slot->process_number) != 0;
}

void pause(long milliseconds) {
    pg::call([&] {
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

// What the worker says now of the commits up to `target`: dbnet.object tells how they stand. Objects of other mirrors
// than the one in question do not count. False also when it has not answered in time.
bool is_told(XLogRecPtr target, const Question &question, TimestampTz deadline) {
    const uint64 number = pg::ask_progress(MyDatabaseId);
    if (number == 0)
        return false;
    // A worker that starts anew does not know of the question.
    const TimestampTz end = std::min<TimestampTz>(deadline, GetCurrentTimestamp() + USECS_PER_SEC);
    pg::Progress progress = pg::progress_of(MyDatabaseId);
    for (long pause_ms = first_pause_ms; progress.question < number;
         pause_ms = std::min(2 * pause_ms, longest_pause_ms)) {
        if (GetCurrentTimestamp() >= end)
            return false;
        pause(pause_ms);
        progress = pg::progress_of(MyDatabaseId);
    }
    return pg::settled_up_to(progress, question.relation.value_or(InvalidOid)) >= target;
}

// False when the time is over before. The worker is asked first: what it says is told is then read.
bool wait_until_settled(const Question &question, TimestampTz deadline) {
    XLogRecPtr target = newest_commit();
    bool committed = !question.transaction;
    for (long pause_ms = first_pause_ms;; pause_ms = std::min(2 * pause_ms, longest_pause_ms)) {
        if (!committed && has_committed(*question.transaction)) {
            committed = true;
            target = std::max(target, pg::call([] { return GetXLogInsertRecPtr(); }));
        }
        if (committed && is_told(target, question, deadline) &&
            !pg::execute(anything_waiting, question.relation, question.transaction, question.ready).boolean(0, 0))
            return true;
        if (GetCurrentTimestamp() >= deadline)
            return false;
        pause(pause_ms);
    }
}

// An empty result says that all is well, so a worker that has not got so far yet must be told of in another way.
[[noreturn]] void refuse_to_say() {
    if (!has_worker())
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the mirror worker of this database does not run")
            .hint("SELECT * FROM dbnet.worker; and the server's log say why.");
    throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "the mirror worker has not got to the end of what was committed in time")
        .hint("Wait longer; lag in dbnet.worker says how far behind it is.");
}

} // namespace

DBNET_FUNCTION(dbnet_wait_synced) {
    RowWriter rows(fcinfo);
    pg::require_shared();
    const TimestampTz deadline = deadline_of(fcinfo);
    Question question;
    if (!PG_ARGISNULL(1))
        question.relation = PG_GETARG_OID(1);
    if (!PG_ARGISNULL(2))
        question.transaction = std::to_string(U64FromFullTransactionId(PG_GETARG_FULLTRANSACTIONID(2)));
    const std::string until = required(text_argument(fcinfo, 3), "until");
    check_word(until, "until", {"synced", "ready"});
    question.ready = until == "ready";
    check_caller_transaction();

    // Objects are read with the caller's rights: the view shows the mirrors whose tables the caller may read.
    const pg::Result rest = pg::in_spi([&] {
        if (question.relation)
            as_extension([&] { required_mirror(*question.relation); });
        const bool settled = wait_until_settled(question, deadline);
        pg::Result found = pg::execute(select_rest, question.relation, question.transaction, question.ready);
        if (!settled && found.rows() == 0)
            refuse_to_say();
        return found;
    });
    for (size_t i = 0; i < rest.rows(); i++) {
        std::vector<RowWriter::Value> values;
        for (size_t column = 0; column < rest.columns(); column++)
            values.push_back(rest.at(i, column) ? RowWriter::Value(rest.at(i, column)) : std::nullopt);
        rows.add(values);
    }
    return Datum{0};
}

} // namespace dbnet::mirror
