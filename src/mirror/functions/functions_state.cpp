// dbnet.mirroring(): what holds for all mirrors of the database, whatever was last said of each. Backends.
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/store/catalog.hpp"
#include "pg/shared_memory.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"
}

namespace dbnet::mirror {
namespace {

struct Teller {
    bool is_running = false;
    TimestampTz since = 0;
    std::string last_error;
};

Teller mirror_worker() {
    pg::Shared *memory = pg::shared();
    if (memory == nullptr)
        return {false, 0, "dbnet is not in shared_preload_libraries"};
    pg::WorkerSlot copy{};
    pg::with_shared_lock(*memory, [&] {
        if (const pg::WorkerSlot *slot = pg::find_slot(MyDatabaseId, pg::WorkerKind::mirror))
            copy = *slot;
    });
    return {copy.pid != 0 && copy.state == pg::WorkerState::running, copy.since, copy.last_error};
}

std::string text_of(TimestampTz at) {
    std::string text;
    pg::call([&] { text = timestamptz_to_str(at); });
    return text;
}

} // namespace
} // namespace dbnet::mirror

DBNET_FUNCTION(dbnet_mirroring) {
    using namespace dbnet;
    mirror::RowWriter rows(fcinfo);
    const mirror::Arming arming = pg::in_spi([] { return mirror::as_extension([] { return mirror::load_arming(); }); });
    if (!arming.armed && !arming.disarmed_reason.empty()) {
        rows.add({"disarmed", arming.disarmed_reason, std::nullopt});
    } else if (RecoveryInProgress()) {
        rows.add({std::nullopt, std::nullopt, "-infinity"}); // the primary's worker tells
    } else if (const mirror::Teller worker = mirror::mirror_worker(); worker.is_running) {
        rows.add({std::nullopt, std::nullopt, mirror::text_of(worker.since)});
    } else {
        const std::string because = worker.last_error.empty() ? "" : ": " + worker.last_error;
        rows.add({"degraded", "no mirror worker is running" + because, std::nullopt});
    }
    return Datum{0};
}
