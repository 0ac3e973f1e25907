// Waking the policy worker (see wake.hpp).
#include "policy/wake.hpp"

#include "pg/shared_memory.hpp"

extern "C" {
#include "access/xact.h"
}

namespace dbnet::policy {
namespace {

bool is_to_be_woken = false; // by the running transaction

void at_end_of_transaction(XactEvent event, void *) noexcept {
    if (event == XACT_EVENT_COMMIT && is_to_be_woken)
        pg::wake_worker(MyDatabaseId, pg::WorkerKind::policy);
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
        is_to_be_woken = false;
}

} // namespace

void wake_worker_at_commit() {
    static bool is_registered = false;
    if (!is_registered)
        pg::call([] { RegisterXactCallback(at_end_of_transaction, nullptr); });
    is_registered = true;
    is_to_be_woken = true;
}

} // namespace dbnet::policy
