// DDL and TRUNCATE (see ddl_hooks.hpp). Backends.
//
// The hook tells which object is created, altered, dropped or truncated; the statement is the one that is running. Only
// statements on tracked tables, their triggers, tracked functions and what configures DBNet go on record, so the text
// of a CREATE ROLE … PASSWORD never does.
#include "provenance/hooks/ddl_hooks.hpp"

#include "provenance/hooks/configuration.hpp"
#include "provenance/hooks/function_info.hpp"
#include "provenance/record/failures.hpp"
#include "provenance/record/recorder.hpp"
#include "provenance/record/row_version.hpp"
#include "provenance/record/tracked_table.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
}

namespace dbnet::provenance {
namespace {

object_access_hook_type previous_access_hook = nullptr;

// The table of a trigger, also of one that the running command has just made. InvalidOid: there is none.
Oid table_of_trigger(Oid trigger) {
    Oid table = InvalidOid;
    const Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
    const SysScanDesc scan = systable_beginscan(triggers, TriggerOidIndexId, true, SnapshotSelf, 1, &key);
    if (const HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple))
        table = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->tgrelid;
    systable_endscan(scan);
    table_close(triggers, AccessShareLock);
    return table;
}

const char *word_for(ObjectAccessType access) noexcept {
    return access == OAT_POST_CREATE ? "created" : access == OAT_DROP ? "dropped" : "altered";
}

// The running statement is about the table (or, without one, something else of ours).
void note_ddl(ObjectAccessType access, const char *what, const TrackedTable *table) {
    Frame *frame = top_frame();
    while (frame != nullptr && frame->kind != ActivityKind::statement && frame->kind != ActivityKind::ddl)
        frame = frame->below;
    if (frame == nullptr || frame->query != nullptr) // not by DDL: a function of ours that writes catalogs
        return;
    if (table != nullptr)
        frame->relation = table->number;
    keep_ddl(frame, word_for(access), what);
}

void look_at(ObjectAccessType access, Oid class_id, Oid object, int sub_id, void *argument) {
    if (access == OAT_DROP &&
        (static_cast<const ObjectAccessDrop *>(argument)->dropflags & PERFORM_DELETION_INTERNAL) != 0)
        return;
    if (class_id == RelationRelationId) {
        if (access == OAT_POST_CREATE && sub_id == 0)
            return; // a new table is not tracked; a new column is one of the table's
        if (get_rel_persistence(object) == RELPERSISTENCE_TEMP)
            return; // sessions make and drop many
        if (const TrackedTable *table = tracked_table(object); table->is_tracked)
            note_ddl(sub_id != 0 ? OAT_POST_ALTER : access, "table", table);
    } else if (class_id == TriggerRelationId) {
        const Oid relation = table_of_trigger(object);
        if (const TrackedTable *table = OidIsValid(relation) ? tracked_table(relation) : nullptr;
            table != nullptr && table->is_tracked)
            note_ddl(access, "trigger", table);
    } else if (class_id == ProcedureRelationId) {
        if (wants_frame(object)) // no more is asked: in a cascade the types of its arguments may be gone
            note_ddl(access, "function", nullptr);
    } else if (class_id == ForeignServerRelationId && access == OAT_DROP) { // with its wrapper, or its owner
        if (is_our_server(object))
            note_ddl(access, "server", nullptr);
    }
}

extern "C" void dbnet_provenance_object_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id,
                                               void *argument) {
    if (previous_access_hook != nullptr)
        previous_access_hook(access, class_id, object, sub_id, argument);
    if (access == OAT_FUNCTION_EXECUTE || access == OAT_NAMESPACE_SEARCH || creating_extension || !is_recording() ||
        !IsTransactionState())
        return;
    if (access == OAT_TRUNCATE)
        or_warn("a TRUNCATE", [object] { record_truncate(object); });
    else
        or_warn("a DDL statement", [=] { look_at(access, class_id, object, sub_id, argument); });
}

} // namespace

void keep_ddl(Frame *frame, const char *done, const char *what) {
    frame->kind = ActivityKind::ddl;
    keep_activity(frame);
    Record *record = frame->recorded_in == transaction_serial() ? open_record(frame->activity) : nullptr;
    // The first object that a statement touches is the one that it names; but a dropped table's triggers go before it.
    const bool is_named = strcmp(done, "dropped") == 0 && strcmp(what, "table") == 0;
    if (record == nullptr || (record->activity.detail != nullptr && !is_named))
        return;
    const MemoryContext before = MemoryContextSwitchTo(record_memory());
    JsonbField field;
    field.name = done;
    field.set(std::string_view(what));
    record->activity.detail = make_object(&field, 1);
    MemoryContextSwitchTo(before);
}

void install_ddl_hooks() {
    previous_access_hook = object_access_hook;
    object_access_hook = dbnet_provenance_object_access;
}

} // namespace dbnet::provenance
