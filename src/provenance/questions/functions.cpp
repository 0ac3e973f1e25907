// The SQL functions of sql/08_provenance.sql. Run in backends.
#include "provenance/record/event_clock.hpp"
#include "provenance/record/event_hash.hpp"
#include "provenance/record/failures.hpp"
#include "provenance/record/recorder.hpp"
#include "provenance/record/row_version.hpp"
#include "provenance/record/tracked_table.hpp"

#include "pg/as_superuser.hpp"
#include "pg/shared_memory.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
}

namespace dbnet::provenance {
namespace {

// Runs under the user's search_path.
pg::Statement newest_on_record{"SELECT pg_catalog.max(id) FROM dbnet.entity_version"
                               " WHERE relation OPERATOR(pg_catalog.=) $1::pg_catalog.int4"
                               " AND key_hash OPERATOR(pg_catalog.=) $2"};

// The call or activation that runs, or the statement where there is none.
Frame *asking_frame() noexcept {
    Frame *statement = nullptr;
    for (Frame *frame = top_frame(); frame != nullptr; frame = frame->below) {
        if (frame->kind != ActivityKind::statement)
            return frame;
        statement = frame;
    }
    return statement;
}

const TrackedTable &required_table(Oid relation) {
    const TrackedTable &table = *tracked_table(relation);
    if (table.is_known)
        return table;
    const char *name = get_rel_name(relation);
    throw pg::error(ERRCODE_UNDEFINED_OBJECT,
                    name != nullptr ? std::string("table \"") + name + "\" is not tracked" : "there is no such table")
        .hint("Mirrors and DBNet's configuration are tracked; SELECT dbnet.track('...') begins with others.");
}

pg::error no_key(const TrackedTable &table, const char *text) {
    std::string columns;
    for (int index = 0; index < table.key_count; ++index)
        columns += std::string(index > 0 ? ", " : "") + std::string(table.columns[table.keys[index]].name);
    return pg::error(ERRCODE_INVALID_PARAMETER_VALUE, std::string("\"") + text + "\" is no key of the table")
        .hint(table.key_count == 1 ? "The key is the value of column " + columns + "."
              : table.key_count == 2
                  ? "The key is written value/value, or as a JSON object, of the columns " + columns + "."
                  : "The key is written as a JSON object of the columns " + columns + ".");
}

// Of one key column its value; of two 'first/second', as mirrors have it; of any number a JSON object.
Jsonb *parse_key(const TrackedTable &table, const text *written) {
    char *const key = text_to_cstring(written);
    auto *fields = static_cast<JsonbField *>(palloc0(sizeof(JsonbField) * (table.key_count + 1)));
    const Jsonb *object = nullptr;
    if (key[0] == '{' && table.key_count > 1)
        object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(key)));
    char *const slash = strchr(key, '/');
    if (object == nullptr && table.key_count > 1 && (table.key_count > 2 || slash == nullptr))
        throw no_key(table, key);
    if (object == nullptr && table.key_count == 2)
        *slash = '\0';
    int count = 0;
    for (int index = 0; index < table.count; ++index) { // in jsonb's order of names
        const TrackedColumn &column = table.columns[index];
        if (!column.is_key)
            continue;
        JsonbField &field = fields[count++];
        if (object != nullptr) {
            field = member(object, column.name);
            if (field.kind == JsonbField::Kind::null)
                throw no_key(table, key);
            continue;
        }
        field.name = column.name;
        const bool is_second = table.key_count == 2 && table.keys[1] == index;
        field.set(std::string_view(is_second ? slash + 1 : key));
    }
    return make_object(fields, count);
}

} // namespace

DBNET_FUNCTION(dbnet_track_row) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "dbnet.track_row() is a trigger function");
    const auto &fired = *reinterpret_cast<TriggerData *>(fcinfo->context);
    if (TRIGGER_FIRED_BY_TRUNCATE(fired.tg_event) && TRIGGER_FIRED_BEFORE(fired.tg_event)) {
        or_warn("a TRUNCATE", [&] { record_truncate_by_trigger(fired.tg_relation); });
        return PointerGetDatum(nullptr);
    }
    if (!TRIGGER_FIRED_AFTER(fired.tg_event) || !TRIGGER_FIRED_FOR_ROW(fired.tg_event))
        throw pg::error(
            ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            "dbnet.track_row() must be fired AFTER INSERT OR UPDATE OR DELETE, FOR EACH ROW, or BEFORE TRUNCATE")
            .hint("The trigger is made by dbnet.track: run dbnet.untrack and dbnet.track again.");
    capture::record_row(RelationGetRelid(fired.tg_relation), fired);
    return PointerGetDatum(nullptr);
}

DBNET_FUNCTION(dbnet_key_hash) {
    int64 hash = 0;
    pg::call([&] {
        Datum *names = nullptr;
        int count = 0;
        deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, nullptr,
                          &count);
        TrackedTable table;
        table.columns = static_cast<TrackedColumn *>(palloc0(sizeof(TrackedColumn) * (count + 1)));
        table.keys = static_cast<int *>(palloc0(sizeof(int) * (count + 1)));
        for (int index = 0; index < count; ++index) {
            table.columns[index].name = NameStr(*DatumGetName(names[index]));
            table.keys[index] = index;
        }
        table.key_count = count;
        const Jsonb *key = PG_GETARG_JSONB_P(1);
        if (!JB_ROOT_IS_OBJECT(key))
            throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "a key is a JSON object");
        hash = key_hash(table, key);
    });
    PG_RETURN_INT64(hash);
}

DBNET_FUNCTION(dbnet_take_event) {
    const EventId event = take_events(1);
    if (event == 0)
        pg::require_shared();
    PG_RETURN_INT64(event);
}

DBNET_FUNCTION(dbnet_set_cause) {
    if (PG_ARGISNULL(0) && PG_ARGISNULL(1))
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "dbnet.set_cause() needs an event or a reason");
    pg::call([&] {
        set_cause(PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0),
                  PG_ARGISNULL(1) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(1)));
    });
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_key_of) {
    const Oid relation = PG_GETARG_OID(0);
    const Jsonb *key = nullptr;
    pg::call([&] { key = parse_key(required_table(relation), PG_GETARG_TEXT_PP(1)); });
    PG_RETURN_JSONB_P(key);
}

DBNET_FUNCTION(dbnet_key_columns) {
    const Oid relation = PG_GETARG_OID(0);
    const ArrayType *result = nullptr;
    pg::call([&] {
        const TrackedTable &table = required_table(relation);
        auto *names = static_cast<Datum *>(palloc(sizeof(Datum) * (table.key_count + 1)));
        for (int index = 0; index < table.key_count; ++index) {
            const std::string_view column = table.columns[table.keys[index]].name;
            auto *name = static_cast<NameData *>(palloc0(sizeof(NameData)));
            memcpy(NameStr(*name), column.data(), column.size());
            names[index] = NameGetDatum(name);
        }
        result = construct_array(names, table.key_count, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR);
    });
    PG_RETURN_POINTER(result);
}

DBNET_FUNCTION(dbnet_used) {
    if (PG_ARGISNULL(0))
        throw pg::error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "dbnet.used() needs a table");
    if (!is_recording())
        PG_RETURN_VOID();
    const Oid relation = PG_GETARG_OID(0);
    Use use{};
    int64 hash = 0;
    pg::call([&] {
        const TrackedTable &table = required_table(relation);
        if (pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
            aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relation));
        use.relation = table.number;
        if (PG_ARGISNULL(1))
            return;
        const MemoryContext before = MemoryContextSwitchTo(record_memory());
        use.key = parse_key(table, PG_GETARG_TEXT_PP(1));
        MemoryContextSwitchTo(before);
        hash = key_hash(table, use.key);
        use.version = newest_version(use.relation, hash);
    });
    if (use.key != nullptr && use.version == 0)
        use.version_event =
            pg::as_superuser([&] { return pg::execute(newest_on_record, int64{use.relation}, hash).integer(0, 0); });
    pg::call([&] {
        Frame *frame = asking_frame();
        const ActivityReference activity =
            frame != nullptr ? activity_of(frame) : activity_without_frame("replication");
        use.activity = activity.number;
        use.activity_event = activity.event;
        add_use(use);
    });
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_event_hash) {
    bytea *result = nullptr;
    pg::call([&] {
        const HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
        const TupleDesc columns = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
        HeapTupleData tuple{};
        tuple.t_len = HeapTupleHeaderGetDatumLength(row);
        tuple.t_data = row;
        auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * columns->natts));
        auto *nulls = static_cast<bool *>(palloc(sizeof(bool) * columns->natts));
        heap_deform_tuple(&tuple, columns, values, nulls);
        const Sha256::Digest digest = hash_of_row(columns, values, nulls);
        ReleaseTupleDesc(columns);
        result = reinterpret_cast<bytea *>(
            cstring_to_text_with_len(reinterpret_cast<const char *>(digest.data()), static_cast<int>(digest.size())));
    });
    PG_RETURN_BYTEA_P(result);
}

DBNET_FUNCTION(dbnet_provenance_failures) {
    PG_RETURN_INT64(static_cast<int64>(failure_count()));
}

// Backends look dbnet.tracked_relation and dbnet.tracked_function up once; who changes them tells.
DBNET_FUNCTION(dbnet_tracking_changed) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "dbnet.tracking_changed() is a trigger function");
    pg::call([&] { CacheInvalidateRelcache(reinterpret_cast<TriggerData *>(fcinfo->context)->tg_relation); });
    return PointerGetDatum(nullptr);
}

} // namespace dbnet::provenance
