// Whether a trigger's WHEN condition holds for a row before and after a change (dbnet.trigger_holds() in
// sql/18_why_not.sql): evaluated as PostgreSQL does when the trigger fires, from the stored expression, with the rights
// of who asks. Runs in backends.
//
// Who asks has not chosen this code, whoever may create triggers on the table has. So nothing runs that could run code
// of somebody else: of built-in functions those that depend on their arguments alone, and those of dates and times; of
// others the caller's own, and a superuser's that depend on their arguments alone.
#include "pg/guard.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dbnet::provenance {
namespace {

bool is_of_time(Oid type) {
    char category = 0;
    bool is_preferred = false;
    get_type_category_preferred(type, &category, &is_preferred);
    return category == TYPCATEGORY_DATETIME || category == TYPCATEGORY_TIMESPAN;
}

bool is_of_time(const FormData_pg_proc &function) {
    if (is_of_time(function.prorettype))
        return true;
    for (int index = 0; index < function.pronargs; ++index)
        if (is_of_time(function.proargtypes.values[index]))
            return true;
    return false;
}

bool may_run(const FormData_pg_proc &function) {
    const bool is_immutable = function.provolatile == PROVOLATILE_IMMUTABLE;
    if (function.oid >= FirstNormalObjectId)
        return function.proowner == GetUserId() || (is_immutable && superuser_arg(function.proowner));
    switch (function.oid) {
    case F_ENUM_IN:
    case F_ENUM_OUT:
    case F_CURRENT_SETTING_TEXT:
    case F_CURRENT_SETTING_TEXT_BOOL:
        return true;
    default:
        return is_immutable || (function.provolatile == PROVOLATILE_STABLE && is_of_time(function));
    }
}

// The first thing in a condition that must not run.
struct Refused {
    Oid function = InvalidOid;
    Oid domain = InvalidOid;
    bool makes_json = false;
};

bool refuses_function(Oid id, void *context) {
    const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(id));
    const bool is_refused = !HeapTupleIsValid(tuple) || !may_run(*reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple)));
    if (HeapTupleIsValid(tuple))
        ReleaseSysCache(tuple);
    if (is_refused)
        static_cast<Refused *>(context)->function = id;
    return is_refused;
}

// Its CHECK constraints call what its owner likes.
bool refuses_domain(Oid id) {
    const HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(id));
    if (!HeapTupleIsValid(tuple))
        return true;
    const Oid owner = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typowner;
    ReleaseSysCache(tuple);
    return owner != GetUserId() && !superuser_arg(owner);
}

// True: `context`, a Refused, says what.
bool refuses(Node *node, void *context) {
    if (node == nullptr)
        return false;
    auto &refused = *static_cast<Refused *>(context);
    if (check_functions_in_node(node, refuses_function, context))
        return true;
    if (IsA(node, CoerceToDomain) && refuses_domain(reinterpret_cast<CoerceToDomain *>(node)->resulttype)) {
        refused.domain = reinterpret_cast<CoerceToDomain *>(node)->resulttype;
        return true;
    }
    if (pg::compat::makes_json(node)) { // by casts and domains that types have
        refused.makes_json = true;
        return true;
    }
    return pg::compat::walk_expression(node, refuses, context);
}

pg::error refusal(const Refused &refused) {
    if (refused.makes_json)
        return {ERRCODE_INSUFFICIENT_PRIVILEGE,
                "it makes or takes apart JSON, which may call casts of somebody else's"};
    const bool is_function = OidIsValid(refused.function);
    const std::string name(std::string_view(pg::call([&] {
        return static_cast<const char *>(is_function ? format_procedure(refused.function)
                                                     : format_type_be(refused.domain));
    })));
    if (!is_function)
        return {ERRCODE_INSUFFICIENT_PRIVILEGE, "it uses domain " + name + ", which belongs to somebody else"};
    return {ERRCODE_INSUFFICIENT_PRIVILEGE,
            "it calls " + name +
                (refused.function >= FirstNormalObjectId ? ", which belongs to somebody else"
                                                         : ", which may do more than look at the row")};
}

// The condition, with OLD and NEW as PostgreSQL's TriggerEnabled() has them; its table. NULL: the trigger has none.
Node *read_condition(Oid trigger, Oid &table) {
    const Relation triggers = table_open(TriggerRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
    const SysScanDesc scan = systable_beginscan(triggers, TriggerOidIndexId, true, nullptr, 1, &key);
    const HeapTuple tuple = systable_getnext(scan);
    Node *condition = nullptr;
    if (HeapTupleIsValid(tuple)) {
        bool is_null = false;
        const Datum stored = heap_getattr(tuple, Anum_pg_trigger_tgqual, RelationGetDescr(triggers), &is_null);
        if (!is_null)
            condition = static_cast<Node *>(stringToNode(TextDatumGetCString(stored)));
        table = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->tgrelid;
    }
    systable_endscan(scan);
    table_close(triggers, AccessShareLock);
    if (condition == nullptr)
        return nullptr;
    const Relation relation = table_open(table, AccessShareLock);
    for (const int variable : {PRS2_OLD_VARNO, PRS2_NEW_VARNO})
        condition = pg::compat::with_virtual_columns(relation, variable, condition);
    table_close(relation, AccessShareLock);
    ChangeVarNodes(condition, PRS2_OLD_VARNO, INNER_VAR, 0);
    ChangeVarNodes(condition, PRS2_NEW_VARNO, OUTER_VAR, 0);
    return condition;
}

TupleTableSlot *slot_of(HeapTupleHeader row, TupleDesc description) {
    HeapTupleData tuple{};
    tuple.t_len = HeapTupleHeaderGetDatumLength(row);
    ItemPointerSetInvalid(&tuple.t_self);
    tuple.t_data = row;
    TupleTableSlot *slot = MakeSingleTupleTableSlot(description, &TTSOpsVirtual);
    ExecForceStoreHeapTuple(&tuple, slot, false);
    return slot;
}

bool evaluate(Node *condition, HeapTupleHeader old, HeapTupleHeader now, TupleDesc description) {
    EState *state = CreateExecutorState();
    const MemoryContext before = MemoryContextSwitchTo(state->es_query_cxt);
    ExprState *qualification = ExecPrepareQual(make_ands_implicit(reinterpret_cast<Expr *>(condition)), state);
    ExprContext *context = GetPerTupleExprContext(state);
    context->ecxt_innertuple = slot_of(old, description);
    context->ecxt_outertuple = slot_of(now, description);
    const bool holds = ExecQual(qualification, context);
    MemoryContextSwitchTo(before);
    ExecDropSingleTupleTableSlot(context->ecxt_innertuple);
    ExecDropSingleTupleTableSlot(context->ecxt_outertuple);
    FreeExecutorState(state);
    return holds;
}

} // namespace

DBNET_FUNCTION(dbnet_trigger_holds) {
    Oid table = InvalidOid;
    Node *condition = nullptr;
    Refused refused;
    if (pg::call([&] {
            condition = read_condition(PG_GETARG_OID(0), table);
            return refuses(condition, &refused);
        }))
        throw refusal(refused);
    if (condition == nullptr)
        PG_RETURN_BOOL(true);
    bool is_of_table = true, holds = false;
    pg::call([&] {
        const HeapTupleHeader old = PG_GETARG_HEAPTUPLEHEADER(1), now = PG_GETARG_HEAPTUPLEHEADER(2);
        const Relation relation = table_open(table, AccessShareLock);
        for (const HeapTupleHeader row : {old, now})
            is_of_table &= HeapTupleHeaderGetTypeId(row) == RelationGetForm(relation)->reltype;
        if (is_of_table)
            holds = evaluate(condition, old, now, RelationGetDescr(relation));
        table_close(relation, AccessShareLock);
    });
    if (!is_of_table)
        throw pg::error(ERRCODE_DATATYPE_MISMATCH, "rows of the trigger's table are needed");
    PG_RETURN_BOOL(holds);
}

} // namespace dbnet::provenance
