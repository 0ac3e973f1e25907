// Comparing row images for the capture trigger (see row_image.hpp). Runs in backends, inside pg::call.
#include "capture/row_image.hpp"

#include "capture/capture.hpp"
#include "pg/guard.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
}

namespace dbnet::capture {
namespace {

// Trigger arguments.
enum { namespace_column, name_column, watched_columns, status_columns, fixed_namespace };

struct Column {
    AttrNumber number = InvalidAttrNumber; // Invalid: there is no such column
    int16 length = 0;
    bool by_value = false;
    bool has_default = false;
    bool is_text = false; // else output() turns it into text
    FmgrInfo output;
};

struct Columns {
    int count = 0;
    Column *column = nullptr;
};

// What the trigger's arguments mean for this table; made once per statement, kept in fn_extra.
struct Layout {
    Oid relation, owner;
    std::string_view fixed_namespace; // when there is no namespace column
    Column name_space, name;
    Columns watched, status;
    std::uint32_t cause = unknown_cause;
};

// The errors below: first everything is looked up, which may longjmp, then the C++ text is made.

const char *name_of(Relation relation) {
    return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
                                      RelationGetRelationName(relation));
}

const char *name_of(Relation relation, AttrNumber column) {
    return NameStr(TupleDescAttr(RelationGetDescr(relation), column - 1)->attname);
}

pg::error protocol_violation(std::string message) {
    return pg::error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, message)
        .hint("The trigger is made by dbnet.mirror: run dbnet.unmirror and dbnet.mirror again.");
}

Column find_column(Relation relation, const char *name) {
    const TupleDesc columns = RelationGetDescr(relation);
    for (int index = 0; index < columns->natts; ++index) {
        const Form_pg_attribute attribute = TupleDescAttr(columns, index);
        if (attribute->attisdropped || strcmp(NameStr(attribute->attname), name) != 0)
            continue;
        Column column;
        column.number = attribute->attnum;
        column.length = attribute->attlen;
        column.by_value = attribute->attbyval;
        column.has_default = attribute->atthasdef;
        return column;
    }
    const char *table = name_of(relation);
    throw pg::error(ERRCODE_UNDEFINED_COLUMN, "mirror " + std::string(table) + " has lost its column \"" + name + '"')
        .hint("Give the column its name back, or run dbnet.unmirror and dbnet.mirror with another column map.");
}

Column find_key_column(Relation relation, const char *name, MemoryContext context) {
    Column column = find_column(relation, name);
    const Oid type = getBaseType(TupleDescAttr(RelationGetDescr(relation), column.number - 1)->atttypid);
    column.is_text = type == TEXTOID || type == VARCHAROID;
    if (!column.is_text) {
        Oid output = InvalidOid;
        bool is_varlena = false;
        getTypeOutputInfo(type, &output, &is_varlena);
        fmgr_info_cxt(output, &column.output, context);
    }
    return column;
}

// `list`: identifiers as quote_identifier() writes them, separated by commas.
Columns find_columns(Relation relation, const char *list, MemoryContext context) {
    List *names = NIL;
    if (!SplitIdentifierString(pstrdup(list), ',', &names)) {
        const char *table = name_of(relation);
        throw protocol_violation("trigger argument \"" + std::string(list) + "\" of mirror " + table +
                                 " is no list of columns");
    }
    Columns columns;
    columns.column = static_cast<Column *>(MemoryContextAlloc(context, sizeof(Column) * (list_length(names) + 1)));
    for (int index = 0; index < list_length(names); ++index)
        columns.column[columns.count++] = find_column(relation, static_cast<char *>(list_nth(names, index)));
    return columns;
}

// A trigger on a partitioned table is cloned to its partitions; the mirror is the table it was made on.
Oid original_relation(const Trigger *trigger, Oid relation) {
    if (!trigger->tgisclone)
        return relation;
    const Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    for (Oid id = trigger->tgoid; OidIsValid(id);) {
        ScanKeyData key;
        ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(id));
        const SysScanDesc scan = systable_beginscan(triggers, TriggerOidIndexId, true, nullptr, 1, &key);
        const HeapTuple tuple = systable_getnext(scan);
        id = InvalidOid;
        if (HeapTupleIsValid(tuple)) {
            const auto *row = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple));
            relation = row->tgrelid;
            id = row->tgparentid;
        }
        systable_endscan(scan);
    }
    table_close(triggers, AccessShareLock);
    return relation;
}

Oid function_owner(Oid function) {
    const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        throw pg::error(ERRCODE_INTERNAL_ERROR, "cache lookup failed for function " + std::to_string(function));
    const Oid owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->proowner;
    ReleaseSysCache(tuple);
    return owner;
}

Layout &layout_of(FunctionCallInfo fcinfo, const TriggerData &fired) {
    if (fcinfo->flinfo->fn_extra != nullptr)
        return *static_cast<Layout *>(fcinfo->flinfo->fn_extra);
    const Trigger *trigger = fired.tg_trigger;
    const Relation relation = fired.tg_relation;
    const MemoryContext context = fcinfo->flinfo->fn_mcxt;
    if (trigger->tgnargs < fixed_namespace || trigger->tgnargs > fixed_namespace + 1) {
        const char *table = name_of(relation);
        throw protocol_violation("trigger \"" + std::string(trigger->tgname) + "\" of table " + table + " has " +
                                 std::to_string(trigger->tgnargs) + " arguments")
            .detail("They are: namespace column or '', name column, other watched columns, status columns and, without "
                    "a namespace column, the namespace of all rows.");
    }
    auto *layout = new (MemoryContextAllocZero(context, sizeof(Layout))) Layout;
    layout->relation = original_relation(trigger, RelationGetRelid(relation));
    layout->owner = function_owner(fcinfo->flinfo->fn_oid);
    if (trigger->tgargs[namespace_column][0] != '\0')
        layout->name_space = find_key_column(relation, trigger->tgargs[namespace_column], context);
    else if (trigger->tgnargs > fixed_namespace)
        layout->fixed_namespace = MemoryContextStrdup(context, trigger->tgargs[fixed_namespace]);
    layout->name = find_key_column(relation, trigger->tgargs[name_column], context);
    layout->watched = find_columns(relation, trigger->tgargs[watched_columns], context);
    layout->status = find_columns(relation, trigger->tgargs[status_columns], context);
    fcinfo->flinfo->fn_extra = layout;
    return *layout;
}

// Equal bytes are equal values, and for a value that is stored out of line they spare fetching it.
bool is_same(const Column &column, TupleTableSlot *left_row, TupleTableSlot *right_row) {
    bool left_null = false, right_null = false;
    const Datum left = slot_getattr(left_row, column.number, &left_null);
    const Datum right = slot_getattr(right_row, column.number, &right_null);
    if (left_null || right_null)
        return left_null == right_null;
    if (!column.by_value && column.length == -1) {
        const auto *left_bytes = DatumGetPointer(left), *right_bytes = DatumGetPointer(right);
        const Size size = VARSIZE_ANY(left_bytes);
        if (size == VARSIZE_ANY(right_bytes) && memcmp(left_bytes, right_bytes, size) == 0)
            return true;
    }
    return datum_image_eq(left, right, column.by_value, column.length);
}

bool is_same(const Columns &columns, TupleTableSlot *left, TupleTableSlot *right) {
    for (int index = 0; index < columns.count; ++index)
        if (!is_same(columns.column[index], left, right))
            return false;
    return true;
}

// Status columns say what the device says. At INSERT a value that may be the column's default is let through: the
// first report writes over it. nullptr: none was written.
const char *written_status(const Layout &layout, Relation relation, TupleTableSlot *before, TupleTableSlot *after) {
    for (int index = 0; index < layout.status.count; ++index) {
        const Column &column = layout.status.column[index];
        if (before != nullptr ? !is_same(column, before, after)
                              : !column.has_default && !slot_attisnull(after, column.number))
            return name_of(relation, column.number);
    }
    return nullptr;
}

bool text_of(const Column &column, TupleTableSlot *row, std::string_view &found) {
    bool is_null = false;
    const Datum value = slot_getattr(row, column.number, &is_null);
    if (is_null)
        return false;
    if (column.is_text) {
        const auto *bytes = DatumGetTextPP(value);
        found = {VARDATA_ANY(bytes), static_cast<size_t>(VARSIZE_ANY_EXHDR(bytes))};
    } else {
        found = OutputFunctionCall(const_cast<FmgrInfo *>(&column.output), value);
    }
    return true;
}

Key key_of(const Layout &layout, TupleTableSlot *row) {
    Key key{true, layout.fixed_namespace, {}};
    if (layout.name_space.number != InvalidAttrNumber)
        key.is_set = text_of(layout.name_space, row, key.name_space);
    key.is_set = key.is_set && text_of(layout.name, row, key.name);
    return key;
}

Key required_key_of(const Layout &layout, Relation relation, TupleTableSlot *row) {
    const Key key = key_of(layout, row);
    if (!key.is_set) {
        std::string_view ignored;
        const Column &column = text_of(layout.name, row, ignored) ? layout.name_space : layout.name;
        const char *table = name_of(relation);
        throw pg::error(ERRCODE_NOT_NULL_VIOLATION, "null value in column \"" +
                                                        std::string(name_of(relation, column.number)) +
                                                        "\" of mirror " + table)
            .detail("The column names the object that the row stands for.")
            .hint("Give it a value, or keep the row in another table.");
    }
    return key;
}

const TriggerData &fired_trigger(FunctionCallInfo fcinfo) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        throw protocol_violation("dbnet.capture() is a trigger function");
    const auto &fired = *reinterpret_cast<TriggerData *>(fcinfo->context);
    if (!TRIGGER_FIRED_AFTER(fired.tg_event) || !TRIGGER_FIRED_FOR_ROW(fired.tg_event))
        throw protocol_violation("dbnet.capture() must be fired AFTER INSERT OR UPDATE OR DELETE, FOR EACH ROW");
    return fired;
}

} // namespace

Oid mirror_of_trigger(FunctionCallInfo fcinfo) {
    return layout_of(fcinfo, fired_trigger(fcinfo)).relation;
}

RowChange examine_row(FunctionCallInfo fcinfo) {
    const TriggerData &fired = fired_trigger(fcinfo);
    Layout &layout = layout_of(fcinfo, fired);
    RowChange change;
    change.relation = layout.relation;
    change.owner = layout.owner;
    change.cause = &layout.cause;
    if (TRIGGER_FIRED_BY_DELETE(fired.tg_event)) {
        change.deleted = key_of(layout, fired.tg_trigslot);
        return change;
    }
    const bool is_insert = TRIGGER_FIRED_BY_INSERT(fired.tg_event);
    TupleTableSlot *before = is_insert ? nullptr : fired.tg_trigslot;
    TupleTableSlot *after = is_insert ? fired.tg_trigslot : fired.tg_newslot;
    if (const char *column = written_status(layout, fired.tg_relation, before, after); column != nullptr) {
        change.status_column = column;
        change.table = name_of(fired.tg_relation);
        change.status_key = key_of(layout, after);
    }
    const bool is_renamed =
        !is_insert && (!is_same(layout.name, before, after) ||
                       (layout.name_space.number != InvalidAttrNumber && !is_same(layout.name_space, before, after)));
    if (!is_insert && !is_renamed && is_same(layout.watched, before, after))
        return change;
    if (is_renamed)
        change.deleted = key_of(layout, before);
    change.written = required_key_of(layout, fired.tg_relation, after);
    change.operation = is_insert || is_renamed ? 'I' : 'U';
    return change;
}

} // namespace dbnet::capture
