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

bool refuse_function(Oid id, void *) {
    const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(id));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for function %u", id);
    const auto &function = *reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
    if (!may_run(function))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        function.oid >= FirstNormalObjectId && function.proowner != GetUserId()
                            ? errmsg("it calls %s, which belongs to somebody else", format_procedure(id))
                            : errmsg("it calls %s, which may do more than look at the row", format_procedure(id))));
    ReleaseSysCache(tuple);
    return false;
}

// Its CHECK constraints call what its owner likes.
void refuse_domain(Oid id) {
    const HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(id));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for type %u", id);
    const Oid owner = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typowner;
    if (owner != GetUserId() && !superuser_arg(owner))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("it uses domain %s, which belongs to somebody else", format_type_be(id))));
    ReleaseSysCache(tuple);
}

// Raises an error at the first thing that must not run.
bool refuse_code(Node *node, void *context) {
    if (node == nullptr)
        return false;
    check_functions_in_node(node, refuse_function, context);
    if (IsA(node, CoerceToDomain))
        refuse_domain(reinterpret_cast<CoerceToDomain *>(node)->resulttype);
    if (pg::compat::makes_json(node)) // by the casts that types have
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("it makes JSON, which may call casts")));
    return pg::compat::walk_expression(node, refuse_code, context);
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

} // namespace

DBNET_FUNCTION(dbnet_trigger_holds) {
    bool holds = true;
    pg::call([&] {
        Oid table = InvalidOid;
        Node *condition = read_condition(PG_GETARG_OID(0), table);
        if (condition == nullptr)
            return;
        refuse_code(condition, nullptr);
        const HeapTupleHeader old = PG_GETARG_HEAPTUPLEHEADER(1), now = PG_GETARG_HEAPTUPLEHEADER(2);
        const Relation relation = table_open(table, AccessShareLock);
        for (const HeapTupleHeader row : {old, now})
            if (HeapTupleHeaderGetTypeId(row) != RelationGetForm(relation)->reltype)
                ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                                errmsg("a row of table \"%s\" is needed", RelationGetRelationName(relation))));
        EState *state = CreateExecutorState();
        const MemoryContext before = MemoryContextSwitchTo(state->es_query_cxt);
        ExprState *qualification = ExecPrepareQual(make_ands_implicit(reinterpret_cast<Expr *>(condition)), state);
        ExprContext *context = GetPerTupleExprContext(state);
        context->ecxt_innertuple = slot_of(old, RelationGetDescr(relation));
        context->ecxt_outertuple = slot_of(now, RelationGetDescr(relation));
        holds = ExecQual(qualification, context);
        MemoryContextSwitchTo(before);
        ExecDropSingleTupleTableSlot(context->ecxt_innertuple);
        ExecDropSingleTupleTableSlot(context->ecxt_outertuple);
        FreeExecutorState(state);
        table_close(relation, AccessShareLock);
    });
    PG_RETURN_BOOL(holds);
}

} // namespace dbnet::provenance
