// Checks of written values (see write_check.hpp); backends. What to check is read once per mirror and session and kept
// until PostgreSQL says that the table changed, which dbnet.mirror() and dbnet.alter_mirror() make it say.
#include "mirror/definition/write_check.hpp"

#include "mirror/functions/as_extension.hpp"
#include "mirror/values/mapping.hpp"
#include "pg/spi.hpp"

#include <unordered_map>

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement select_rules{
    "SELECT column_name, path, role, value_type, format, column_type, rules FROM dbnet.mirrored_column"
    " WHERE relation = $1 AND role IN ('spec', 'meta') AND rules IS NOT NULL"};

struct CheckedColumn {
    Column column;
    AttrNumber number = InvalidAttrNumber;
    int16 length = 0;
    bool by_value = false;
    bool is_json = false; // its text is JSON; else it is the value itself
    Oid output = InvalidOid;
};

struct Checks {
    std::vector<CheckedColumn> columns;
    bool is_current = false;
    TransactionId only_in =
        InvalidTransactionId; // read under the snapshot of this transaction, which may be an old one
};

// Never destroyed: PostgreSQL may call back until the process ends.
std::unordered_map<Oid, Checks> &all_checks() {
    static auto *const checks = new std::unordered_map<Oid, Checks>;
    return *checks;
}

extern "C" void dbnet_table_changed(Datum, Oid relation) {
    for (auto &[mirror, checks] : all_checks())
        if (!OidIsValid(relation) || mirror == relation)
            checks.is_current = false;
}

void register_once() {
    static bool is_registered = false;
    if (is_registered)
        return;
    pg::call([] { CacheRegisterRelcacheCallback(dbnet_table_changed, Datum{0}); });
    is_registered = true;
}

// False when its type says all that the rules say, or has no plain text form.
bool find_in_table(CheckedColumn &checked, TupleDesc table) {
    const Column &column = checked.column;
    Oid type = InvalidOid;
    for (int index = 0; index < table->natts; ++index) {
        const Form_pg_attribute attribute = TupleDescAttr(table, index);
        if (attribute->attisdropped || column.name != NameStr(attribute->attname))
            continue;
        checked.number = attribute->attnum;
        checked.length = attribute->attlen;
        checked.by_value = attribute->attbyval;
        type = pg::call([&] { return getBaseType(attribute->atttypid); });
    }
    const bool is_text = type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
    const bool is_number = type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID;
    const bool is_enum = OidIsValid(type) && pg::call([&] { return type_is_enum(type); });
    if (!is_text && !is_number && !is_enum && type != JSONBOID)
        return false;
    if (column.rules->is_plain() &&
        ((is_text && column.type == ValueType::string) || (type == INT4OID && column.type == ValueType::integer) ||
         (type == INT8OID && column.type == ValueType::integer && column.format != "int32")))
        return false;
    checked.is_json = type == JSONBOID || is_number;
    bool is_varlena = false;
    pg::call([&] { getTypeOutputInfo(type, &checked.output, &is_varlena); });
    return true;
}

const Checks &checks_of(Oid mirror, TupleDesc table) {
    register_once();
    Checks &checks = all_checks()[mirror];
    const TransactionId transaction = GetTopTransactionIdIfAny(); // there is one: a row was written
    if (checks.is_current && (checks.only_in == InvalidTransactionId || checks.only_in == transaction))
        return checks;
    checks.is_current = true; // before it is read: what changes meanwhile makes it stale again
    checks.only_in = IsolationUsesXactSnapshot() ? transaction : InvalidTransactionId;
    checks.columns.clear();
    try {
        const pg::Result rows =
            pg::in_spi([&] { return as_extension([&] { return pg::execute(select_rules, mirror); }); });
        for (size_t row = 0; row < rows.rows(); row++) {
            CheckedColumn checked;
            checked.column.name = rows.text(row, 0);
            checked.column.path = rows.text(row, 1);
            checked.column.role = parse_role(rows.text(row, 2)).value_or(Role::spec);
            checked.column.type = parse_value_type(rows.text(row, 3)).value_or(ValueType::json);
            checked.column.format = rows.text(row, 4);
            checked.column.column_type = rows.text(row, 5);
            checked.column.rules = ValueRules::parse(rows.text(row, 6));
            if (checked.column.rules && find_in_table(checked, table))
                checks.columns.push_back(std::move(checked));
        }
    } catch (...) {
        checks.is_current = false;
        throw;
    }
    return checks;
}

// The text of a value that the write set, in the trigger's memory; nullptr when it is NULL or as before.
const char *written_text(const CheckedColumn &checked, TupleTableSlot *before, TupleTableSlot *after) {
    return pg::call([&]() -> const char * {
        bool is_null = false, was_null = false;
        const Datum value = slot_getattr(after, checked.number, &is_null);
        if (is_null)
            return nullptr;
        if (before != nullptr) {
            const Datum earlier = slot_getattr(before, checked.number, &was_null);
            if (!was_null && datumIsEqual(value, earlier, checked.by_value, checked.length))
                return nullptr;
        }
        return OidOutputFunctionCall(checked.output, value);
    });
}

} // namespace

void check_written_row(Oid mirror, const TriggerData &fired) {
    const bool is_insert = TRIGGER_FIRED_BY_INSERT(fired.tg_event);
    TupleTableSlot *before = is_insert ? nullptr : fired.tg_trigslot;
    TupleTableSlot *after = is_insert ? fired.tg_trigslot : fired.tg_newslot;
    for (const CheckedColumn &checked : checks_of(mirror, RelationGetDescr(fired.tg_relation)).columns) {
        const char *text = written_text(checked, before, after);
        if (text == nullptr)
            continue;
        const Json value = checked.is_json ? Json::parse(text, nullptr, false) : Json(text);
        if (value.is_discarded())
            continue; // numeric's NaN; the mirror worker says what it thinks of it
        const auto converted = to_object_form(checked.column, value);
        std::optional<ValueError> problem;
        if (const auto *failure = std::get_if<ValueError>(&converted))
            problem = *failure;
        else if (const auto &object_form = std::get<std::optional<Json>>(converted))
            problem = check_value(checked.column, *object_form);
        if (problem)
            throw pg::error(ERRCODE_CHECK_VIOLATION, problem->message).hint(problem->hint);
    }
}

} // namespace dbnet::mirror
