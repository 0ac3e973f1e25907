// The SQL functions of sql/02_capture.sql. Run in backends.
#include "capture/capture.hpp"
#include "capture/recorder.hpp"
#include "capture/row_check.hpp"
#include "capture/row_image.hpp"
#include "capture/tombstone.hpp"
#include "pg/guard.hpp"
#include "pg/report_scope.hpp"

extern "C" {
#include "commands/trigger.h"
#include "utils/rel.h"
}

namespace dbnet::capture {
namespace {

RowCheck row_check = nullptr;

} // namespace

void set_row_check(RowCheck check) noexcept {
    row_check = check;
}

// A device report's own rows are no intent of anybody, so they take no way through the WAL; who writes a report and
// finds that a BEFORE trigger changed it records that itself.
DBNET_FUNCTION(dbnet_capture) {
    if (pg::in_report()) {
        const Oid mirror = pg::call([&] { return mirror_of_trigger(fcinfo); });
        if (pg::in_report_of(mirror)) {
            record_row(mirror, *reinterpret_cast<TriggerData *>(fcinfo->context));
            return PointerGetDatum(nullptr);
        }
    }
    const RowChange change = pg::call([&] { return examine_row(fcinfo); });
    const auto &fired = *reinterpret_cast<TriggerData *>(fcinfo->context);
    if (change.status_column != nullptr &&
        !is_assumed(change.relation, change.status_key.name_space, change.status_key.name))
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "column \"" + std::string(change.status_column) +
                                                            "\" of mirror " + change.table +
                                                            " is written by device reports only")
            .detail("It is a status column: it shows what the device says of itself.")
            .hint("Leave the column out of the statement, and out of what triggers write.");
    // What another server has accepted is not refused here: replication would stop.
    if (change.written.is_set && row_check != nullptr && SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
        row_check(change.relation, fired);
    const RowVersions versions = record_row(change.relation, fired);
    if (change.written.is_set)
        record_change(change.relation, change.operation, change.written.name_space, change.written.name, change.cause,
                      versions.written);
    if (change.deleted.is_set) {
        leave_tombstone(change.owner, change.relation, change.deleted.name_space, change.deleted.name);
        record_change(change.relation, 'D', change.deleted.name_space, change.deleted.name, change.cause,
                      versions.deleted);
    }
    return PointerGetDatum(nullptr);
}

DBNET_FUNCTION(dbnet_notify_configuration) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                        "dbnet.notify_configuration() is a trigger function");
    record_change(RelationGetRelid(reinterpret_cast<TriggerData *>(fcinfo->context)->tg_relation), 'S');
    return PointerGetDatum(nullptr);
}

DBNET_FUNCTION(dbnet_is_report) {
    PG_RETURN_BOOL(pg::in_report());
}

DBNET_FUNCTION(dbnet_record_change) {
    const char operation = PG_GETARG_CHAR(1);
    if (operation == '\0' || std::strchr("IUDACOS", operation) == nullptr)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, std::string("unknown operation \"") + operation + '"')
            .hint("Operations are I insert, U update, D delete, A look at the row again, C compare the whole mirror, O "
                  "operations are asked for or given up, S configuration changed.");
    struct Texts {
        std::string_view name_space, name;
    };
    const Texts texts = pg::call([&] {
        const auto *name_space = PG_GETARG_TEXT_PP(2), *name = PG_GETARG_TEXT_PP(3);
        return Texts{{VARDATA_ANY(name_space), VARSIZE_ANY_EXHDR(name_space)},
                     {VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)}};
    });
    record_change(PG_GETARG_OID(0), operation, texts.name_space, texts.name);
    PG_RETURN_VOID();
}

} // namespace dbnet::capture
