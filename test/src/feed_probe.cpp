// Test-only: a WAL tail that lives in the session and is polled by SQL, and captures at unusual moments. Runs in
// backends.
//
//   feed_start(from_lsn pg_lsn, running xid[], memory_limit integer)   NULLs: as the mirror worker starts
//   feed_poll() → rows (xid, lsn, role, relation, operation, namespace, name), everything there is to hand out
//   feed_state() → (compare_due boolean, lost bigint, at pg_lsn); compare_due is reset
//   feed_at_pre_commit(sql text)   runs SQL from a PRE_COMMIT callback of the current transaction, which comes after
//                                  DBNet's own callback if this library is preloaded before dbnet
#include "bgworker/change_feed/wal_tail.hpp"
#include "pg/shared_memory.hpp"

extern "C" {
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"
}

namespace dbnet::test {
namespace {

bgworker::WalTail *tail = nullptr; // as long as the session
bool compare_due = false;
char *sql_at_pre_commit = nullptr; // in TopTransactionContext

bgworker::WalTail &started() {
    if (tail == nullptr)
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "feed_start() has not been called in this session");
    return *tail;
}

void run_at_pre_commit(XactEvent event, void *) {
    if (event == XACT_EVENT_PRE_COMMIT && sql_at_pre_commit != nullptr) {
        char *sql = sql_at_pre_commit;
        sql_at_pre_commit = nullptr;
        PushActiveSnapshot(GetTransactionSnapshot());
        SPI_connect();
        SPI_execute(sql, false, 0);
        SPI_finish();
        PopActiveSnapshot();
    }
    if (event == XACT_EVENT_ABORT)
        sql_at_pre_commit = nullptr;
}

void register_callback() {
    static bool is_registered = false;
    if (!is_registered)
        RegisterXactCallback(run_at_pre_commit, nullptr);
    is_registered = true;
}

} // namespace

// Called by this library's _PG_init: callbacks run in the reverse order of their registration.
void feed_probe_init() {
    register_callback();
}

DBNET_FUNCTION(dbnet_feed_start) {
    capture::Cookie cookie;
    std::memcpy(cookie.data(), pg::require_shared().cookie, cookie.size());
    delete tail;
    tail = nullptr;
    tail = PG_ARGISNULL(2) ? new bgworker::WalTail(cookie)
                           : new bgworker::WalTail(cookie, static_cast<size_t>(PG_GETARG_INT32(2)));
    compare_due = false;
    if (PG_ARGISNULL(0)) {
        tail->start();
        PG_RETURN_VOID();
    }
    std::vector<TransactionId> running;
    if (!PG_ARGISNULL(1)) {
        Datum *values = nullptr;
        int count = 0;
        pg::call([&] {
            deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), XIDOID, sizeof(TransactionId), true, TYPALIGN_INT, &values,
                              nullptr, &count);
        });
        for (int index = 0; index < count; ++index)
            running.push_back(DatumGetTransactionId(values[index]));
    }
    tail->start(PG_GETARG_LSN(0), std::move(running));
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_feed_poll) {
    const pg::WorkerSlot *slot = pg::find_slot(MyDatabaseId, pg::WorkerKind::mirror);
    std::vector<bgworker::Commit> commits;
    bgworker::WalTail::Progress progress;
    do {
        const XLogRecPtr published =
            slot == nullptr ? 0 : pg_atomic_read_u64(const_cast<pg_atomic_uint64 *>(&slot->published_lsn));
        progress = started().poll(commits, commits.size() + 1, published);
        compare_due |= progress.compare_due;
    } while (progress.more);
    pg::call([&] {
        InitMaterializedSRF(fcinfo, 0);
        auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
        for (const bgworker::Commit &commit : commits)
            for (const capture::Change &change : commit.changes) {
                Datum values[] = {
                    FullTransactionIdGetDatum(FullTransactionIdFromU64(commit.xid)),
                    LSNGetDatum(commit.lsn),
                    ObjectIdGetDatum(commit.role),
                    ObjectIdGetDatum(change.relation),
                    PointerGetDatum(cstring_to_text_with_len(&change.operation, 1)),
                    PointerGetDatum(cstring_to_text_with_len(change.name_space.data(), change.name_space.size())),
                    PointerGetDatum(cstring_to_text_with_len(change.name.data(), change.name.size()))};
                bool nulls[std::size(values)] = {};
                tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
            }
    });
    return 0;
}

DBNET_FUNCTION(dbnet_feed_state) {
    const bgworker::WalTail &tail = started();
    return pg::call([&] {
        TupleDesc row = nullptr;
        get_call_result_type(fcinfo, nullptr, &row);
        Datum values[] = {BoolGetDatum(compare_due), Int64GetDatum(static_cast<int64>(tail.lost())),
                          LSNGetDatum(tail.position())};
        bool nulls[std::size(values)] = {};
        compare_due = false;
        return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls));
    });
}

DBNET_FUNCTION(dbnet_feed_at_pre_commit) {
    register_callback();
    pg::call(
        [&] { sql_at_pre_commit = MemoryContextStrdup(TopTransactionContext, text_to_cstring(PG_GETARG_TEXT_PP(0))); });
    PG_RETURN_VOID();
}

} // namespace dbnet::test
