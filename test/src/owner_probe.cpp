// Test-only background worker that runs statements as another role, as the mirror worker does: dbnet_test_start_job(id)
// starts it for one row of door.job and waits for its end; the worker writes what it saw into that row.
#include "pg/as_role.hpp"
#include "pg/report_scope.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
}

namespace {

using namespace dbnet;

const pg::Statement read_job{"SELECT owner::oid FROM door.job WHERE id = $1"};
const pg::Statement read_statements{"SELECT unnest(statements) FROM door.job WHERE id = $1"};
const pg::Statement write_job{"UPDATE door.job SET error = $2, before = $3, inside = $4, after = $5 WHERE id = $1"};

// All that a hostile owner may try to leave behind: user, security context, settings, locks, temporary schema.
std::string identity() {
    Oid user = InvalidOid;
    int security_context = 0;
    pg::call([&] { GetUserIdAndSecContext(&user, &security_context); });
    static const pg::Statement show{
        "SELECT concat_ws(' ', 'user=' || current_user, 'session=' || session_user, 'settings=' || md5((SELECT"
        " string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings"
        " WHERE name NOT LIKE 'plpgsql.%')), 'custom=' ||"
        " coalesce(current_setting('door.left_behind', true), ''), 'advisory=' || (SELECT count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND pid = pg_backend_pid()))"};
    return std::string(pg::execute(show).text(0, 0)) + " context=" + std::to_string(security_context);
}

void run_job(int64 id) {
    std::optional<std::string> error;
    std::string before, inside, after;
    Oid owner = InvalidOid;
    std::vector<std::string> statements;
    pg::in_transaction([&] {
        owner = pg::execute(read_job, id).oid(0, 0);
        const pg::Result found = pg::execute(read_statements, id);
        for (size_t row = 0; row < found.rows(); ++row)
            statements.emplace_back(found.text(row, 0));
        before = identity();
    });
    try {
        pg::in_transaction([&] {
            try {
                pg::in_subtransaction([&] {
                    pg::as_owner(owner, [&] {
                        const pg::ReportScope report(RelationRelationId);
                        for (const std::string &statement : statements)
                            pg::execute_once(statement);
                        inside = identity();
                    });
                });
            } catch (const std::exception &caught) {
                error = caught.what();
            }
            after = identity(); // still in the transaction that the superuser commits
        });
    } catch (const std::exception &caught) {
        error = std::string("at commit: ") + caught.what();
    }
    pg::in_transaction([&] { pg::execute(write_job, id, error, before, inside, after); });
}

int64 job_of_this_process() {
    int64 id = 0;
    memcpy(&id, MyBgworkerEntry->bgw_extra, sizeof id);
    return id;
}

} // namespace

DBNET_WORKER_MAIN(dbnet_test_job_main) {
    pg::call([argument] {
        pqsignal(SIGTERM, die);
        BackgroundWorkerUnblockSignals();
        BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(argument), InvalidOid, 0);
    });
    run_job(job_of_this_process());
    pg::call([] { proc_exit(0); });
}

DBNET_FUNCTION(dbnet_test_start_job) {
    const int64 id = PG_GETARG_INT64(0);
    pg::call([id] {
        BackgroundWorker worker{};
        strlcpy(worker.bgw_name, "dbnet test job", sizeof worker.bgw_name);
        strlcpy(worker.bgw_type, "dbnet test job", sizeof worker.bgw_type);
        strlcpy(worker.bgw_library_name, "dbnet_test", sizeof worker.bgw_library_name);
        strlcpy(worker.bgw_function_name, "dbnet_test_job_main", sizeof worker.bgw_function_name);
        worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = BGW_NEVER_RESTART;
        worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
        worker.bgw_notify_pid = MyProcPid;
        memcpy(worker.bgw_extra, &id, sizeof id);
        BackgroundWorkerHandle *handle = nullptr;
        if (!RegisterDynamicBackgroundWorker(&worker, &handle))
            elog(ERROR, "no free background worker");
        WaitForBackgroundWorkerShutdown(handle);
    });
    PG_RETURN_VOID();
}

// dbnet_test_in_report(): what pg::in_report() says; for triggers.
DBNET_FUNCTION(dbnet_test_in_report) {
    PG_RETURN_BOOL(pg::in_report());
}
